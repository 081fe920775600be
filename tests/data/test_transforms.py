"""Augmentation: geometry typed by hand, boxes that stay on their pixels, SSD's window, and randomness by seed alone."""

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from noise import speckled
from torchvision import tv_tensors
from torchvision.transforms import v2

from densenets.data import RECIPES, transforms
from densenets.data.transforms import FILL, View, best_overlaps, build_augmentation, place, resize, shown, to_canvas
from densenets.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")

SIZE = np.array([100, 80])  # width, height
BOXES = np.array([[10.0, 20, 30, 40], [50, 5, 95, 75], [2, 60, 20, 78]])


@pytest.fixture
def no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "photometric", list)


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[View]:
    """Fills with every view that is used."""
    found: list[View] = []
    monkeypatch.setattr(transforms, "to_canvas", lambda view, boxes: found.append(view) or to_canvas(view, boxes))
    return found


# Geometry by hand


def test_none_stretches() -> None:
    image, boxes, rows = build_augmentation("none", (160, 300))(speckled(80, 100), BOXES, 0)
    assert (image.shape, image.dtype) == ((160, 300, 3), np.uint8)
    np.testing.assert_allclose(boxes, [[30, 40, 90, 80], [150, 10, 285, 150], [6, 120, 60, 156]])
    assert (rows.tolist(), rows.dtype) == ([0, 1, 2], np.int64)


def test_flip_mirrors_half_of_the_pictures() -> None:
    flip = build_augmentation("flip", (80, 100))
    mirrored = 0
    for seed in range(400):
        image, boxes, _ = flip(speckled(80, 100), BOXES, seed)
        if (image == speckled(80, 100)).all():
            np.testing.assert_allclose(boxes, BOXES)
        else:
            mirrored += 1
            assert (image == speckled(80, 100)[:, ::-1]).all()
            np.testing.assert_allclose(boxes, [[70, 20, 90, 40], [5, 5, 50, 75], [80, 60, 98, 78]])
    assert 160 < mirrored < 240


PLACES = {  # window in px of the 100x80 picture, piece of the picture, its place on the canvas of 50x40
    "whole": ((0, 0, 100, 80), (0, 0, 100, 80), (0, 0, 50, 40)),
    "a crop": ((20, 10, 60, 50), (20, 10, 60, 50), (0, 0, 50, 40)),
    "zoomed out, picture low right": ((-100, -80, 100, 80), (0, 0, 100, 80), (25, 20, 50, 40)),
    "zoomed out, picture high left": ((0, 0, 500, 400), (0, 0, 100, 80), (0, 0, 10, 8)),
    "a crop over the edge": ((-20, 40, 80, 120), (0, 40, 80, 80), (10, 0, 50, 20)),
    "a hair of the picture": ((-399, 0, 1, 80), (0, 0, 1, 80), (49, 0, 50, 40)),
}


@pytest.mark.parametrize("name", PLACES)
def test_where_a_window_lands(name: str) -> None:
    window, source, target = PLACES[name]
    view = place(np.array([window]), SIZE, np.array([50, 40]))
    assert (view.source[0].tolist(), view.target[0].tolist()) == (list(source), list(target))


def test_boxes_on_the_canvas() -> None:
    crop = View(np.array([20, 10, 60, 50]), np.array([0, 0, 50, 40]))
    np.testing.assert_allclose(to_canvas(crop, np.array([[20.0, 10, 60, 50], [24, 12, 100, 0]])),
                               [[0, 0, 50, 40], [5, 2, 100, -10]])  # fmt: skip
    small = View(np.array([0, 0, 100, 80]), np.array([25, 20, 50, 40]))
    np.testing.assert_allclose(to_canvas(small, np.array([[0.0, 0, 100, 80], [40, 8, 60, 16]])),
                               [[25, 20, 50, 40], [35, 22, 40, 24]])  # fmt: skip


def test_shown_is_what_place_showed() -> None:
    windows = np.array([[0, 0, 100, 80], [20, 10, 60, 50], [-100, -80, 100, 80], [200, 0, 300, 80]])
    canvas = np.array([50, 40])
    found = shown(place(windows, SIZE, canvas), canvas)
    np.testing.assert_allclose(found[:3], windows[:3])
    assert np.isnan(found[3]).any()  # it misses the picture
    assert best_overlaps(found, BOXES)[3] == -1


