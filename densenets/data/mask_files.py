"""Masks as files: the id (or the colour) of each pixel, decoded as it is written, and what becomes of it."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from densenets.contract import IGNORED
from densenets.data.class_list import UNKNOWN
from densenets.data.decode import MAX_PIXELS, SIDEWAYS, PictureError, opened, orientation, read_bytes
from densenets.errors import InputError, printable
from densenets.files import check_file

MODES = {"L": "ids", "P": "ids", "I": "ids", "I;16": "ids", "I;16B": "ids", "RGB": "colours", "RGBA": "colours"}
FORMATS = ("PNG", "BMP")
SHALLOW = {"1": "1 bit", "L;2": "2 bits", "L;4": "4 bits"}  # Pillow's words; readers stretch such values up to 255
STRANGER = 254  # of an id that is not known, while a mask is read: no label, as there are 254 classes at most
SHOWN = 5  # unknown ids of a mask that are told


class UnknownIds(InputError):
    """A mask that holds what its class list does not. ids: of that what `--ignore-ids` takes; held: every id of the
    mask with its pixels, where it holds ids."""

    ids: tuple[int, ...] = ()
    held: tuple[tuple[int, int], ...] = ()


def told_together(first: str, found: Sequence[Sequence[int]], by_names: bool, table: np.ndarray) -> str:
    """Masks with unknown ids in one line, and the flags that may help.

    first: the line of the first of them. found: the `ids` of each; by_names: of a set whose classes `--classes` gives;
    table: as of `to_labels`, which knows the ids that are of no class already: the flag has to name them again.
    """
    ids = sorted({number for one in found for number in one})
    ignored = np.flatnonzero(table[:IGNORED] == IGNORED).tolist()
    named, flag = (" ".join(map(str, part)) if len(ids) <= 2 * SHOWN else "" for part in (ids, sorted(ids + ignored)))
    line = first.removesuffix(" [D31]")
    if len(found) > 1:
        line += f"; {len(found) - 1} more masks hold such too" + (f", in all {named}" if named else "")
    way = f"--ignore-ids {flag or 'ID ...'} takes {'it' if len(ids) == 1 else 'them'} as of no class"
    if len(ids) > SHOWN and by_names:
        line += f"; --classes may lack names, it gives them to the ids from 0 on; else {way}"
    elif ids:
        line += f"; {way}{', else --classes lacks a name' if by_names else ''}"
    return f"{line} [D31]"


class Header(NamedTuple):
    """What a file says of itself before it is decoded. sizes: (H, W) as it is stored, and if it is turned as its EXIF
    orientation says. kind: "ids" or "colours" as a mask, else why it cannot be one."""

    sizes: tuple[tuple[int, int], tuple[int, int]]
    kind: str


def read_header(path: str, expected: tuple[int, int] | None = None, max_pixels: float = MAX_PIXELS) -> Header:
    """Raises PictureError. expected: the (H, W) that is hoped for; the orientation is looked up for others only."""
    try:
        check_file(Path(path))
        with open(path, "rb") as source, opened(source, printable(path), max_pixels) as image:  # noqa: PTH123
            stored = (image.height, image.width)
            turned = expected not in (None, stored) and orientation(image) in SIDEWAYS
            return Header((stored, stored[::-1] if turned else stored), _kind(image))
    except PictureError:
        raise
    except (InputError, OSError) as error:
        raise PictureError(f"{error} [D41]") from error


def _kind(image: Image.Image) -> str:
    if image.format not in FORMATS:
        return f"a {image.format}, whose compression changes ids; PNG and BMP keep them"
    tiles = image.tile if isinstance(image, ImageFile) else []
    if bits := SHALLOW.get(str(tiles[0].args) if tiles else image.mode):
        return f"gray of {bits} a pixel, which does not tell whether 1 means the id 1 or white; write 8 bits"
    return MODES.get(image.mode, f"{len(image.getbands())} channels ({image.mode}); a mask has one")


def read_mask(
    path: str,
    size: tuple[int, int] | np.ndarray,
    max_pixels: float = MAX_PIXELS,
    written: dict[tuple[int, int, int], int] | None = None,
) -> np.ndarray:
    """(H, W) ids as the file has them, or (H, W, 3) uint8 where it holds colours; an EXIF orientation is not heeded.

    written: colour -> id, which the palette of ids must not contradict. Raises PictureError where it cannot be read,
    InputError where it is no mask or of another size than stated.
    """
    try:
        data = read_bytes(Path(path))
    except InputError as error:
        raise PictureError(f"{error} [D41]") from error
    name = printable(path)
    with opened(io.BytesIO(data), name, max_pixels) as image:
        if (kind := _kind(image)) not in ("ids", "colours"):
            raise InputError(f"{name}: {kind} [D32]")
        if (image.height, image.width) != tuple(size):
            words = f"{image.width}x{image.height}, not {size[1]}x{size[0]} as when the set was opened"
            raise InputError(f"{name}: the mask is {words} [D34]")
        image.load()
        if image.mode == "P" and written:
            _refuse_other_palette(image, written, name)
        return np.array(image if kind == "ids" else image.convert("RGB"))


def _refuse_other_palette(image: Image.Image, written: dict[tuple[int, int, int], int], name: str) -> None:
    """Of a picture of classes' colours whose palette is in an order of its own, the indices are no ids."""
    palette = image.getpalette() or []
    used = np.unique(np.array(image)).tolist()
    meant = {index: written.get((*palette[3 * index : 3 * index + 3],)) for index in used}  # type: ignore[arg-type]
    if None not in meant.values() and (other := [index for index in used if meant[index] != index]):
        words = f"index {other[0]} of its palette has the colour of id {meant[other[0]]}"
        raise InputError(f"{name}: {words}; write the ids, or the colours with 3 channels [D32]")


