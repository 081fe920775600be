"""Predictions as PNG files: a folder of them judged without a model, and written as Cityscapes' server takes them.

A file holds the data set's own ids, in 8 bits and one channel (a palette does not matter), at its picture's size. A
picture of Cityscapes, CITY_SEQUENCE_FRAME_leftImg8bit.png, has the one file whose name begins with
CITY_SEQUENCE_FRAME, as on the server; any other picture NAME.jpg has NAME.png. Either may lie in any folder below.
In a folder that `predict` filled, NAME.png is a drawing: there its own list says which mask is whose.
"""

import json
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from densenets.contract import IGNORED
from densenets.errors import InputError, Problems, printable
from densenets.files import check_file, inside
from densenets.metrics.image_counts import pixels_of
from densenets.metrics.segmentation_iou import Total, count
from densenets.metrics.segmentation_judge import Counted, told
from densenets.metrics.segmentation_rules import SegmentedSplit, columns_of, rules_of
from densenets.storage import write_durably

_CITYSCAPES = re.compile(r"(.+?_\d{6}_\d{6})(?!\d)")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_DEPTH = 24  # the byte of a PNG that says how many bits a px has
_SHOWN = 5  # values
LISTING = "segmentations.json"  # of `predict`


def judge_folder(
    folder: Path, split: SegmentedSplit, each: Callable[[int, Tensor], None] | None = None
) -> dict[str, Any]:
    """The scores of the PNG files of a folder, see `segmentation_judge.told`.

    each: gets the index of every image and its (H, W) uint8 classes, from C on where nothing was predicted.
    Raises InputError with a line for each file that is missing, cannot be read or does not belong [V18, V19].
    """
    rules = rules_of(split, of_files=True)
    columns = columns_of(split, rules)
    problems, total = Problems(), Total(rules)
    each_pixels: list[np.ndarray] = []
    values = np.zeros(256, dtype=np.int64)
    paths = find_predictions(folder, split, problems)
    for index, path in paths.items():
        try:
            ids = read_mask(path, split.sizes[index], split.files[index])
            here = torch.bincount(torch.from_numpy(ids).flatten(), minlength=256).numpy()
            prediction = torch.from_numpy(_columns(ids, here, columns, path))
            counts = count(prediction, split.truth(index, True), rules)
            total.add(counts)
            each_pixels.append(pixels_of(counts.matrix))
        except InputError as fault:
            for line in str(fault).splitlines():
                problems.add(line)
            continue
        values += here
        if each:
            each(index, prediction)
    problems.refuse()
    _refuse_train_ids(values, split, folder)
    return told(Counted([int(split.image_ids[index]) for index in paths], total.counts(), each_pixels), rules)


# Names


def prediction_name(file: str | Path) -> str:
    """What the prediction of a picture is called: CITY_SEQUENCE_FRAME_labelIds.png or NAME.png."""
    stem = _stem(file)
    return f"{stem}_labelIds.png" if _CITYSCAPES.fullmatch(stem) else f"{stem}.png"


def _stem(file: str | Path) -> str:
    name = Path(file).stem
    core = name.removesuffix("_leftImg8bit")
    return core if core != name and _CITYSCAPES.fullmatch(core) else name


def find_predictions(folder: Path, split: SegmentedSplit, problems: Problems) -> dict[int, Path]:
    """The file of each image by its index, where there is exactly one; the others are told."""
    if not folder.is_dir():
        raise InputError(f"{printable(folder)}: no such folder")
    listed = _listed(folder)
    found = _by_stem(listed or _below(folder))
    first: dict[str, str] = {}
    paths = {}
    for index, file in enumerate(split.files.tolist()):
        stem = _stem(file)
        if (other := first.setdefault(stem, file)) != file:
            problems.add(
                f"{printable(file)}: has the name of {printable(other)}: one prediction cannot be both's [V19]"
            )
        elif len(here := found[stem]) == 1:
            paths[index] = here[0]
        elif here:
            names = " and ".join(printable(path) for path in here[:_SHOWN])
            problems.add(f"{names}: {len(here)} predictions for {printable(file)} [V19]")
        else:
            wanted = f"{stem}*.png" if _CITYSCAPES.fullmatch(stem) else f"{stem}.png"
            wanted = f"mask of it in {LISTING}" if listed else printable(wanted)
            problems.add(f"{printable(folder)}: no {wanted}: no prediction for {printable(file)} [V19]")
    return paths


