"""Files and the pictures in them: Pillow alone, from bytes, in full. Other decoders crash on some broken files."""

import contextlib
import errno
import io
import logging
import math
import os
import posixpath
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from densenets.errors import InputError, printable
from densenets.files import check_file

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # no other parser of Pillow ever runs
MAX_PIXELS = 64.0  # millions
MIN_SIDE = 8
MAX_ASPECT = 50
ORIENTATION = 0x0112  # EXIF tag
TURNS = {  # its values
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # those that exchange height and width

GUESSES = (  # how a file begins, in lower case, and what it then is
    (b"version https://git-lfs", "looks like a git-lfs pointer (run git lfs pull)"),
    (b"<!doctype html", "looks like an HTML page, perhaps of a download that failed"),
    (b"<html", "looks like an HTML page, perhaps of a download that failed"),
    (b"ii*\0", "looks like a TIFF; JPEG, PNG, WebP and BMP are read"),
    (b"mm\0*", "looks like a TIFF; JPEG, PNG, WebP and BMP are read"),
    (b"%pdf", "looks like a PDF; JPEG, PNG, WebP and BMP are read"),
)

_warned: set[str] = set()  # the first picture that was warned of
_pillow = threading.RLock()  # around Pillow's own limit, which is one for the whole process
if hasattr(os, "register_at_fork"):  # a process forked while another thread held it would wait for ever
    os.register_at_fork(before=_pillow.acquire, after_in_parent=_pillow.release, after_in_child=_pillow.release)


class PictureError(InputError):
    """A picture that cannot be read or used, whatever is said of it; in training another may stand in for it."""


class AnimationError(PictureError):
    """A file of several pictures, of which none is said to be meant; nothing stands in for it."""


def read_image(
    path: str | os.PathLike[str], size: Sequence[int] | np.ndarray | None = None, max_pixels: float = MAX_PIXELS
) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    max_pixels: in millions; a header that states more is refused before anything is decoded. size: the (height, width)
    that the annotations state. A picture with an EXIF orientation is turned where that makes it this size; where both
    ways do, or nothing is stated, it is turned. Raises PictureError; InputError where the picture is sound, but of
    another size than stated.
    """
    try:
        data = read_bytes(Path(path))
    except InputError as error:
        raise PictureError(f"{error} [D41]") from error
    return decode_image(data, printable(path), size, max_pixels)


def decode_image(
    data: bytes, name: str, size: Sequence[int] | np.ndarray | None = None, max_pixels: float = MAX_PIXELS
) -> np.ndarray:
    """As `read_image`, from bytes; `name` is what an error calls them."""
    with opened(io.BytesIO(data), name, max_pixels) as image:
        image.load()
        return _rgb(_upright(image, name, size), name)


@contextlib.contextmanager
def opened(source: IO[bytes], name: str, max_pixels: float = MAX_PIXELS) -> Iterator[Image.Image]:
    """A picture whose header is read and judged, and of which nothing is decoded yet.

    What is wrong with it, or is met in decoding it inside the `with`, is raised as PictureError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, judged here by a limit of our own, and of odd metadata
            with _limited_to(max_pixels):
                image: Image.Image = Image.open(source, formats=FORMATS)
            _check_header(image, name, max_pixels)
            yield image
    except InputError:
        raise
    except UnidentifiedImageError as error:
        source.seek(0)
        data = source.read()
        if data.startswith(b"GIF8"):
            raise AnimationError(f"{name}: a GIF; JPEG, PNG, WebP and BMP are read [D30]") from error
        raise PictureError(f"{name}: not a picture: {_guess(data)} [D03]") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name}: more than {max_pixels:g} million pixels [D25]") from error
    except Exception as error:  # a broken file makes Pillow's parsers raise almost anything
        raise PictureError(f"{name}: cut short or damaged: {reason(error)} [D01]") from error


@contextlib.contextmanager
def _limited_to(max_pixels: float) -> Iterator[None]:
    """Pillow itself refuses more: its WebP reader has to, for it takes the memory as soon as a file is opened."""
    with _pillow:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = math.ceil(max_pixels * 1e6 / 2)  # it raises at twice of this
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_header(image: Image.Image, name: str, max_pixels: float) -> None:
    width, height = image.size
    if width * height > max_pixels * 1e6:
        raise PictureError(f"{name}: {width}x{height} is more than {max_pixels:g} million pixels [D25]")
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(
            f"{name}: {width}x{height}: a side under {MIN_SIDE} px or an aspect over {MAX_ASPECT} cannot be used [D26]"
        )
    # A JPEG with more frames is a camera's MPO, whose first is the picture.
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise AnimationError(f"{name}: an animation, not a picture [D30]")


def _upright(image: Image.Image, name: str, size: Sequence[int] | np.ndarray | None) -> Image.Image:
    """The picture turned as EXIF says where the stated size allows it; another size is an error."""
    stored = (image.height, image.width)
    turn = orientation(image)
    turned = stored[::-1] if turn in SIDEWAYS else stored
    expected = turned if size is None else (int(size[0]), int(size[1]))
    if expected not in (stored, turned):
        raise InputError(
            f"{name}: the picture is {stored[1]}x{stored[0]}, the annotations say {expected[1]}x{expected[0]} [D27]"
        )
    if turn not in TURNS or expected != turned:
        return image
    if size is not None and stored == turned:
        _warn_once(name)
    return image.transpose(TURNS[turn])


def orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8; 1 where there is none, or none that can be read: the picture itself may still be sound."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
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
    check_file(path)
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{printable(path)}: cannot be read: {reason(error)}") from error


def reason(error: Exception) -> str:
    """An error in a few words, without the path that stands before it anyway."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(text or type(error).__name__)


def climbs(name: str) -> bool:
    """Whether a name that should be relative to a folder names nothing inside of it."""
    return "\0" in name or name.startswith("/") or ".." in name.split("/") or not name.strip("./")


class Located(NamedTuple):
    """files: (N,) full paths. The masks, (N,): which are missing, and which are or lie behind a link that leads out."""

    files: np.ndarray
    missing: np.ndarray
    outside: np.ndarray


def locate(root: Path, names: Sequence[str], follow_symlinks: bool = False) -> Located:
    """Files named relative to `root`.

    Each folder is listed once: that is faster than asking for 118,000 files one by one.
    """
    base = os.path.realpath(root)
    found: dict[str, dict[str, bool]] = {}
    strange: dict[str, bool] = {}  # folders that lie outside
    missing, outside = np.zeros((2, len(names)), dtype=bool)
    for row, name in enumerate(names):
        folder, file = posixpath.split(posixpath.normpath(name))
        if folder not in found:
            found[folder] = list_files(root / folder)
            strange[folder] = not (follow_symlinks or is_inside(root / folder, base))
        missing[row] = file not in found[folder]
        is_link = found[folder].get(file, False) and not follow_symlinks
        outside[row] = strange[folder] or (is_link and not is_inside(root / folder / file, base))
    return Located(np.array([posixpath.join(root, name) for name in names]), missing & ~outside, outside)


def list_files(folder: Path) -> dict[str, bool]:
    """The names of a folder's files, read at one go, and which are links; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_symlink() for entry in entries if _is_file(entry)}
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no system can have
        return {}
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return {}
        raise InputError(f"{printable(folder)}: cannot be read: {reason(error)}") from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads round in a circle
        return False


def is_inside(place: Path, base: str) -> bool:
    """Whether `place`, links followed, lies in the real path `base`."""
    try:
        return os.path.commonpath([base, os.path.realpath(place)]) == base
    except ValueError:  # another drive; a name that no system can have
        return False