def to_labels(ids: np.ndarray, table: np.ndarray, name: str) -> np.ndarray:
    """(H, W) uint8 labels or IGNORED.

    table: (256,) int16 of `ClassList.table`. Raises InputError naming each id that it does not know.
    """
    narrow = np.where(table == UNKNOWN, STRANGER, table).astype(np.uint8)
    wide = None if ids.dtype == np.uint8 else (ids < 0) | (ids > 255)
    labels = cv2.LUT(ids.astype(np.uint8, copy=False), narrow)
    strange = labels == STRANGER if wide is None else (labels == STRANGER) | wide
    if strange.any():
        found, counts = np.unique(ids[strange], return_counts=True)
        fault = UnknownIds(f"{name}: {_told('id', found, counts)} [D31]")
        fault.ids = tuple(number for number in found.tolist() if 0 <= number <= 255)
        held, pixels = np.unique(ids, return_counts=True)
        fault.held = tuple(zip(held.tolist(), pixels.tolist(), strict=True))
        raise fault
    return labels


def colours_to_labels(
    pixels: np.ndarray, written: dict[tuple[int, int, int], int], table: np.ndarray, name: str
) -> np.ndarray:
    """As `to_labels`, of (H, W, 3) colours. written: colour -> id."""
    codes = pixels.astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)
    pairs = sorted((red << 16 | green << 8 | blue, number) for (red, green, blue), number in written.items())
    known, ids = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    strange = known[place] != codes
    if strange.any():
        found, counts = np.unique(codes[strange], return_counts=True)
        colours = [f"{code >> 16},{code >> 8 & 255},{code & 255}" for code in found.tolist()]
        raise UnknownIds(f"{name}: {_told('color', np.array(colours), counts)} [D31]")
    return to_labels(ids[place], table, name)


def _told(what: str, found: np.ndarray, counts: np.ndarray) -> str:
    words = [f"{what} {value} on {count} pixels" for value, count in zip(found.tolist(), counts.tolist(), strict=True)]
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"not of the class list: {', '.join(words[:SHOWN])}{more}"


def to_instances(
    numbers: np.ndarray, labels: np.ndarray, table: np.ndarray, counted: np.ndarray, name: str
) -> np.ndarray:
    """(H, W) int32: the numbers of Cityscapes' instances (id * 1000 + n) of the counted classes, else 0.

    labels: (H, W) of the same picture, table: as of `to_labels`, counted: (C,) bool. Raises InputError where the two
    maps do not agree.
    """
    single = np.flatnonzero(numbers >= 1000)  # few of a picture's px, as a rule
    own, label = numbers.reshape(-1)[single].astype(np.int32), labels.reshape(-1)[single]
    wrong = table[(own // 1000).clip(max=255)] != label
    if wrong.any():
        raise InputError(
            f"{name}: {int(wrong.sum())} pixels are of an instance of another class than in the mask [D34]"
        )
    shown = np.zeros(256, dtype=bool)
    shown[: len(counted)] = counted
    found = np.zeros(numbers.shape, dtype=np.int32)
    found.reshape(-1)[single] = np.where(shown[label], own, 0)
    return found
