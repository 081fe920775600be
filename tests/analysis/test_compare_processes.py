"""Comparisons as a user starts them: cells as processes, a comparison that is stopped or killed, Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from shapes import write_split

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS / "run"))
from kills import differences  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = TESTS.parent
GRID = ["--backbones=v3-small", "--heads=ssdlite", "--widths=0.35", "--sizes=64", "--seeds", "0", "1"]
GRID += ["--batch-size=4", "--epochs=2", "--warmup=2", "--workers=0", "--accelerator=cpu", "--save-every=1"]
GRID += ["--draws=20", "--rounds=2", "--pictures=1", "--cell-threads=1"]
NAMES = ["v3-small-0.35-ssdlite-64-seed0", "v3-small-0.35-ssdlite-64-seed1"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    (root / "annotations").mkdir(parents=True)
    write_split(root, "train", range(12))
    write_split(root, "val", range(12, 15))
    return root


def start(data: Path, out: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "tools/compare.py"), *GRID, f"--data={data}", f"--out={out}", *words]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        command, cwd=out.parent, text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of which no cell was ever stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    said = start(data, out)
    table, log = said.communicate(timeout=600)
    assert said.returncode == 0, log
    assert "2 of 2 cells done" in log
    assert "Traceback" not in log
    assert table.splitlines()[3].startswith("1  v3-small-0.35-ssdlite-64")
    assert str(out / "report.html") in table.splitlines()
    return out


def same(one: Path, other: Path) -> None:
    """To the last bit, but for times and the name of the folder."""
    for name in NAMES:
        assert differences(one / "cells" / name, other / "cells" / name) == []
    scores = [json.loads((out / "results.json").read_text())["models"][0]["scores"] for out in (one, other)]
    assert scores[0] == scores[1]


def wait_for_steps(cell: Path, steps: int) -> None:
    """Until the training in a cell has saved that often."""
    end, seen = time.monotonic() + 300, set()
    while len(seen) < steps:
        assert time.monotonic() < end, "no checkpoint came"
        file = cell / "checkpoints" / "last.ckpt.sha256"
        seen |= {file.read_text()} if file.is_file() else set()
        time.sleep(0.02)


def below(folder: Path) -> list[int]:
    """The processes at work on a comparison's cells."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("number", "engine"),
    [(signal.SIGTERM, "local"), (signal.SIGINT, "local"), (signal.SIGKILL, "local"), (signal.SIGTERM, "ray")],
)
def test_a_comparison_that_was_stopped_ends_as_one_that_was_not(
    data: Path, whole: Path, tmp_path: Path, number: int, engine: str
) -> None:
    words = []
    if engine == "ray":
        pytest.importorskip("ray")
        words = ["--engine=ray", "--cpus=1"]
    out = tmp_path / "out"
    process = start(data, out, *words)
    wait_for_steps(out / "cells" / NAMES[0], 2)
    process.send_signal(number)
    _, log = process.communicate(timeout=120)
    if number == signal.SIGKILL:
        end = time.monotonic() + 120
        while below(out):
            assert time.monotonic() < end, "a cell goes on without its comparison"
            time.sleep(0.1)
    else:
        assert process.returncode == 128 + number, log
        assert "stopped; 0 of 2 cells are done; the same command goes on" in log
        assert below(out) == []
    assert "Traceback" not in log
    assert json.loads((out / "cells" / NAMES[0] / "state.json").read_text())["state"] == "waiting"
    again = start(data, out, *words)
    _, log = again.communicate(timeout=600)
    assert again.returncode == 0, log
    same(whole, out)
    assert json.loads((out / "cells" / NAMES[0] / "state.json").read_text())["tries"] == 2


def test_a_cell_that_fails_is_reported_and_the_rest_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cell = out / "cells" / NAMES[0]
    cell.mkdir(parents=True)
    (cell / "checkpoints").write_text("in the way")
    process = start(data, out, "--jobs=2")
    table, log = process.communicate(timeout=600)
    assert process.returncode == 1, log
    lines = [line for line in log.splitlines() if line.startswith("densenets: error: ")]
    assert lines[0].startswith(f"densenets: error: {NAMES[0]}: ")
    assert "checkpoints: cannot be written to" in lines[0]
    assert "Traceback" not in log
    assert table.splitlines()[3].startswith("1  v3-small-0.35-ssdlite-64")
    assert (out / "report.html").is_file()


def test_cells_that_ray_runs_equal_those_that_run_here(data: Path, whole: Path, tmp_path: Path) -> None:
    """A worker that is killed loses nothing but time: its cell runs again."""
    pytest.importorskip("ray")
    out = tmp_path / "out"
    process = start(data, out, "--engine=ray", "--cpus=1")
    wait_for_steps(out / "cells" / NAMES[0], 2)
    (supervisor, *_) = [number for number in below(out / "cells" / NAMES[0]) if b"supervisor.py" in _words(number)]
    worker = int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"ray::" in _words(worker)
    os.kill(worker, signal.SIGKILL)
    _, log = process.communicate(timeout=600)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    same(whole, out)
    tries = [json.loads((out / "cells" / name / "state.json").read_text())["tries"] for name in NAMES]
    assert tries[0] == 2


def _words(number: int) -> bytes:
    return Path(f"/proc/{number}/cmdline").read_bytes()


def test_ray_is_asked_for_no_more_than_it_has(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    process = start(data, tmp_path / "out", "--engine=ray", "--cpus=1000")
    _, log = process.communicate(timeout=300)
    assert process.returncode == 2, log
    assert "--cpus, --gpus: a cell asks for 1000 CPUs and 0 GPUs; Ray's nodes have" in log
    assert not (tmp_path / "out").exists()
