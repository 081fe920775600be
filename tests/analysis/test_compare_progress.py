"""What a comparison shows while it runs."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.progress import Progress, watched
from densenets.analysis.compare.supervisor import write_state
from densenets.training.records import write_rows


def plan(name: str, judged: list[str] | None = None, checkpoint: str | None = None, epochs: int = 4) -> Plan:
    return Plan(name, name, 0, "v2", "ssdlite", 1.0, 320, None, epochs, [], judged, checkpoint)


def state(out: Path, name: str, word: str, **more: object) -> None:
    folder = out / "cells" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_state(folder, {"state": word, "session": "now", **more})


def epochs(out: Path, name: str, count: int) -> None:
    rows = [{"epoch": i, "step": i, "lr": 0.1, "seconds": 1.0, "AP": 0.25 + i / 100} for i in range(count)]
    write_rows(out / "cells" / name / "metrics.csv", rows)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, as the view reads them."""
    now = [0.0]
    monkeypatch.setattr("densenets.analysis.compare.progress.time.monotonic", lambda: now[0])
    return now


View = Callable[[list[Plan]], Progress]


@pytest.fixture
def lines(tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture) -> View:
    """The view of so many cells as it is without a terminal."""
    caplog.set_level(logging.INFO)
    return lambda plans: Progress(plans, tmp_path, "now", 1, Console(file=io.StringIO()))


@pytest.fixture
def last(caplog: pytest.LogCaptureFixture) -> Callable[[Progress], str]:
    """The last line, after one more look."""

    def told(view: Progress) -> str:
        view.show()
        return caplog.messages[-1]

    return told


@pytest.fixture
def plain(tmp_path: Path, lines: View) -> Progress:
    names = ["old", "one", "two", "bad"]
    state(tmp_path, "old", "done", session="before")
    state(tmp_path, "two", "running", session="killed")  # by an earlier start
    return lines([plan(name) for name in names])