def test_overlaps_by_hand() -> None:
    windows = np.array([[0.0, 0, 10, 10], [0, 0, 20, 20], [5, 5, 15, 15]])
    boxes = np.array([[0.0, 0, 10, 5], [10, 10, 30, 20]])
    # The second box has its centre on the edge of the second window, which is not inside.
    np.testing.assert_allclose(best_overlaps(windows, boxes), [0.5, 0.125, -1])
    assert best_overlaps(windows, np.empty((0, 4))).tolist() == [-1, -1, -1]


def test_resize_averages_or_interpolates() -> None:
    image = np.arange(0, 192, 12, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2)
    assert resize(image, 2, 2)[:, :, 0].tolist() == [[30, 54], [126, 150]]
    assert resize(image, 4, 4) is image
    assert resize(image, 8, 8)[0, :, 0].tolist() == [0, 3, 9, 15, 21, 27, 33, 36]


# Boxes and pixels


def painted(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A black picture with one white rectangle, and its box."""
    x = np.sort(rng.choice(width, 2, replace=False))
    y = np.sort(rng.choice(height, 2, replace=False))
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[y[0] : y[1], x[0] : x[1]] = 255
    return image, np.array([[x[0], y[0], x[1], y[1]]], dtype=np.float64)


@pytest.mark.usefixtures("no_colour")
@pytest.mark.parametrize("recipe", RECIPES)
def test_boxes_stay_on_their_pixels(recipe: str) -> None:
    rng = np.random.default_rng(1)
    augmentation = build_augmentation(recipe, (96, 120))
    found = 0
    for seed in range(300):
        height, width = rng.integers(30, 260, 2)
        image, boxes = painted(rng, height, width)
        canvas, boxes, _ = augmentation(image, boxes, seed)
        if not len(boxes) or (boxes[0, 2:] - boxes[0, :2]).min() < 3:
            continue
        white = (canvas.min(axis=2) > 127).nonzero()
        pixels = [white[1].min(), white[0].min(), white[1].max() + 1, white[0].max() + 1]
        np.testing.assert_allclose(boxes[0], pixels, atol=0.75)
        found += 1
    assert found > 150


@pytest.mark.usefixtures("no_colour")
def test_zoom_out_shows_the_mean_around() -> None:
    augmentation = build_augmentation("ssd", (96, 120))
    image = np.full((80, 100, 3), 255, dtype=np.uint8)
    plain = [augmentation(image, np.empty((0, 4)), seed)[0] for seed in range(200)]
    shares = [(canvas == FILL).all(axis=2).mean() for canvas in plain]
    assert 70 < sum(share > 0 for share in shares) < 130  # half of the pictures
    assert all(((canvas == 255) | (canvas == FILL)).all() for canvas in plain)
    assert 0.9 < max(shares) <= 15 / 16 + 0.01  # a side up to 4 times as long


# SSD's window


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1)
    return (corners * SIZE).reshape(count, 4)


@pytest.mark.usefixtures("no_colour")
@pytest.mark.parametrize("recipe", ["ssd", "ssdlite"])
def test_what_is_kept_and_what_is_dropped(recipe: str, views: list[View], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms.A, "HorizontalFlip", lambda p: transforms.A.NoOp())
    augmentation = build_augmentation(recipe, (200, 250))
    rng = np.random.default_rng(0)
    for seed in range(200):
        boxes = random_boxes(rng, rng.integers(1, 12))
        _, left, rows = augmentation(speckled(80, 100), boxes, seed)
        whole = to_canvas(views[-1], boxes)
        centres = (whole[:, :2] + whole[:, 2:]) / 2
        inside = ((centres > 0) & (centres < [250, 200])).all(axis=1)
        cut = whole.clip(0, [250, 200, 250, 200])
        large = (cut[:, 2:] - cut[:, :2] >= 1).all(axis=1)
        assert rows.tolist() == np.flatnonzero(inside & large).tolist()
        np.testing.assert_allclose(left, cut[rows], atol=1e-9)
        assert ((left[:, :2] >= 0) & (left[:, :2] < left[:, 2:]) & (left[:, 2:] <= [250, 200])).all()
        assert inside.any()


@pytest.mark.parametrize("minimum", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_the_minimum_overlap_is_met(minimum: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "MIN_IOUS", (minimum, minimum, 1.0))
    rng = np.random.default_rng(0)
    canvas, frame = np.array([250, 200]), np.array([0, 0, *SIZE])
    whole = cropped = 0
    for _ in range(100):
        boxes = random_boxes(rng, 6)
        view = transforms.min_iou_view(rng, boxes, frame, SIZE, canvas)
        if view.source.tolist() == frame.tolist():
            whole += 1
            continue
        cropped += 1
        window = shown(View(view.source[None], view.target[None]), canvas)
        assert best_overlaps(window, boxes)[0] >= minimum
        sides = window[0, 2:] - window[0, :2]
        assert (sides >= np.floor(0.3 * SIZE)).all()
        assert (sides <= SIZE).all()
        assert 0.5 <= sides[0] / sides[1] <= 2
    assert whole > 10
    assert cropped > (10 if minimum < 0.9 else 0)


def reference_windows(boxes: np.ndarray, count: int) -> Iterator[float]:
    """The share of the picture that torchvision's crop shows."""
    crop = v2.RandomIoUCrop()
    inputs = [torch.zeros(3, 80, 100), tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(80, 100))]
    for _ in range(count):
        params = crop.make_params(inputs)
        yield params["height"] * params["width"] / 8000 if params else 1.0


