import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densenets import draw

CLASSES = ("car", "person", "traffic light")
GREEN = (40, 90, 60)


def plain(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), GREEN, dtype=np.uint8)


def has(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (image == np.array(colour)).all(axis=-1)


# Colours


def test_a_colour_does_not_depend_on_the_number_of_classes():
    assert draw._palette(200)[:20] == draw._palette(20)
    assert draw._palette(2) == draw._palette(3)[:2]


@pytest.mark.parametrize(("count", "least"), [(7, 0.09), (20, 0.07), (80, 0.03)])
def test_colours_stay_apart(count: int, least: float):
    lab = draw._seen(np.array(draw._palette(count)))[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(count)
    assert apart.min() > least


def test_the_first_colours_stay_apart_for_the_colour_blind():
    for lab in draw._seen(np.array(draw._palette(6))):
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(6)
        assert apart.min() > 0.06


def test_text_reads_on_every_colour():
    def luminance(colour: tuple[int, int, int]) -> float:
        return float(np.dot((np.array(colour) / 255) ** 2.2, (0.2126, 0.7152, 0.0722)))

    for fill in draw._palette(100):
        dark, light = sorted((luminance(fill), luminance(draw._ink(fill))))
        assert (light + 0.05) / (dark + 0.05) > 3


# Boxes


def test_a_box_is_drawn_where_it_is():
    image = draw.draw_boxes(plain(), np.array([[100.0, 80, 200, 180]]), np.array([1]), None, CLASSES)
    colour = draw._palette(3)[1]
    line = draw._Pen.of(240, 320).line
    on = has(image, colour)[90:]  # below the tag
    rows, columns = np.nonzero(on)
    assert (columns.min(), columns.max(), rows.max() + 90) == (100, 199, 179)
    assert on[20, 100 : 100 + line].all()
    assert (image[110:150, 110:190] == GREEN).all()
    assert (image[200:] == GREEN).all()


def test_the_image_given_is_not_changed_and_any_layout_is_taken():
    source = np.random.default_rng(0).integers(0, 255, (3, 90, 120), dtype=np.uint8).transpose(1, 2, 0)
    source.setflags(write=False)
    before = source.copy()
    boxes, labels, scores = torch.tensor([[5.0, 5, 60, 60]]), torch.tensor([2]), torch.tensor([0.5])
    image = draw.draw_boxes(source, boxes, labels, scores, CLASSES)  # type: ignore[arg-type]
    assert (source == before).all()
    assert (image.shape, image.dtype) == (source.shape, np.uint8)
    assert (image != source).any()


@pytest.mark.parametrize("empty", [np.zeros((0, 4)), np.zeros(0), []])
def test_nothing_to_draw_is_the_same_image(empty):
    image = draw.draw_boxes(plain(), empty, np.zeros(0, int), np.zeros(0), CLASSES, ignore=empty)
    assert (image == GREEN).all()


def test_filling_and_boxes_that_cannot_be_drawn_are_left_out():
    nan, inf = math.nan, math.inf
    boxes = np.array([[10, 10, 50, 50], [nan, 0, 9, 9], [0, 0, inf, 9], [400, 10, 500, 50], [10, -90, 50, -10]])
    image = draw.draw_boxes(plain(), boxes, np.zeros(5, int), np.array([0, 0.9, 0.9, 0.9, 0.9]), CLASSES)
    assert (image == GREEN).all()


@pytest.mark.parametrize("box", [[-50, -50, 900, 900], [318.7, 10, 319.9, 30], [10, 10, 10.2, 10.2], [0, 0, 320, 240]])
def test_boxes_at_and_over_the_edge(box: list[float]):
    image = draw.draw_boxes(plain(), np.array([box]), np.array([0]), np.array([0.5]), CLASSES)
    assert has(image, draw._palette(3)[0]).any()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (2, 500), (500, 2), (16, 40), (2000, 3000)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.3, 0.3, 0.5, 0.9)])
def test_any_size_of_image(size: tuple[int, int], box: tuple[float, ...]):
    height, width = size
    boxes = np.array([box]) * [width, height, width, height]
    image = draw.draw_boxes(plain(*size), boxes, np.array([2]), np.array([0.987]), CLASSES, ignore=boxes)
    assert image.shape == (height, width, 3)


def tags(boxes: np.ndarray, size: tuple[int, int], text: str = "person 0.93") -> list[draw.Rect]:
    """Where the tags of these boxes stand."""
    from PIL import ImageDraw

    brush, taken = ImageDraw.Draw(Image.new("RGB", size)), []
    rects = [tuple(box) for box in boxes.tolist()]
    for rect in rects:
        draw._tag(brush, rect, text, draw.DARK, draw._Pen.of(size[1], size[0]), size, rects, taken)
    return taken