def test_a_line_for_each_change_with_the_time_left(
    plain: Progress, tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with plain as view:
        assert caplog.messages == []
        state(tmp_path, "one", "running")
        view.show()
        assert caplog.messages[-1].startswith("one: running  epoch 0/4")
        assert "1 of 4 cells done, 1 running, 2 to come; 0:00 gone)" in caplog.messages[-1]
        clock[0] = 20.0
        epochs(tmp_path, "one", 2)
        view.show()
        assert "epoch 2/4  AP 0.260  0:20" in caplog.messages[-1]
        # 20 s of this one, 40 s of each of the others
        assert "0:20 gone, about 1:40 left for the trainings)" in caplog.messages[-1]
        count = len(caplog.messages)
        view.show()
        assert len(caplog.messages) == count
        epochs(tmp_path, "one", 4)
        state(tmp_path, "one", "done", seconds=44.0)
        state(tmp_path, "bad", "failed", fault="no data\n[D36]", seconds=1.0)
        view.show()
        assert "one: done  AP 0.280  0:44" in caplog.messages[-2]
        assert "bad: failed  no data\\n[D36]" in caplog.messages[-1]
        assert "1 to come, 1 failed; 0:20 gone, about 0:44 left for the cells)" in caplog.messages[-1]


def test_the_time_left_counts_what_comes_behind_the_last_epoch(
    tmp_path: Path, clock: list[float], lines: View, last: Callable[[Progress], str]
) -> None:
    """As long as no cell has shown how long its judging takes, nothing is claimed of it; then it is counted."""
    plans = [plan(name, judged=["--split=test"], epochs=1) for name in ("one", "two")]
    with lines(plans) as view:
        state(tmp_path, "one", "running")
        view.show()
        clock[0] = 60.0
        epochs(tmp_path, "one", 1)
        assert last(view).endswith("1:00 gone, about 1:00 left for the trainings)")
        (tmp_path / "cells/one/results.json").write_text("{}")
        assert last(view).startswith("one: running  judging  AP 0.250  1:00")
        clock[0] = 130.0
        state(tmp_path, "one", "done", seconds=130.0)
        state(tmp_path, "two", "running")
        assert last(view).endswith("2:10 gone, about 2:10 left for the cells)")
        clock[0] = 190.0
        epochs(tmp_path, "two", 1)
        assert last(view).endswith("3:10 gone, about 1:10 left for the cells)")  # its judging
        clock[0] = 250.0
        (tmp_path / "cells/two/results.json").write_text("{}")
        assert last(view).endswith("4:10 gone, about 0:10 left for the cells)")
        state(tmp_path, "two", "done", seconds=130.0)
        assert last(view).endswith("(2 of 2 cells done, 0 running, 0 to come; 4:10 gone)")


def test_epochs_of_an_earlier_start_are_not_to_come(
    tmp_path: Path, clock: list[float], lines: View, last: Callable[[Progress], str]
) -> None:
    state(tmp_path, "two", "waiting", session="stopped")
    epochs(tmp_path, "two", 3)
    with lines([plan("one"), plan("two")]) as view:
        state(tmp_path, "one", "running")
        view.show()
        clock[0] = 40.0
        epochs(tmp_path, "one", 2)
        assert last(view).endswith("about 1:00 left for the trainings)")  # two epochs of this one, one of the other


def test_cells_at_once_share_the_time_left(
    tmp_path: Path, clock: list[float], last: Callable[[Progress], str], caplog: pytest.LogCaptureFixture
) -> None:
    """Four cells of 4 epochs of 10 s in two rows; one alone would still take its own time."""
    caplog.set_level(logging.INFO)
    names = ["a", "b", "c", "d"]
    with Progress([plan(name) for name in names], tmp_path, "now", 2, Console(file=io.StringIO())) as view:
        for name in "ab":
            state(tmp_path, name, "running")
        view.show()
        clock[0] = 20.0
        for name in "ab":
            epochs(tmp_path, name, 2)
        assert last(view).endswith("about 1:00 left for the trainings)")  # (20 + 20 + 40 + 40) / 2
        for name in "abc":
            state(tmp_path, name, "done", seconds=40.0)
            epochs(tmp_path, name, 4)
        assert "0 running, 1 to come" in last(view)
        assert caplog.messages[-1].endswith("about 0:40 left for the cells)")


def test_warnings_of_trainings_are_told_once_while_they_run(
    plain: Progress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("old", "one", "two"):
        (tmp_path / "cells" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cells" / name / "log.txt").write_text(f"reading\nwarning: --warmup {name}: too long\nepoch 1\n")
    (tmp_path / "cells/two/log.txt").write_text("warning: --warmup one: too long\n")
    with plain as view:
        for name in ("one", "two"):
            state(tmp_path, name, "running")
            view.show()
    told = [line for line in caplog.messages if "warmup" in line]
    assert told == ["warning: one: --warmup one: too long"]


def test_the_score_is_that_of_the_last_validation_beside_the_best(
    tmp_path: Path, lines: View, last: Callable[[Progress], str]
) -> None:
    with lines([plan("one")]) as view:
        state(tmp_path, "one", "running")
        view.show()
        rows = [{"epoch": i, "step": i, "lr": 0.1, "seconds": 1.0, "AP": ap} for i, ap in enumerate((0.2, 0.5, 0.25))]
        write_rows(tmp_path / "cells/one/metrics.csv", rows)
        assert "epoch 3/4  AP 0.250, best 0.500" in last(view)


def test_nothing_is_claimed_where_only_what_nobody_has_measured_is_to_come(
    tmp_path: Path, clock: list[float], lines: View, last: Callable[[Progress], str]
) -> None:
    with lines([plan("one", epochs=1)]) as view:
        state(tmp_path, "one", "running")
        view.show()
        clock[0] = 60.0
        epochs(tmp_path, "one", 1)
        assert last(view).endswith("1:00 gone)")


def test_a_stand_in_is_judged_and_trains_no_epoch(
    tmp_path: Path, clock: list[float], lines: View, last: Callable[[Progress], str], caplog: pytest.LogCaptureFixture
) -> None:
    plans = [plan(name, ["--split=test"], "best.ckpt", 30) for name in ("mine", "yours")]
    with lines(plans) as view:
        state(tmp_path, "mine", "running")
        assert last(view).startswith("mine: running  judging  (")
        clock[0] = 42.0
        state(tmp_path, "mine", "done", seconds=42.0)
        state(tmp_path, "yours", "running")
        assert last(view).startswith("yours: running  judging  (")
        assert caplog.messages[-1].endswith("about 0:42 left for the cells)")


def test_a_resumed_cell_that_only_lacks_its_judging_says_nothing_of_the_pace(
    tmp_path: Path, clock: list[float], lines: View, last: Callable[[Progress], str], caplog: pytest.LogCaptureFixture
) -> None:
    plans = [plan(name, judged=["--split=test"], epochs=1) for name in ("one", "two")]
    with lines(plans) as view:
        state(tmp_path, "one", "running")
        epochs(tmp_path, "one", 1)
        view.show()
        clock[0] = 46.0
        state(tmp_path, "one", "done", seconds=46.0)
        assert "one: done" in last(view)
        assert "left" not in caplog.messages[-1]


def test_a_cell_that_was_never_seen_at_work_shows_no_pace(
    tmp_path: Path, clock: list[float], lines: View, last: Callable[[Progress], str]
) -> None:
    with lines([plan("one"), plan("two")]) as view:
        clock[0] = 20.0
        state(tmp_path, "one", "done", seconds=20.0)
        epochs(tmp_path, "one", 4)
        state(tmp_path, "two", "running")
        epochs(tmp_path, "two", 1)
        clock[0] = 30.0
        view.show()
        epochs(tmp_path, "two", 2)
        clock[0] = 40.0
        assert last(view).endswith("about 0:20 left for the trainings)")


def test_on_a_terminal_a_table_is_drawn(tmp_path: Path, clock: list[float]) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    state(tmp_path, "one", "running")
    epochs(tmp_path, "one", 1)
    with Progress([plan("one"), plan("two")], tmp_path, "now", 1, console) as view:
        clock[0] = 3.0
        view.look()
    shown = screen.getvalue()
    assert "epoch 1/4" in shown
    assert "0 of 2 cells done, 1 running, 1 to come" in shown


def test_the_stages_of_the_end_have_a_bar() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    assert [*watched(["a", "b"], "pictures", console)] == ["a", "b"]
    assert "pictures" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_a_table_that_is_not_whole_is_passed_over(plain: Progress, tmp_path: Path) -> None:
    state(tmp_path, "one", "running")
    (tmp_path / "cells/one/metrics.csv").write_text("epoch,step\nx,")
    (tmp_path / "cells/old/state.json").write_text(json.dumps([1]))
    with plain as view:
        view.show()
