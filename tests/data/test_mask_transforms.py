"""Augmentation of masks: ids are never mixed, and every pixel of a mask stays with its pixel of the picture."""

import itertools

import numpy as np
import pytest
from mask_sets import ids
from noise import speckled

from densenets.contract import IGNORED
from densenets.data import SEGMENTATION_RECIPES
from densenets.data.mask_transforms import MaskAugmentation, resize_ids, show
from densenets.data.transforms import FILL, View
from densenets.errors import InputError

CANVAS = (48, 64)
SIZES = ((30, 40), (48, 64), (130, 90), (33, 200))


def coordinates(height: int, width: int) -> np.ndarray:
    """(H, W, 3): red rises by 1 a pixel to the right, green by 1 a pixel down; without colour."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("recipe", SEGMENTATION_RECIPES)
def test_ids_are_never_mixed(recipe: str) -> None:
    for seed, size in itertools.product(range(30), SIZES):
        values = np.random.default_rng(seed).integers(0, 256, 4).tolist()
        mask = ids(*size, values, seed)
        image, out = MaskAugmentation(recipe, CANVAS, (0.25, 4.0))(speckled(*size, seed), mask, seed)
        assert (image.shape, image.dtype) == ((*CANVAS, 3), np.uint8)
        assert (out.shape, out.dtype) == (CANVAS, np.uint8)
        assert {*np.unique(out)} <= {*values, IGNORED}
        assert recipe == "seg" or {*np.unique(out)} <= {*values}


class Plain(MaskAugmentation):
    """Without the distortion of colours, which would hide where a pixel comes from."""

    def __init__(self, *how: object) -> None:
        super().__init__(*how)  # type: ignore[arg-type]
        self.colours = lambda image: {"image": image}  # type: ignore[assignment]
        self.colours.set_random_state = lambda *_: None  # type: ignore[attr-defined]


@pytest.mark.parametrize("recipe", SEGMENTATION_RECIPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_lies_where_its_picture_does(recipe: str, size: tuple[int, int]) -> None:
    """The ids are the columns and then the rows of a picture that shows both."""
    found = 0
    picture = coordinates(*size)
    for seed, axis in itertools.product(range(25), (0, 1)):
        image, out = Plain(recipe, CANVAS)(picture, np.ascontiguousarray(picture[..., axis]), seed)
        inside = (image != FILL).any(axis=2)
        # Where the picture ends it is not interpolated as it is elsewhere.
        inside &= (out > 1) & (out < size[1 - axis] - 2)
        difference = np.abs(image[..., axis].astype(float) - out)[inside]
        step = max(size[1 - axis] / CANVAS[1 - axis], 2.0) if recipe != "seg" else 2.0  # px of the file a pixel
        assert difference.max(initial=0) <= step / 2 + 0.5
        assert abs((image[..., axis].astype(float) - out)[inside].mean()) < 0.35
        found += int(inside.sum())
    assert found > 25 * 2000


def test_nearest_takes_the_pixel_under_the_centre() -> None:
    row = np.arange(8, dtype=np.uint8)[None]
    assert resize_ids(row, 1, 16).tolist() == [np.repeat(np.arange(8), 2).tolist()]
    assert resize_ids(np.repeat(row, 3, axis=0), 3, 4)[0].tolist() == [1, 3, 5, 7]
    assert resize_ids(np.arange(9, dtype=np.uint8)[None], 1, 3).tolist() == [[1, 4, 7]]


def test_what_the_picture_does_not_fill_is_ignored() -> None:
    view = View(np.array([0, 0, 10, 8]), np.array([5, 6, 25, 22]))
    image, out = show(speckled(8, 10), np.zeros((8, 10), np.uint8), view, (24, 32))
    assert (out[6:22, 5:25] == 0).all()
    assert (out == IGNORED).sum() == 24 * 32 - 16 * 20
    assert (image[out == IGNORED] == FILL).all()
    small = MaskAugmentation("seg", CANVAS, (0.5, 0.5))(speckled(20, 20), np.zeros((20, 20), np.uint8), 0)
    assert (small[1] == 0).sum() == 100


def test_the_whole_picture_is_stretched() -> None:
    mask = ids(96, 128, (0, 1))
    image, out = MaskAugmentation("none", CANVAS)(speckled(96, 128), mask, 0)
    assert (out == mask[1::2, 1::2]).all() or (out == mask[::2, ::2]).all()
    flipped = {MaskAugmentation("flip", CANVAS)(speckled(96, 128), mask, seed)[1].tobytes() for seed in range(20)}
    assert flipped == {out.tobytes(), np.ascontiguousarray(out[:, ::-1]).tobytes()}
    assert image.shape == (*CANVAS, 3)


def test_scales_are_uniform_and_in_their_range() -> None:
    """Seen by how much of a picture, which is large enough, a window shows."""
    picture = np.repeat(np.arange(0, 250, dtype=np.uint8)[None], 400, axis=0)
    augmentation = Plain("seg", (32, 32), (0.5, 2.0))
    spans = [np.ptp(augmentation(coordinates(400, 250), picture, seed)[1]) + 1 for seed in range(400)]
    scales = 32 / np.array(spans)
    assert 0.49 < scales.min() < 0.56
    assert 1.9 < scales.max() <= 2.14
    assert abs(np.mean(scales) - 1.25) < 0.07


def test_windows_reach_every_part() -> None:
    picture = coordinates(40, 36)
    corners = set()
    for seed in range(400):
        image, out = Plain("seg", (32, 32), (1.0, 1.0))(picture, np.ascontiguousarray(picture[..., 0]), seed)
        assert (out != IGNORED).all()
        corners.add((int(image[..., 0].min()), int(image[..., 1].min())))
    assert corners == {*itertools.product(range(5), range(9))}


def test_a_seed_says_all() -> None:
    augmentation = MaskAugmentation("seg", CANVAS)
    image, mask = speckled(130, 90), ids(130, 90, (0, 1, 2))
    drawn = [augmentation(image, mask, seed) for seed in (1, 2, 1)]
    again = MaskAugmentation("seg", CANVAS)(image, mask, 1)
    assert (drawn[0][0] == drawn[2][0]).all()
    assert (drawn[0][1] == drawn[2][1]).all()
    assert (drawn[0][0] == again[0]).all()
    assert (drawn[0][0] != drawn[1][0]).any()
    assert len({augmentation(image, mask, seed)[0].tobytes() for seed in range(100)}) == 100


def test_the_input_is_left_as_it_is() -> None:
    image, mask = speckled(*CANVAS), ids(*CANVAS, (0, 1))
    before = image.copy(), mask.copy()
    for recipe, seed in itertools.product(SEGMENTATION_RECIPES, range(10)):
        MaskAugmentation(recipe, CANVAS, (1.0, 1.0))(image, mask, seed)
        assert (image == before[0]).all()
        assert (mask == before[1]).all()


def test_an_unknown_word() -> None:
    with pytest.raises(InputError, match="unknown augmentation 'ssd'; choose from none, flip, seg"):
        MaskAugmentation("ssd", CANVAS)
