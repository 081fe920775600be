import math

import numpy as np
import pytest
import torch
from PIL import Image
from plain_pictures import CLASSES, GREEN, has, plain

from densenets import draw
from densenets.draw import boxes as boxes_room
from densenets.draw import colours


def test_a_box_is_drawn_where_it_is():
    image = draw.draw_boxes(plain(), np.array([[100.0, 80, 200, 180]]), np.array([1]), None, CLASSES)
    colour = colours.palette(3)[1]
    line = boxes_room.Pen.of(240, 320).line
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
    assert has(image, colours.palette(3)[0]).any()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (2, 500), (500, 2), (16, 40), (2000, 3000)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.3, 0.3, 0.5, 0.9)])
def test_any_size_of_image(size: tuple[int, int], box: tuple[float, ...]):
    height, width = size
    boxes = np.array([box]) * [width, height, width, height]
    image = draw.draw_boxes(plain(*size), boxes, np.array([2]), np.array([0.987]), CLASSES, ignore=boxes)
    assert image.shape == (height, width, 3)


def tags(boxes: np.ndarray, size: tuple[int, int], text: str = "person 0.93") -> list[boxes_room.Rect]:
    """Where the tags of these boxes stand."""
    from PIL import ImageDraw

    brush, taken = ImageDraw.Draw(Image.new("RGB", size)), []
    rects = [tuple(box) for box in boxes.tolist()]
    for rect in rects:
        boxes_room._tag(brush, rect, text, colours.DARK, boxes_room.Pen.of(size[1], size[0]), size, rects, taken)
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
            assert boxes_room._overlaps([tag], found[:i] + found[i + 1 :])[0] == 0


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
    dark, light = has(edge, colours.DARK), has(edge, colours.LIGHT)
    assert (dark | light).all()
    assert 0.3 < dark.mean() < 0.7
    changed = (image[50:110, 50:150] != GREEN).any(axis=-1).mean()
    assert 0.02 < changed < 0.4  # what lies under it can still be seen
    image[40:120, 40:160] = GREEN
    assert (image == GREEN).all()
