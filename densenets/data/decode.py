"""Files and the pictures in them: Pillow alone, from bytes, in full. Other decoders crash on some broken files."""

import io
import logging
import os
import posixpath
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from densenets.errors import InputError, printable

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # no other parser of Pillow ever runs
MAX_PIXELS = 64_000_000
MIN_SIDE = 8
MAX_ASPECT = 50
ORIENTATION = 0x0112  # EXIF tag
TURNS = {  # its values; 5 to 8 exchange height and width
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

GUESSES = (  # how a file begins, in lower case, and what it then is
    (b"version https://git-lfs", "looks like a git-lfs pointer (run git lfs pull)"),
    (b"<!doctype html", "looks like an HTML page, perhaps of a download that failed"),
    (b"<html", "looks like an HTML page, perhaps of a download that failed"),
    (b"gif8", "looks like a GIF; JPEG, PNG, WebP and BMP are read"),
    (b"ii*\0", "looks like a TIFF; JPEG, PNG, WebP and BMP are read"),
    (b"mm\0*", "looks like a TIFF; JPEG, PNG, WebP and BMP are read"),
    (b"%pdf", "looks like a PDF; JPEG, PNG, WebP and BMP are read"),
)

_warned: set[str] = set()  # the first picture that was warned of


class PictureError(InputError):
    """A picture that cannot be read or used, whatever is said of it; in training another may stand in for it."""


def read_image(path: str | os.PathLike[str], size: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    size: the (height, width) that the annotations state. A picture with an EXIF orientation is turned where that makes
    it this size; where both ways do, or nothing is stated, it is turned. Raises PictureError; InputError where the
    picture is sound, but of another size than stated.
    """
    try:
        data = read_bytes(Path(path))
    except InputError as error:
        raise PictureError(str(error)) from error
    return decode_image(data, printable(path), size)


def decode_image(data: bytes, name: str, size: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """As `read_image`, from bytes; `name` is what an error calls them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, judged here by a lower limit, and of odd metadata
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_header(image, name)
            image.load()
            return _rgb(_upright(image, name, size), name)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{name}: not a picture: {_guess(data)} [D03]") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name}: more than {MAX_PIXELS // 1_000_000} million pixels [D25]") from error
    except Exception as error:  # a broken file makes Pillow's parsers raise almost anything
        raise PictureError(f"{name}: cut short or damaged: {reason(error)} [D01]") from error


def _check_header(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"{name}: {width}x{height} is more than {MAX_PIXELS // 1_000_000} million pixels [D25]")
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(
            f"{name}: {width}x{height}: a side under {MIN_SIDE} px or an aspect over {MAX_ASPECT} cannot be used [D26]"
        )
    # A JPEG with more frames is a camera's MPO, whose first is the picture.
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise PictureError(f"{name}: an animation, not a picture [D30]")


def _upright(image: Image.Image, name: str, size: Sequence[int] | np.ndarray | None) -> Image.Image:
    """The picture turned as EXIF says where the stated size allows it; another size is an error."""
    stored = (image.height, image.width)
    orientation = _orientation(image)
    turned = stored[::-1] if orientation in (5, 6, 7, 8) else stored
    expected = turned if size is None else (int(size[0]), int(size[1]))
    if expected not in (stored, turned):
        raise InputError(
            f"{name}: the picture is {stored[1]}x{stored[0]}, the annotations say {expected[1]}x{expected[0]} [D27]"
        )
    if orientation not in TURNS or expected != turned:
        return image
    if size is not None and stored == turned:
        _warn_once(name)
    return image.transpose(TURNS[orientation])


def _orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8; 1 where there is none, or none that can be read: the picture itself may still be sound."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception as error:  # as of the pixels, so of the metadata
        logger.debug("EXIF cannot be read: %s", error)
        return 1


def _warn_once(name: str) -> None:
    """The size cannot tell whether the boxes were drawn before or after turning: say so, once a process."""
    if not _warned:
        _warned.add(name)
        logger.warning("%s: turned as its EXIF orientation says; its size does not show whether the boxes are", name)


def _rgb(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit gray; convert() would cut all above 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise PictureError(f"{name}: gray levels beyond 16 bit [D06]")
        gray = (values.astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise PictureError(f"{name}: floating-point pixels [D06]")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _guess(data: bytes) -> str:
    if not data:
        return "the file is empty"
    if not data.strip(b"\0"):
        return "the file holds nothing but zeros"
    start = data[:512].lstrip().lower()
    return next((guess for begin, guess in GUESSES if start.startswith(begin)), "no JPEG, PNG, WebP or BMP")


def read_bytes(path: Path) -> bytes:
    """The file, or InputError."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{printable(path)}: cannot be read: {reason(error)}") from error


def reason(error: Exception) -> str:
    """An error in a few words, without the path that stands before it anyway."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(text or type(error).__name__)


def locate(root: Path, names: Sequence[str], source: object) -> np.ndarray:
    """(N,) the full paths of files named relative to `root`, which all exist.

    Each folder is listed once: that is faster than asking for 118,000 files one by one.
    """
    found: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, file = posixpath.split(posixpath.normpath(name))
        if folder not in found:
            found[folder] = list_files(root / folder, root, source)
        if file not in found[folder]:
            missing.append(name)
    if missing:
        hint = " (folders are written with /, not with a backslash)" if "\\" in missing[0] else ""
        raise InputError(
            f'{printable(source)}: "{printable(missing[0])}" is not in {printable(root)}{hint}; '
            f"{len(missing)} of {len(names)} image files are missing [D23]"
        )
    return np.array([posixpath.join(root, name) for name in names])


def list_files(folder: Path, inside: Path, source: object) -> set[str]:
    """The names of the files of a folder, read at one go; none where there is no such folder.

    A link that leads out of `inside` is an InputError, which names `source`.
    """
    base = os.path.realpath(inside)
    names = set()
    try:
        _refuse_outside(folder, base, source)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _refuse_outside(folder / entry.name, base, source)
                if entry.is_file():
                    names.add(entry.name)
    except (OSError, ValueError):  # no such folder, or a name that this system cannot have
        return set()
    return names


def _refuse_outside(place: Path, base: str, source: object) -> None:
    if os.path.commonpath([base, os.path.realpath(place)]) != base:
        raise InputError(f"{printable(source)}: {printable(place)} leads out of the images folder [D24]")
