"""Pictures that keep their ratio on the canvas: where they lie, where their boxes go, and back to the file."""

import numpy as np
import pytest
import torch

from densenets.data import RECIPES
from densenets.data.samples import placed, shown_size
from densenets.data.transforms import FILL, build_augmentation, photometric

CANVAS = (96, 120)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((480, 640), (90, 120)),
        ((640, 480), (96, 72)),
        ((96, 120), (96, 120)),
        ((10, 10), (96, 96)),
        ((1, 5000), (1, 120)),
        ((5000, 1), (96, 1)),
        ((333, 500), (80, 120)),
    ],
)
def test_a_whole_picture_fills_what_its_ratio_lets_it(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert shown_size(size, CANVAS, True) == shown
    image = np.full((*size, 3), 255, dtype=np.uint8)
    boxes = np.array([[0.0, 0, size[1], size[0]]])
    canvas, found, _ = build_augmentation("none", CANVAS, True)(image, boxes, 0)
    assert canvas.shape == (*CANVAS, 3)
    assert (canvas[: shown[0], : shown[1]] == 255).all()
    ground = np.ones(CANVAS, dtype=bool)
    ground[: shown[0], : shown[1]] = False
    assert (canvas[ground] == FILL).all()
    np.testing.assert_allclose(found, [[0, 0, shown[1], shown[0]]])


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (47, 301), (301, 47)])
def test_boxes_come_back_to_the_file(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (50, 2, 2)), axis=1) * [size[1], size[0]]
    boxes = corners.reshape(50, 4)
    _, found, rows = build_augmentation("none", CANVAS, True)(np.zeros((*size, 3), np.uint8), boxes, 0)
    assert len(rows) > 20  # the rest is thinner than a pixel there
    info = placed("a.png", size, CANVAS, keep_ratio=True)
    back = info.to_file(torch.from_numpy(found))
    np.testing.assert_allclose(back.numpy(), boxes[rows], atol=1e-9 * max(size))


@pytest.mark.parametrize("recipe", RECIPES)
def test_boxes_stay_on_their_pixels(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densenets.data.transforms.photometric", lambda shuffle=True: photometric(shuffle)[:0])
    augmentation = build_augmentation(recipe, CANVAS, True)
    seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(60, 300, 2)
        image = np.zeros((height, width, 3), dtype=np.uint8)
        x, y = np.sort(rng.choice(width, 2, replace=False)), np.sort(rng.choice(height, 2, replace=False))
        image[y[0] : y[1], x[0] : x[1]] = 255
        canvas, boxes, _ = augmentation(image, np.array([[x[0], y[0], x[1], y[1]]], dtype=np.float64), seed)
        white = np.argwhere((canvas > 200).all(axis=2))
        if len(boxes) and len(white):
            seen += 1
            low, high = white.min(axis=0)[::-1], white.max(axis=0)[::-1] + 1
            np.testing.assert_allclose(boxes[0], [*low, *high], atol=1.5)
    assert seen > 20


@pytest.mark.parametrize("recipe", ["ssd", "ssdlite"])
def test_a_circle_stays_round(recipe: str) -> None:
    y, x = np.mgrid[:200, :300]
    image = np.zeros((200, 300, 3), dtype=np.uint8)
    image[(y - 100) ** 2 + (x - 150) ** 2 < 40**2] = 255
    augmentation, boxes = build_augmentation(recipe, CANVAS, True), np.array([[110.0, 60, 190, 140]])
    ratios = []
    for seed in range(80):
        _, found, _ = augmentation(image, boxes, seed)
        inside = len(found) and (found[0] > 1).all() and (found[0] < [119, 95, 119, 95]).all()
        ratios += [(found[0][2] - found[0][0]) / (found[0][3] - found[0][1])] if inside else []
    assert len(ratios) > 20
    np.testing.assert_allclose(ratios, 1.0, atol=0.08)  # its edges lie on whole px of the canvas