def test_windows_are_distributed_as_torchvision_s() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    boxes = np.array([[5.0, 5, 45, 60], [40, 30, 99, 79], [70, 10, 80, 18]])
    frame = np.array([0, 0, *SIZE])
    theirs = np.sort(list(reference_windows(boxes, 600)))
    views = [transforms.min_iou_view(rng, boxes, frame, SIZE, SIZE * 2) for _ in range(3000)]
    ours = np.sort([np.prod(view.source[2:] - view.source[:2]) / 8000 for view in views])
    grid = np.linspace(0.05, 0.999, 60)
    difference = np.searchsorted(ours, grid) / len(ours) - np.searchsorted(theirs, grid) / len(theirs)
    assert np.abs(difference).max() < 0.08  # Kolmogorov and Smirnov: chance exceeds it in 3 of 1,000


def test_crowds_have_no_say_and_stay_while_seen(views: list[View]) -> None:
    augmentation = build_augmentation("ssdlite", (80, 100))
    for seed in range(50):
        assert len(augmentation(speckled(80, 100), BOXES, seed, np.full(3, True))[2]) == 3  # never a crop
    views.clear()
    corner = np.array([[0.0, 0, 100, 80], [5, 5, 25, 25]])  # a crowd all over, and one object
    for seed in range(200):
        assert 0 in augmentation(speckled(80, 100), corner, seed, np.array([True, False]))[2]
    beside = [view for view in views if (view.source[2:] < SIZE / 2).any()]
    assert len(beside) > 20  # the crowd's centre is not seen there


# Boxes that other libraries stumble over


@pytest.mark.parametrize("recipe", RECIPES)
def test_odd_boxes(recipe: str) -> None:
    augmentation = build_augmentation(recipe, (96, 120))
    image = speckled(80, 100)
    for boxes in (np.empty((0, 4)), np.empty(0), np.empty((0, 4), np.float32), np.array([[0, 0, 0, 0]])):
        for seed in range(20):
            canvas, left, rows = augmentation(image, boxes, seed)
            assert (canvas.shape, left.shape, rows.shape, rows.dtype) == ((96, 120, 3), (0, 4), (0,), np.int64)
    odd = np.array(
        [[-0.001, -3, 100.0008, 83], [20, 20, 20, 40], [30, 10, 30 + 1e-9, 40], [120, 5, 130, 9], [40, 40, 20, 20]]
    )
    for seed in range(50):
        _, left, rows = augmentation(image, odd, seed)
        assert set(rows) <= {0}
        assert (left >= 0).all()
        assert (left <= [120, 96, 120, 96]).all()
    _, left, rows = augmentation(image, np.array([[10, 10, 60, 70]]), 0)  # whole numbers
    assert left.dtype == np.float64


