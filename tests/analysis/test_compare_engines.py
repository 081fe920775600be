"""Cells as processes: how they end, are stopped, watched and tried again. Small commands stand for trainings."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from comparisons import fake_job

from densenets.analysis.compare import engines
from densenets.analysis.compare.cells import where_of
from densenets.analysis.compare.engines import LocalEngine, RayEngine, Stop
from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.supervisor import Job, read_state, start
from densenets.errors import InputError

SUPERVISOR = Path(engines.__file__).with_name("supervisor.py")


def ran(job: Job) -> dict:
    start(job).wait(60)
    return read_state(Path(job.folder))


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(what) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_cell_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    job = fake_job(tmp_path, "one", "work")
    state = ran(job)
    assert (state["state"], state["code"], state["tries"], state["session"]) == ("done", 0, 1, "1")
    assert state["seconds"] > 0
    assert state["where"] == f"{platform.node()} with some at once"
    job.at_once = 3
    again = ran(job)
    assert again["tries"] == 2
    assert again["where"] == f"{platform.node()} with some at once; {platform.node()} with 3 at once"
    assert (tmp_path / "one/tries").read_text() == "x"  # its results were there


def test_seconds_of_a_load_that_nobody_knows_are_not_compared() -> None:
    trained = {"produced_by": {"device": "cpu"}}
    plan = Plan("a", "a", 0, "v2", "ssdlite", 1.0, 320, None, 1, [], None)
    assert where_of(plan, {"where": "vm with 2 at once"}, trained) == "vm with 2 at once, cpu"
    assert where_of(plan, {"where": "vm with some at once"}, trained) == ""
    assert where_of(plan, {"where": "vm with some at once; vm with 2 at once"}, trained) == ""


def test_the_line_of_the_error_is_kept(tmp_path: Path) -> None:
    state = ran(fake_job(tmp_path, "one", "refuse"))
    assert (state["state"], state["code"], state["fault"]) == ("failed", 2, "nothing to learn from [D36]")
    assert "nothing to learn from" in (tmp_path / "one/log.txt").read_text()


def test_one_that_is_killed_has_failed(tmp_path: Path) -> None:
    state = ran(fake_job(tmp_path, "one", "die"))
    assert (state["state"], state["code"]) == ("failed", 137)
    assert state["fault"].startswith("killed")


def test_a_cell_that_has_no_folder_ends_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    jobs = [fake_job(tmp_path, name, "work") for name in "ab"]
    (tmp_path / "a").rmdir()
    (tmp_path / "a").write_text("in the way")
    with Stop() as stop:
        LocalEngine(1).run(jobs, stop, lambda: None)
    assert read_state(tmp_path / "b")["state"] == "done"
    told = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert told[0].startswith(f"densenets: error: {tmp_path}/a: ")
    assert not any("Traceback" in line for line in told)


def test_a_state_that_another_wrote_and_words_without_end_are_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the run folder of the process that starts the comparison the cell's."""
    monkeypatch.setenv("DENSENETS_RUN_FOLDER", "another")
    job = fake_job(tmp_path, "one", "work")
    (tmp_path / "one/state.json").write_text('{"tries": "many", "where": 3}')
    job.steps[0]["words"][1:1] = ["x" * 1000] * 200
    state = ran(job)
    assert (state["state"], state["tries"]) == ("done", 1)
    assert (tmp_path / "one/folder").read_text() == "None"


def test_the_supervisor_needs_no_torch() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='looked_at'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(SUPERVISOR)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_asked_to_stop_it_saves_and_waits_for_the_next_start(tmp_path: Path) -> None:
    job = fake_job(tmp_path, "one", "sleep")
    process = start(job)
    until((tmp_path / "one/pid").exists)
    process.terminate()
    assert process.wait(30) == 143
    assert (tmp_path / "one/saved").exists()
    assert read_state(Path(job.folder))["state"] == "waiting"


def test_no_cell_outlives_the_comparison_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of the process that started the cell: the cell is asked to save, and ends."""
    job = fake_job(tmp_path, "one", "sleep")
    code = (
        "import sys, time; from densenets.analysis.compare.supervisor import Job, start; import json;"
        "start(Job(**json.loads(sys.argv[1]))); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, job.text()])
    until((tmp_path / "one/pid").exists)
    number = int((tmp_path / "one/pid").read_text())
    parent.kill()
    parent.wait()
    until(lambda: not alive(number))
    assert (tmp_path / "one/saved").exists()
    until(lambda: read_state(Path(job.folder))["state"] == "waiting")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word to a child whose parent is gone")
def test_no_training_outlives_its_supervisor(tmp_path: Path) -> None:
    process = start(fake_job(tmp_path, "one", "sleep"))
    until((tmp_path / "one/pid").exists)
    number = int((tmp_path / "one/pid").read_text())
    process.kill()
    process.wait()
    until(lambda: not alive(number))


def test_one_that_still_saves_in_the_folder_is_waited_for(tmp_path: Path) -> None:
    import fcntl

    job = fake_job(tmp_path, "one", "work")
    with (tmp_path / "one/.lock").open("w") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        process = start(job)
        until(lambda: read_state(Path(job.folder)).get("state") == "running")
        time.sleep(0.5)
        assert not (tmp_path / "one/tries").exists()
    assert process.wait(30) == 0
    assert (tmp_path / "one/tries").read_text() == "x"


def test_so_many_cells_at_once_and_a_failing_one_ends_no_other(tmp_path: Path) -> None:
    """The first two end only where both have begun."""
    what = {"a": "together", "b": "together", "c": "refuse", "d": "work"}
    jobs = [fake_job(tmp_path, name, what[name]) for name in "abcd"]
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, sum(read_state(Path(job.folder)).get("state") == "running" for job in jobs))

    with Stop() as stop:
        LocalEngine(2).run(jobs, stop, look)
    assert [read_state(Path(job.folder))["state"] for job in jobs] == ["done", "done", "failed", "done"]
    assert most <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_running_cells_and_starts_no_other(tmp_path: Path, number: int) -> None:
    jobs = [fake_job(tmp_path, name, "sleep") for name in "ab"]

    def send() -> None:
        until((tmp_path / "a/pid").exists)
        time.sleep(0.2)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
    with Stop() as stop:
        LocalEngine(1).run(jobs, stop, lambda: None)
    assert stop.asked == number
    assert (tmp_path / "a/saved").exists()
    assert read_state(tmp_path / "a")["state"] == "waiting"
    assert read_state(tmp_path / "b") == {}


def test_a_supervisor_that_is_killed_leaves_a_failed_cell(tmp_path: Path) -> None:
    job = fake_job(tmp_path, "a", "sleep")
    begun: list[subprocess.Popen[bytes]] = []
    original = engines.start

    def watched(one: Job) -> subprocess.Popen[bytes]:
        begun.append(original(one))
        return begun[-1]

    def look() -> None:
        if (tmp_path / "a/pid").exists():
            begun[0].kill()

    with pytest.MonkeyPatch.context() as patch, Stop() as stop:
        patch.setattr(engines, "start", watched)
        LocalEngine(1).run([job], stop, look)
    assert read_state(tmp_path / "a")["state"] == "failed"
    assert read_state(tmp_path / "a")["fault"] == "its process ended with -9"


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"^--engine ray: Ray is not installed: pip install 'densenets\[ray\]'$"):
        RayEngine(1, 0)
