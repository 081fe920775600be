"""What a comparison shows while it runs."""

import io
import json
import logging
from pathlib import Path

import pytest
from rich.console import Console

from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.progress import Progress, watched
from densenets.analysis.compare.supervisor import write_state
from densenets.training.records import write_rows


def plan(name: str) -> Plan:
    return Plan(name, name, 0, "v2", "ssdlite", 1.0, 320, None, 4, [], None)


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


@pytest.fixture
def plain(tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture) -> Progress:
    caplog.set_level(logging.INFO)
    names = ["old", "one", "two", "bad"]
    state(tmp_path, "old", "done", session="before")
    state(tmp_path, "two", "running", session="killed")  # by an earlier start
    return Progress([plan(name) for name in names], tmp_path, "now", 1, Console(file=io.StringIO()))


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
        assert "0:20 gone, about 1:40 left" in caplog.messages[-1]  # 20 s of this one, 40 s of each of the others
        count = len(caplog.messages)
        view.show()
        assert len(caplog.messages) == count
        epochs(tmp_path, "one", 4)
        state(tmp_path, "one", "done", seconds=44.0)
        state(tmp_path, "bad", "failed", fault="no data\n[D36]", seconds=1.0)
        view.show()
        assert "one: done  AP 0.280  0:44" in caplog.messages[-2]
        assert "bad: failed  no data\\n[D36]" in caplog.messages[-1]
        assert "1 to come, 1 failed; 0:20 gone, about 0:44 left" in caplog.messages[-1]


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
