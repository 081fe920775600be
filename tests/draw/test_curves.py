import math
from pathlib import Path

import pytest
from PIL import Image

from densenets import draw


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}],
        [{"epoch": 0, "loss": 3.0}],
        [{"epoch": 0, "loss": 3.0, "loss_box": 1.0, "AP": 0.1, "AP50": 0.2}],
        [{"epoch": 0, "loss": "", "AP": None}, {"epoch": 1, "loss": "2.5", "AP": "0.1"}, {"epoch": 2}],
        [{"epoch": e, "loss": math.inf if e == 3 else e, "AP": math.nan} for e in range(5)],
        [{"epoch": e, "loss": 1.0, "loss_box": 0.5, "AP": 0.2, "AP50": 0.4} for e in range(300)],
    ],
)
def test_curves_of_any_rows(tmp_path: Path, rows: list[dict]):
    draw.curves(rows, tmp_path / "loss.png", tmp_path / "ap.png", ("AP", "AP50"))
    for name in ("loss.png", "ap.png"):
        with Image.open(tmp_path / name) as chart:
            assert chart.size == (864, 504)
        assert 5000 < (tmp_path / name).stat().st_size < 200_000


def test_each_term_and_the_total_have_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: drawn.append(figure.axes[0]))
    rows: list[dict] = [
        {"epoch": 0, "loss": 3.0, "loss_box": 1.0, "loss_cls": 2.0, "lr": 0.1, "AP": 0.1, "AP50": 0.3},
        {"epoch": 1, "loss": 2.0, "loss_box": 0.5},
        {"epoch": 2, "loss": 2.5, "loss_box": 0.5, "loss_cls": 2.0, "AP": 0.4, "AP50": 0.6},
    ]
    draw.curves(rows, tmp_path / "loss.png", tmp_path / "ap.png", ("AP", "AP50"))
    loss, ap = ([(line.get_label(), line.get_xydata().tolist()) for line in axes.lines] for axes in drawn)
    assert loss == [
        ("total  2.500  (lowest 2.000)", [[1, 3], [2, 2], [3, 2.5]]),
        ("box  0.500  (lowest 0.500)", [[1, 1], [2, 0.5], [3, 0.5]]),
        ("cls  2.000  (lowest 2.000)", [[1, 2], [3, 2]]),
    ]
    assert ap == [
        ("AP  0.400  (best 0.400)", [[1, 0.1], [3, 0.4]]),
        ("AP50  0.600  (best 0.600)", [[1, 0.3], [3, 0.6]]),
    ]


def test_a_single_term_is_the_total_and_every_value_has_room_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: drawn.append(figure.axes[0]))
    rows = [{"epoch": e, "loss": 4.0 - e, "loss_cross_entropy": 4.0 - e, "mIoU": 0.0} for e in range(3)]
    draw.curves(rows, tmp_path / "loss.png", tmp_path / "miou.png", ("mIoU",))
    loss, judged = drawn
    assert [line.get_label() for line in loss.lines] == ["total  2.000  (lowest 2.000)"]
    assert loss.get_ylim() == (0, pytest.approx(4.0 * 1.12))
    assert judged.get_ylim() == (0, 1)