def _by_stem(masks: Sequence[tuple[str, Path]]) -> defaultdict[str, list[Path]]:
    """Each by its name and by the picture of Cityscapes that the name begins with."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for name, path in masks:
        start = _CITYSCAPES.match(name)
        for stem in {name, start.group(1) if start else name}:
            found[stem].append(path)
    return found


def _below(folder: Path) -> list[tuple[str, Path]]:
    """Every PNG below the folder with its own name."""
    return [(path.stem, path) for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".png"]


def _listed(folder: Path) -> list[tuple[str, Path]]:
    """The masks that `predict` wrote, each with its picture's name; none where there is no such list of its making."""
    try:
        check_file(folder / LISTING)
        images = json.loads((folder / LISTING).read_text(encoding="utf-8"))["images"]
        names = [(Path(one["file"]).stem, one["mask"]) for one in images]
    except (InputError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    return [(name, inside(folder, str(mask))) for name, mask in names]


# Reading


def read_mask(path: Path, size: Sequence[int] | np.ndarray, picture: object) -> np.ndarray:
    """(H, W) ids of a file; size: height and width that it must have, which are those of `picture`.

    Raises InputError naming the file, and both where they do not fit [V19]; nothing larger than `size` is unpacked.
    """
    check_file(path)
    shown, (height, width) = printable(path), (int(side) for side in size)
    try:
        with path.open("rb") as handle:
            depth = handle.read(_DEPTH + 1)[-1:]
            with Image.open(handle, formats=("PNG",)) as image:
                if len(bands := image.getbands()) > 1:
                    raise InputError(f"{shown}: {len(bands)} channels ({image.mode}); a prediction has one [V19]")
                if image.size != (width, height):
                    sides = f"{image.width} x {image.height} px, but {width} x {height} px"
                    raise InputError(f"{shown}: {sides} has {printable(picture)} [V19]")
                if image.mode != "P" and depth != b"\x08":
                    raise InputError(f"{shown}: {depth[0]} bits a px; a prediction has 8 [V19]")
                return np.array(image)
    except _DAMAGED as fault:
        raise InputError(f"{shown}: no PNG that can be read: {printable(fault)} [V19]") from fault


def _columns(ids: np.ndarray, counts: np.ndarray, columns: np.ndarray, path: Path) -> np.ndarray:
    """(H, W) uint8 columns of the confusion matrix. counts: (256,) px of each id. Raises InputError for ids that the
    data set does not know [V18]."""
    if strange := np.flatnonzero((counts > 0) & (columns < 0)).tolist():
        named = ", ".join(map(str, strange[:_SHOWN])) + (", ..." if len(strange) > _SHOWN else "")
        raise InputError(f"{printable(path)}: holds {named}: no id of the data set's files [V18]")
    return cv2.LUT(ids, columns.astype(np.uint8))  # a tenth of the time of indexing


def _refuse_train_ids(values: np.ndarray, split: SegmentedSplit, folder: Path) -> None:
    """Numbers of classes stand for other ids, many of them for no class: more void than a model would predict."""
    numbers = np.flatnonzero(values)
    if not len(numbers) or numbers.max() >= len(split.classes):
        return
    void = [int(number) for number in numbers if split.train_ids[number] == IGNORED]
    if values[void].sum() > values.sum() / 2:
        named = ", ".join(map(str, void[:_SHOWN]))
        raise InputError(
            f"{printable(folder)}: no file has an id above {numbers.max()}, and most px are of no class (id {named}); "
            f"these look like train ids 0..{len(split.classes) - 1}, not like ids of files [V18]"
        )


# Writing


def write_prediction(
    folder: Path, file: str | Path, classes: np.ndarray | Tensor, category_ids: Sequence[int] | np.ndarray
) -> Path:
    """Write the prediction of a picture by the name the server expects, and return its path.

    classes: (H, W) in 0..C-1, at the picture's size. category_ids: (C,) the id of each class in files, 0..255. Raises
    StorageError; the file is either the old one or the whole new one.
    """
    table = np.asarray(category_ids)
    if table.min() < 0 or table.max() > 255:
        raise ValueError(f"ids {table.min()}..{table.max()} do not fit into 8 bits")
    ids = table.astype(np.uint8)[classes.cpu().numpy() if isinstance(classes, Tensor) else classes]
    path = inside(folder, prediction_name(file))
    write_durably(path, lambda handle: Image.fromarray(ids).save(handle, "PNG"))
    return path