@pytest.mark.parametrize("size", [(320, 213), (640, 480), (2000, 1500)])
def test_tags_stay_inside_and_tall_enough_to_read(size: tuple[int, int]):
    width, height = size
    rng = np.random.default_rng(1)
    corner = (rng.random((60, 2)) * size).astype(int)
    corner = np.minimum(corner, np.array(size) - 3)
    boxes = np.concatenate([corner, np.minimum(corner + rng.integers(3, width // 2, (60, 2)), size)], axis=1)
    for x0, y0, x1, y1 in tags(boxes, size):
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert 12 <= y1 - y0 < height / 10


def test_tags_do_not_cover_each_other_where_there_is_room():
    same = np.array([[200, 200, 400, 300]] * 4)
    near = np.array([[200, 200, 400, 300], [205, 198, 395, 290], [60, 60, 80, 80], [70, 64, 90, 84]])
    for boxes in (same, near):
        found = tags(boxes, (640, 480))
        for i, tag in enumerate(found):
            assert draw._overlaps([tag], found[:i] + found[i + 1 :])[0] == 0


def test_a_text_too_long_for_the_image_is_shortened():
    (tag,) = tags(np.array([[5, 20, 30, 40]]), (80, 60), "a very long name of a class 0.93")
    assert tag[2] - tag[0] <= 80


def test_a_name_may_hold_anything():
    names = ("", "a\nb", "é ü ж λ", "\ud800", "x" * 1000)
    boxes = np.tile([20.0, 60, 120, 160], (5, 1))
    draw.draw_boxes(plain(), boxes, np.arange(5), np.linspace(0.9, 0.5, 5), names)


def test_labels_without_a_class_or_a_box_are_an_error():
    with pytest.raises(IndexError):
        draw.draw_boxes(plain(), np.array([[0, 0, 9, 9]]), np.array([3]), None, CLASSES)
    with pytest.raises(ValueError):
        draw.draw_boxes(plain(), np.array([[0, 0, 9, 9]]), np.array([0, 1]), None, CLASSES)


def test_regions_to_ignore_are_hatched_and_dashed():
    image = draw.draw_boxes(plain(), np.zeros((0, 4)), [], None, CLASSES, ignore=np.array([[40, 40, 160, 120]]))
    edge = image[40, 40:160].reshape(-1, 3)
    dark, light = has(edge, draw.DARK), has(edge, draw.LIGHT)
    assert (dark | light).all()
    assert 0.3 < dark.mean() < 0.7
    changed = (image[50:110, 50:150] != GREEN).any(axis=-1).mean()
    assert 0.02 < changed < 0.4  # what lies under it can still be seen
    image[40:120, 40:160] = GREEN
    assert (image == GREEN).all()


# The sheet


def noise(height: int, width: int) -> np.ndarray:
    """The worst that a PNG can meet."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_sheet_is_below_3_mb(tmp_path: Path, name: str, count: int):
    draw.sheet([(noise(480, 640), noise(480, 640))] * count, tmp_path / name, ["x"] * count)
    assert 1000 < (tmp_path / name).stat().st_size < 3_000_000
    with Image.open(tmp_path / name) as page:
        assert page.width > 400


def test_truth_stands_left_and_prediction_right(tmp_path: Path):
    red, blue = np.zeros((100, 200, 3), np.uint8), np.zeros((100, 200, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    draw.sheet([(red, blue)] * 5, tmp_path / "s.png", list("abcde"))
    page = np.asarray(Image.open(tmp_path / "s.png"))
    y, x_red = np.nonzero(has(page, (255, 0, 0)))
    y_blue, x_blue = np.nonzero(has(page, (0, 0, 255)))
    assert len(y) == len(y_blue) == 5 * 400 * 200  # all of them in full, grown at most twice
    row = y.min()
    assert x_red[y == row].min() < x_blue[y_blue == row].min()
    assert x_blue[y_blue == row].max() < page.shape[1] - 5
    assert (page[:3] == 255).all()


def test_images_of_all_shapes_share_a_sheet(tmp_path: Path):
    shapes = [(1, 1), (2000, 30), (30, 2000), (480, 640), (64, 64)]
    pairs = [(noise(*shape), noise(*shape[::-1])) for shape in shapes]
    draw.sheet(pairs, tmp_path / "s.png", ["long caption " * 50, "line\nend", "\ud800", "", "é"])
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_a_sheet_needs_a_caption_for_each_pair(tmp_path: Path):
    for pairs, captions in (([], []), ([(plain(), plain())], [])):
        with pytest.raises(ValueError, match="captions"):
            draw.sheet(pairs, tmp_path / "s.png", captions)


# The curves


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


def test_a_command_that_draws_nothing_does_not_wait_for_the_libraries():
    code = "import sys, densenets.draw; sys.exit('PIL' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
