import numpy as np
import pytest
from plain_pictures import GREEN, has, plain

from densenets import draw
from densenets.contract import IGNORED
from densenets.draw.colours import DARK, LIGHT
from densenets.draw.masks import UNJUDGED, WRONG

CLASSES = ("road", "car", "sky")
PALETTE = np.array([[128, 64, 128], [0, 0, 142], [70, 130, 180]], dtype=np.uint8)


def thirds(height: int = 60, width: int = 90) -> np.ndarray:
    """Three stripes: class 0, class 2, no class."""
    ids = np.full((height, width), IGNORED, dtype=np.uint8)
    ids[:, : width // 3], ids[:, width // 3 : 2 * width // 3] = 0, 2
    return ids


def test_each_class_has_its_own_colour_over_the_photograph():
    drawn = draw.draw_classes(plain(60, 90), thirds(), PALETTE)
    for place, label in ((10, 0), (40, 2)):
        mixed = 0.6 * PALETTE[label].astype(float) + 0.4 * np.array(GREEN)
        assert np.abs(drawn[:, place] - mixed).max() <= 2
    whole = draw.draw_classes(plain(60, 90), thirds(), PALETTE, 1.0)
    assert has(whole[:, :30], tuple(PALETTE[0])).all()
    assert has(whole[:, 30:60], tuple(PALETTE[2])).all()


def test_no_class_is_hatched_in_greys_and_nothing_else_is():
    drawn = draw.draw_classes(plain(60, 90), thirds(), PALETTE)[:, 60:]
    assert sorted(np.unique(drawn)) == [70, 170]
    assert 0.4 < (drawn == 70).mean() < 0.6
    assert (drawn == drawn[..., :1]).all()


def test_what_is_wrong_is_red_and_what_has_no_class_is_blue():
    truth, prediction = thirds(), np.zeros((60, 90), dtype=np.uint8)
    drawn = draw.draw_errors(plain(60, 90), prediction, truth).astype(int)
    assert (drawn[:, :30] == drawn[:, :30, :1]).all()
    assert drawn[:, :30].min() > 140
    assert (drawn[:, 30:60, 0] - drawn[:, 30:60, 1:].max(axis=-1)).min() > 100
    assert np.abs(drawn[0, 40] - 0.75 * np.array(WRONG)).max() < 30
    assert has(drawn[:, 60:], UNJUDGED).all()
    assert UNJUDGED[2] - max(UNJUDGED[:2]) > 60  # as nothing that is right, which is grey, nor wrong


def test_the_image_given_is_not_changed_and_must_fit():
    image, ids = plain(60, 90), thirds()
    image.setflags(write=False)
    ids.setflags(write=False)
    draw.draw_classes(image, ids, PALETTE)
    draw.draw_errors(image, ids, ids)
    for wrong in (plain(60, 91), image[..., 0]):
        with pytest.raises(ValueError, match="classes of"):
            draw.draw_classes(wrong, ids, PALETTE)
        with pytest.raises(ValueError, match="classes of"):
            draw.draw_errors(wrong, ids, ids)


def test_the_legend_names_what_is_present_alone():
    ids = thirds()
    assert draw.present([ids], 3) == [0, 2, 3]
    assert draw.present([ids[:, :30], np.full((2, 2), 1)], 3) == [0, 1]
    page = draw.with_legend(draw.draw_classes(plain(60, 90), ids, PALETTE), ids, CLASSES, PALETTE)
    assert page.shape[1] == 16 * 11  # wider than the image: its letters have 11 px
    assert (page[:60, 90:] == 255).all()
    below = page[60:]
    assert [has(below, tuple(colour)).sum() > 50 for colour in PALETTE] == [True, False, True]
    assert (below[-1] == LIGHT).all()


@pytest.mark.parametrize("width", [60, 200, 2000])
@pytest.mark.parametrize("count", [0, 1, 19, 150])
def test_a_legend_of_any_size_holds_every_class(width: int, count: int):
    """Each has a patch of its own colour, inside of the picture, none over another."""
    names = [
        f"a very long name of class {k}; of many words" * (1 + k % 3) if k % 5 == 0 else str(k) for k in range(count)
    ]
    palette = np.stack([np.arange(count) + 40, np.arange(count) + 80, np.full(count, 200)], axis=1).astype(np.uint8)
    drawn = draw.legend(names, palette, range(count), width)
    assert drawn.shape[1] == width
    for colour in palette:
        assert has(drawn, tuple(colour)).sum() == 13 * 13  # a patch of 15 px with its outline
    assert (drawn[:, 0] == LIGHT).all()


def test_names_of_a_legend_may_hold_anything():
    names = ("", "a\nb", "é ü ж λ", "\ud800", "x" * 1000, "$x_2$")
    drawn = draw.legend(names, np.zeros((6, 3), dtype=np.uint8), range(6), 300)
    assert has(drawn, DARK).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (1024, 2048)])
def test_any_size_of_image(size: tuple[int, int]):
    ids = np.full(size, 1, dtype=np.uint8)
    image = np.zeros((*size, 3), dtype=np.uint8)
    page = draw.with_legend(draw.draw_classes(image, ids, PALETTE), ids, CLASSES, PALETTE)
    assert page.shape[0] > size[0]
    assert page.shape[1] >= size[1]
    assert draw.draw_errors(image, ids, ids).shape == (*size, 3)
