"""Pictures: golden pixels of every mode, one error for every broken file, and no crash in thousands of mutations."""

import io
import logging
import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise import speckled
from PIL import Image

from densenets.data import decode
from densenets.data.decode import AnimationError, decode_image, read_image
from densenets.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")
ORIENTATION = 0x0112


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def smooth(height: int = 48, width: int = 64) -> Image.Image:
    """A picture that JPEG keeps well."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 3, y * 4, x + y], axis=2).astype(np.uint8))


PLAIN = np.array([[[10, 20, 30], [200, 100, 50]]], dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)  # (8, 16, 3)
GRAY = np.array([[7, 250]], dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def palette() -> Image.Image:
    image = Image.fromarray((GRAY > 100).astype(np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    return image


MODES: dict[str, tuple[bytes, list[int], list[int]]] = {  # file, the pixel on the left, the pixel on the right
    "RGB": (encoded(Image.fromarray(PLAIN)), [10, 20, 30], [200, 100, 50]),
    "L": (encoded(Image.fromarray(GRAY)), [7, 7, 7], [250, 250, 250]),
    "LA": (encoded(Image.fromarray(GRAY).convert("LA")), [7, 7, 7], [250, 250, 250]),
    "1": (encoded(Image.fromarray(GRAY).point(lambda v: 255 * (v > 99), "1")), [0, 0, 0], [255, 255, 255]),
    "P": (encoded(palette()), [10, 20, 30], [200, 100, 50]),
    "P with a transparent colour": (encoded(palette(), transparency=0), [10, 20, 30], [200, 100, 50]),
    "P with alphas": (encoded(palette(), transparency=b"\x80\xff"), [10, 20, 30], [200, 100, 50]),
    "RGBA drops alpha": (encoded(Image.fromarray(PLAIN).convert("RGBA")), [10, 20, 30], [200, 100, 50]),
    "16-bit gray": (encoded(Image.fromarray(GRAY.astype(np.uint16) * 256 + 255)), [7, 7, 7], [250, 250, 250]),
    "CMYK": (encoded(Image.new("CMYK", (16, 8), (0, 127, 255, 51)), "JPEG", quality=100), [204, 102, 0], [204, 102, 0]),
    "BMP": (encoded(Image.fromarray(PLAIN), "BMP"), [10, 20, 30], [200, 100, 50]),
    "WebP": (encoded(Image.fromarray(PLAIN), "WEBP", lossless=True), [10, 20, 30], [200, 100, 50]),
}


@pytest.mark.parametrize("name", MODES)
def test_modes_become_rgb(name: str) -> None:
    data, left, right = MODES[name]
    pixels = decode_image(data, name, (8, 16))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (8, 16, 3))
    assert (pixels[:, :8] == left).all()
    assert (pixels[:, 8:] == right).all()
    assert pixels.flags.writeable


def test_sixteen_bit_colour() -> None:
    rows = b"".join(b"\0" + struct.pack(">24H", *[0x12FF, 0x80FF, 0xFE00] * 8) for _ in range(8))
    data = png(struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0), rows)
    assert (decode_image(data, "x") == [0x12, 0x80, 0xFE]).all()


def png(header: bytes, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_jpeg_gray_and_cmyk() -> None:
    reference = np.asarray(smooth()).astype(int)
    for image in (smooth(), smooth().convert("CMYK")):
        pixels = decode_image(encoded(image, "JPEG", quality=95), "x")
        assert np.abs(pixels - reference).mean() < 4
    gray = decode_image(encoded(smooth().convert("L"), "JPEG"), "x")
    assert (gray[:, :, 0] == gray[:, :, 2]).all()


def test_suffix_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(encoded(Image.fromarray(speckled(20, 30))))
    assert (read_image(tmp_path / "picture.jpg") == speckled(20, 30)).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_cut_short(form: str) -> None:
    data = encoded(Image.fromarray(speckled(64, 96)), form)
    for percent in (10, 30, 50, 75, 90, 99):
        with pytest.raises(InputError, match=r"x: (cut short or damaged|not a picture): .*\[D0[13]\]"):
            decode_image(data[: len(data) * percent // 100], "x")


GUESSES = {
    b"": "the file is empty",
    b"\0" * 5000: "nothing but zeros",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "git-lfs pointer",
    b"\n<!DOCTYPE html><title>404</title>": "HTML page",
    b"<HTML>": "HTML page",
    encoded(smooth(), "TIFF"): "looks like a TIFF",
    encoded(smooth(), "PDF"): "looks like a PDF",
    b"some words": "no JPEG, PNG, WebP or BMP",
}


@pytest.mark.parametrize("data", GUESSES, ids=GUESSES.values())
def test_what_it_is_instead(data: bytes) -> None:
    with pytest.raises(InputError, match=rf"x: not a picture: .*{GUESSES[data]}.*\[D03\]"):
        decode_image(data, "x")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jpg: no such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_image("a\0b\nc")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("side", [8001, 10_000, 60_000])
def test_too_many_pixels_are_refused_by_the_header(side: int) -> None:
    data = png(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"\0" * 50)
    with pytest.raises(InputError, match=r"million pixels \[D25\]"):
        decode_image(data, "x")


@pytest.mark.parametrize("max_pixels", [0.0001, 64, 1000])
def test_the_cap_holds_before_a_reader_takes_the_memory(max_pixels: float) -> None:
    """WebP's reader makes the canvas when the file is opened; Pillow's own limit is 179 million pixels."""
    side = struct.pack("<I", 16382)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + side + side
    before, limit = peak_memory(), Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match="D01" if max_pixels == 1000 else "D25"):
        decode_image(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk, "x", max_pixels=max_pixels)
    assert peak_memory() - before < 100_000_000
    assert limit == Image.MAX_IMAGE_PIXELS


def peak_memory() -> int:
    """Bytes, of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_more_pixels_than_pillow_allows_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (400, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode_image(data, "x", max_pixels=0.12).shape == (300, 400, 3)
    with pytest.raises(InputError, match=r"x: .*more than 0\.1199 million pixels \[D25\]"):
        decode_image(data, "x", max_pixels=0.1199)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 100), (8, 401), (500, 9)])
