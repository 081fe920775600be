"""metrics.csv and the list of what was skipped."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from densenets.errors import InputError
from densenets.training.records import (
    ProgressBar,
    Records,
    append_lines,
    clock,
    fitting,
    read_lines,
    read_rows,
    write_rows,
)


def test_rows_come_back_and_lack_what_they_lacked(tmp_path: Path) -> None:
    rows = [
        {"epoch": 0, "step": 3, "lr": 0.1, "seconds": 1.5, "loss": 2.0},
        {"epoch": 1, "step": 6, "lr": 0.0, "seconds": 3.0, "AP": 1 / 3},
    ]
    write_rows(tmp_path / "metrics.csv", rows)
    assert read_rows(tmp_path / "metrics.csv") == rows
    assert read_rows(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    "text", ["epoch,step\nx,1\n", "a,b\n1,2\n", "epoch,step\n1,2,3\n", "epoch,step\ninf,2\n", "epoch\n\xff\n"]
)
def test_another_file_in_its_place_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=r"metrics\.csv: not the table of a run") as caught:
        read_rows(tmp_path / "metrics.csv")
    assert "\n" not in str(caught.value)


def test_a_line_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    one, other = {"epoch": 0, "error": "a.png: damaged"}, {"epoch": 1, "error": "a.png: damaged"}
    append_lines(tmp_path / "skipped.jsonl", [one, one])
    append_lines(tmp_path / "skipped.jsonl", [other, one])
    assert read_lines(tmp_path / "skipped.jsonl") == [one, other]


@pytest.mark.parametrize(("room", "shown"), [(0, 1), (28, 1), (30, 2), (66, 3), (70, 4)])
def test_a_narrow_terminal_shows_the_total_loss_and_what_fits(room: int, shown: int) -> None:
    numbers = {"loss": 1.25, "loss_dice": 0.125, "loss_cross_entropy": 1.125, "mIoU": 0.5}
    assert fitting(numbers, room) == dict([*numbers.items()][:shown])


def test_clock() -> None:
    assert [clock(0), clock(123.4), clock(3723)] == ["0:00", "2:03", "1:02:03"]


def test_line_and_bar_count_epochs_from_1_as_the_pictures_do(tmp_path: Path) -> None:
    line = Records(tmp_path, ["AP"])._line(SimpleNamespace(max_epochs=3), {"epoch": 2, "seconds": 61.0, "AP": 0.5})
    assert line.startswith("epoch 3/3  AP 0.500  1:01 gone")
    bar = ProgressBar()
    bar._trainer = SimpleNamespace(max_epochs=3)  # type: ignore[assignment]
    assert bar._get_train_description(2).strip() == "Epoch 3/3"
    assert len(bar._get_train_description(0)) >= len(bar.validation_description)