def test_rows_survive_any_number_of_boxes() -> None:
    rng = np.random.default_rng(0)
    boxes = np.repeat(np.array([[10.0, 10, 60, 70]]), 5000, axis=0) + rng.uniform(-1, 1, (5000, 4))
    _, left, rows = build_augmentation("none", (80, 100))(speckled(80, 100), boxes, 0)
    assert rows.tolist() == list(range(5000))
    np.testing.assert_allclose(left, boxes, atol=1e-9)


def test_small_boxes_leave() -> None:
    boxes = np.array([[10.0, 10, 11.9, 40], [10, 10, 12.1, 40]])
    assert build_augmentation("none", (40, 50))(speckled(80, 100), boxes, 0)[2].tolist() == [1]


# Randomness


def outcome(recipe: str, seed: int) -> tuple[bytes, bytes, bytes]:
    image, boxes, rows = build_augmentation(recipe, (96, 120))(speckled(80, 100), BOXES, seed)
    return image.tobytes(), boxes.tobytes(), rows.tobytes()


@pytest.mark.parametrize("recipe", ["flip", "ssd", "ssdlite"])
def test_seed_alone_decides(recipe: str) -> None:
    augmentation = build_augmentation(recipe, (96, 120))
    for seed in (0, 1, 2**64 - 1):
        np.random.seed(seed % 7)  # noqa: NPY002
        random.seed(seed)
        torch.manual_seed(seed)
        augmentation(speckled(60, 90), BOXES, 5)
        image, boxes, rows = augmentation(speckled(80, 100), BOXES, seed)
        assert (image.tobytes(), boxes.tobytes(), rows.tobytes()) == outcome(recipe, seed)
    if recipe == "ssd":
        assert len({outcome(recipe, seed) for seed in range(60)}) == 60


def digest() -> str:
    image = np.arange(24000, dtype=np.uint32).astype(np.uint8).reshape(80, 100, 3)
    outcomes = [build_augmentation("ssd", (96, 120))(image, BOXES, seed) for seed in range(8)]
    return hashlib.sha256(b"".join(array.tobytes() for outcome in outcomes for array in outcome)).hexdigest()


def test_another_process_draws_the_same() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_transforms; print(test_transforms.digest())"
    run = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == (digest(), "")


def test_steps_draw_apart(monkeypatch: pytest.MonkeyPatch, no_colour: None) -> None:
    """A picture that is zoomed out is flipped as often as another."""
    augmentation = build_augmentation("ssd", (80, 100))
    image = np.full((80, 100, 3), 255, dtype=np.uint8)
    image[:, :50] = 0
    counts = {(zoomed, flipped): 0 for zoomed in (0, 1) for flipped in (0, 1)}
    for seed in range(400):
        canvas, _, _ = augmentation(image, np.empty((0, 4)), seed)
        dark = (canvas == 0).all(axis=2).any(axis=0).nonzero()[0].mean()
        light = (canvas == 255).all(axis=2).any(axis=0).nonzero()[0].mean()
        counts[int((canvas == FILL).all(axis=2).any()), int(dark > light)] += 1
    assert min(counts.values()) > 70


def test_colour_changes_and_boxes_do_not() -> None:
    image = speckled(80, 100)
    augmentation = build_augmentation("ssd", (80, 100))
    plain = build_augmentation("ssdlite", (80, 100))
    means = [augmentation(image, np.empty((0, 4)), seed)[0].std() for seed in range(100)]
    assert np.std(means) > 3 * np.std([plain(image, np.empty((0, 4)), seed)[0].std() for seed in range(100)])


def test_the_picture_given_is_not_changed() -> None:
    image = speckled(80, 100)
    for recipe in RECIPES:
        augmentation = build_augmentation(recipe, (80, 100))
        for seed in range(20):
            augmentation(image, BOXES, seed)
    assert (image == speckled(80, 100)).all()


def test_unknown_recipe() -> None:
    with pytest.raises(InputError, match="unknown augmentation 'ssd2'; choose from none, flip, ssd, ssdlite"):
        build_augmentation("ssd2", (96, 96))


def test_a_misspelt_argument_of_a_transform_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """albumentations only warns of an argument that it does not know, and goes on without."""

    def steps(recipe: str, height: int, width: int, keep_ratio: bool) -> list[object]:
        return [transforms.A.PadIfNeeded(height, width, value=7)]

    monkeypatch.setattr(transforms, "recipe_steps", steps)
    with pytest.raises(UserWarning, match="value"):
        build_augmentation("none", (96, 96))