def test_extreme_shapes(height: int, width: int) -> None:
    with pytest.raises(InputError, match=r"x: .*cannot be used \[D26\]"):
        decode_image(encoded(Image.new("RGB", (width, height))), "x")


def test_size_must_be_the_stated_one() -> None:
    data = encoded(smooth(48, 64))
    assert decode_image(data, "x", np.array([48, 64])).shape == (48, 64, 3)
    for wrong in ((64, 48), (48, 63)):
        with pytest.raises(InputError, match=r"the picture is 64x48, the annotations say \d+x\d+ \[D27\]"):
            decode_image(data, "x", wrong)


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, exif=exif)


UPRIGHT = {  # what the viewer sees, from the stored pixels
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(orientation: int, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(decode, "_warned", set())
    stored = speckled(16, 24)
    seen = UPRIGHT[orientation](stored)
    data = turned(Image.fromarray(stored), orientation)
    with caplog.at_level(logging.WARNING):
        assert (decode_image(data, "x") == seen).all()
        assert not caplog.records
        assert (decode_image(data, "x", seen.shape[:2]) == seen).all()
        assert bool(caplog.records) == (orientation < 5)  # the size cannot tell
    if orientation >= 5:
        assert (decode_image(data, "x", (16, 24)) == stored).all()  # the boxes were drawn on the stored picture
    with pytest.raises(InputError, match="D27"):
        decode_image(data, "x", (24, 25))


def test_square_picture_is_turned_with_one_warning(caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(decode, "_warned", set())
    stored = speckled(16, 16)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            pixels = decode_image(turned(Image.fromarray(stored), 6), "x", (16, 16))
    assert (pixels == np.rot90(stored, -1)).all()
    assert len(caplog.records) == 1


def test_broken_exif_does_not_spoil_the_picture() -> None:
    data = encoded(smooth(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\xff\xff\xff\xff")
    assert decode_image(data, "x", (48, 64)).shape == (48, 64, 3)
    assert decode_image(encoded(smooth(), "JPEG", exif=b"Exif\0\0rubbish"), "x").shape == (48, 64, 3)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations(form: str) -> None:
    frames = [Image.fromarray(speckled(16, 16, seed)) for seed in range(3)]
    with pytest.raises(AnimationError, match=r"an animation.*D30"):
        decode_image(encoded(frames[0], form, save_all=True, append_images=frames[1:]), "x")


def test_a_gif_is_refused_however_many_pictures_it_has() -> None:
    frames = [Image.fromarray(speckled(16, 16, seed)) for seed in range(3)]
    for rest in ([], frames[1:]):
        with pytest.raises(AnimationError, match=r"x: a GIF; JPEG, PNG, WebP and BMP are read \[D30\]"):
            decode_image(encoded(frames[0], "GIF", save_all=True, append_images=rest), "x")


def test_the_first_picture_of_a_camera_s_mpo() -> None:
    data = encoded(smooth(), "MPO", save_all=True, append_images=[smooth().rotate(180)], quality=95)
    assert np.abs(decode_image(data, "x") - np.asarray(smooth()).astype(int)).mean() < 4


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_mutations_give_a_picture_or_one_error(form: str) -> None:
    original = encoded(Image.fromarray(speckled(24, 32)), form)
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(500):
        data = bytearray(original)
        for position in rng.integers(len(data), size=rng.integers(1, 12)):
            data[position] = rng.integers(256)
        try:
            outcomes.append(decode_image(bytes(data), "x"))
        except InputError as error:
            outcomes.append(str(error))
    errors = [text for text in outcomes if isinstance(text, str)]
    pictures = [pixels for pixels in outcomes if isinstance(pixels, np.ndarray)]
    assert errors
    assert pictures or form == "PNG"  # whose checksums notice
    assert all(text.isprintable() for text in errors)
    assert all((pixels.dtype, pixels.shape[2]) == (np.uint8, 3) for pixels in pictures)


def test_real_pictures_have_the_size_they_are_said_to_have(real_data: Path) -> None:
    from densenets.data import open_split

    for folder, split in (("coco_mini", "val"), ("bccd", "test")):
        data = open_split(real_data / folder, split)
        for file, size in zip(data.files, data.sizes, strict=True):
            assert read_image(str(file), size).shape == (*size, 3)
