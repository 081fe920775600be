"""Views of a picture against the same done by hand, with models that cost nothing."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from densenets.errors import InputError
from densenets.run.views import ManyViews, places

COLOURS = torch.tensor([[4.0, -1.0, 0.5], [-2.0, 3.0, 1.0]])  # (C, 3) of a 1x1 classifier


class ByColour(nn.Module):
    """(N, 3, H, W) -> (N, 2, H, W): each pixel by its own colour. sizes: of the images it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape[-2:]))
        return torch.einsum("ck,nkhw->nchw", COLOURS, images)


class ByPlace(nn.Module):
    """Logits that say where in its view a pixel is, so that no two views agree."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        down, across = torch.linspace(0, 3, height)[:, None], torch.linspace(-2, 5, width)
        return torch.stack([down * across, images[0, 0] + across.expand(height, width)])[None]


class Wild(nn.Module):
    """One logit is not finite."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor) -> Tensor:
        logits = images[:, :2].clone()
        logits[0, 0, 0, 0] = self.value
        return logits


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 13, 22, generator=torch.Generator().manual_seed(3))


def by_hand(model: nn.Module, image: Tensor, windows: list[tuple[slice, slice]]) -> Tensor:
    """Pixel by pixel: the mean of the probabilities of all windows that show it."""
    total, seen = torch.zeros(1, 2, *image.shape[-2:]), torch.zeros(image.shape[-2:])
    for rows, columns in windows:
        chance = model(image[:, :, rows, columns]).softmax(1)
        for y, x in itertools.product(range(rows.start, rows.stop), range(columns.start, columns.stop)):
            total[:, :, y, x] += chance[:, :, y - rows.start, x - columns.start]
            seen[y, x] += 1
    assert seen.min() >= 1
    return total / seen


def test_once_is_the_softmax(image: Tensor) -> None:
    model = ByPlace()
    assert torch.equal(ManyViews(model)(image), model(image).softmax(1))


@pytest.mark.parametrize("window", [(13, 22), (40, 50), (13, 100)])
def test_a_window_as_large_as_the_picture_is_the_picture(image: Tensor, window: tuple[int, int]) -> None:
    assert torch.equal(ManyViews(ByPlace(), window)(image), ManyViews(ByPlace())(image))


def test_windows_overlap_and_their_mean_counts(image: Tensor) -> None:
    model = ByPlace()
    rows = [slice(0, 6), slice(4, 10), slice(7, 13)]  # 13 in windows of 6 that share 2 at the least
    columns = [slice(0, 9), slice(4, 13), slice(9, 18), slice(13, 22)]  # 22 in windows of 9 that share 3 at the least
    assert [place.start for place in rows] == places(13, 6, 1 / 3)
    found = ManyViews(model, (6, 9), overlap=1 / 3)(image)
    torch.testing.assert_close(found, by_hand(model, image, [*itertools.product(rows, columns)]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("overlap", [0.0, 0.2, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("window", [1, 2, 7, 32, 33])
@pytest.mark.parametrize("length", [33, 34, 64, 65, 100, 2048])
def test_windows_cover_all_and_overlap_as_asked(length: int, window: int, overlap: float) -> None:
    starts = places(length, window, overlap)
    assert (starts[0], starts[-1] + window) == (0, length)
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < step <= max(1, window * (1 - overlap) + 1) for step in steps)
    assert max(steps, default=1) <= window  # none is left out between two
    assert max(steps, default=1) - min(steps, default=1) <= 1  # evenly


def test_a_mirrored_view_is_mirrored_back(image: Tensor) -> None:
    model = ByPlace()
    mirrored = model(image.flip(-1)).softmax(1).flip(-1)
    expected = (model(image).softmax(1) + mirrored) / 2
    torch.testing.assert_close(ManyViews(model, flip=True)(image), expected, rtol=0, atol=1e-6)
    plain = ByColour()  # of which each view says the same
    torch.testing.assert_close(ManyViews(plain, flip=True)(image), plain(image).softmax(1), rtol=0, atol=1e-6)


def test_probabilities_of_all_scales_are_averaged_not_logits(image: Tensor) -> None:
    model = ByPlace()
    size = image.shape[-2:]
    parts = []
    for height, width in ((6, 11), (13, 22), (26, 44)):
        view = functional.interpolate(image, (height, width), mode="bilinear", antialias=height < 13)
        for flipped in (False, True):
            chance = model(view.flip(-1) if flipped else view).softmax(1)
            parts.append(functional.interpolate(chance.flip(-1) if flipped else chance, size, mode="bilinear"))
    expected = torch.stack(parts).mean(0)
    found = ManyViews(model, scales=(0.5, 1.0, 2.0), flip=True)(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(1, *size), rtol=0, atol=1e-5)
    assert found.shape == (1, 2, *size)


def test_the_window_keeps_its_px_at_every_scale(image: Tensor) -> None:
    model = ByColour()
    ManyViews(model, (10, 10), overlap=0, scales=(0.5, 2.0))(image)
    assert {*model.sizes} == {(6, 10), (10, 10)}  # 6x11 px: less high than the window


def test_images_of_a_batch_do_not_see_each_other(image: Tensor) -> None:
    both = torch.cat([image, 1 - image])
    net = ManyViews(ByColour(), (8, 8), scales=(1.0, 1.5), flip=True)
    torch.testing.assert_close(net(both)[:1], net(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("window", [None, (8, 8)])
def test_what_is_not_finite_does_not_become_a_probability(
    image: Tensor, value: float, window: tuple[int, int] | None
) -> None:
    assert ManyViews(Wild(value), window, scales=(1.0,))(image).isnan().any()


def test_nothing_is_left_of_a_side(image: Tensor) -> None:
    with pytest.raises(InputError, match=r"--scales: 0\.01: nothing is left of a side of 13 px"):
        ManyViews(ByColour(), scales=(0.01,))(image)
