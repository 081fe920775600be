"""COCO's JSON form of boxes, as COCO itself, Roboflow and most tools write it."""

import gc
import json
import logging
import re
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from densenets.data.dataset import DetectionSplit, Objects, check_boxes, show
from densenets.data.decode import locate, read_bytes
from densenets.errors import InputError, printable

logger = logging.getLogger(__name__)

LARGEST_ID = 2**53  # beyond it a float cannot hold every whole number
ROBOFLOW = "_annotations.coco.json"

Item = dict[str, Any]
Where = Callable[[int], str]  # the words that name item i in an error


def load_coco_root(root: Path, split: str, classes: Sequence[str] | None = None) -> DetectionSplit:
    """The split of a folder in COCO's or Roboflow's layout; "train" finds train2017 as well."""
    annotations, images = find_coco(root, split)
    return load_coco(annotations, images, classes)


def find_coco(root: Path, split: str) -> tuple[Path, Path]:
    """The annotation file of a split and the folder of its images."""
    if not split:
        raise InputError(f"{printable(root)}: the name of the split is empty")
    for folder in (split, "valid") if split == "val" else (split,):
        if (root / folder / ROBOFLOW).is_file():
            return root / folder / ROBOFLOW, root / folder
    annotations = _annotation_file(root / "annotations", split)
    name = annotations.stem.removeprefix("instances_")
    places = [root / name, root / "images" / name, root / split, root / "images"]
    for place in places:
        if place.is_dir():
            return annotations, place
    raise InputError(f"{printable(root)}: no folder of images; looked for {printable(', '.join(map(str, places)))}")


def _annotation_file(folder: Path, split: str) -> Path:
    exact = folder / f"instances_{split}.json"
    if exact.is_file():
        return exact
    dated = re.compile(rf"instances_{re.escape(split)}(?<![0-9])[0-9]+\.json")
    found = sorted(path for path in folder.glob("instances_*.json") if dated.fullmatch(path.name))
    if len(found) == 1:
        return found[0]
    if found:
        names = printable(", ".join(path.name for path in found))
        raise InputError(f"{printable(folder)}: split {show(split)} could be any of {names}")
    raise InputError(
        f"{printable(folder)}: no split {show(split)}; looked for {printable(exact.name)}, the same "
        f"with a year behind {show(split)}, and {printable(split)}/{ROBOFLOW}"
    )


def load_coco(annotations: Path, images: Path, classes: Sequence[str] | None = None) -> DetectionSplit:
    """The boxes of an annotation file and the folder that holds its images.

    Labels follow the sorted category ids; `classes` gives their order by name, and may have more of them.
    """
    document = read_json(annotations)
    pictures, objects, categories = (
        _items(document, key, annotations) for key in ("images", "annotations", "categories")
    )
    if not pictures or not categories:
        raise InputError(f"{printable(annotations)}: no {'categories' if pictures else 'images'} [D36]")
    if annotations.name == ROBOFLOW:
        categories = _without_root(categories, objects)
    names, category_ids, label_of = _classes(categories, annotations, classes)
    image_ids, sizes, file_names = _pictures(pictures, annotations)
    files = locate(images, file_names, annotations)
    objects_, skipped = _objects(objects, annotations, image_ids, sizes, file_names, label_of)
    return DetectionSplit.build(names, category_ids, image_ids, files, sizes, objects_, skipped)


def read_json(path: Path) -> Any:
    """Strict JSON in UTF-8: no NaN or Infinity, no key twice, no byte order mark.

    The key `segmentation` is dropped on the way: it is most of COCO's bytes, and boxes need none of it.
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects, and no cycle among them
    try:
        return json.loads(read_bytes(path).decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise InputError(f"{printable(path)}: not valid JSON: nested too deeply [D37]") from error
    except ValueError as error:  # also UnicodeDecodeError and a number of thousands of digits
        raise InputError(f"{printable(path)}: not valid JSON: {printable(error)} [D37]") from error
    finally:
        if collecting:
            gc.enable()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {show(next(k for k in keys if keys.count(k) > 1))} stands twice in one object")
    item.pop("segmentation", None)
    return item


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number [D09]")


# Columns of a list of items. Each is checked as a whole first; only a fault is looked for one by one.


def _items(document: Any, key: str, path: Path) -> list[Item]:
    items = document.get(key) if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise InputError(f"{printable(path)}: has no list {show(key)}; is it a COCO annotation file? [D37]")
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise InputError(f"{printable(path)}: {key}[{index}] is not an object [D37]")
    return items


def _column(items: list[Item], key: str, kinds: set[type], what: str, where: Where, default: Any = None) -> list[Any]:
    """`key` of every item, each of a type in `kinds`; a bool is no int."""
    values = [item.get(key, default) for item in items]
    if not set(map(type, values)) <= kinds:
        index = next(i for i, value in enumerate(values) if type(value) not in kinds)
        found = f"is {show(values[index])}" if key in items[index] else "is missing"
        raise InputError(f"{where(index)}: {key} {found}; it must be {what} [D37]")
    return values


def _whole(items: list[Item], key: str, where: Where) -> np.ndarray:
    """(len(items),) int64."""
    values = _column(items, key, {int}, "a whole number", where)
    if values and (min(values) <= -LARGEST_ID or max(values) >= LARGEST_ID):
        index = next(i for i, value in enumerate(values) if abs(value) >= LARGEST_ID)
        raise InputError(f"{where(index)}: {key} is beyond 2^53 [D37]")
    return np.array(values, dtype=np.int64)


def _floats(values: list[Any]) -> np.ndarray:
    """(len(values),) float64; infinite where a whole number of hundreds of digits has no float."""
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return np.array([value if abs(value) < 2**1000 else np.inf for value in values], dtype=np.float64)


def _refuse_twice(values: list[Any], what: str, where: Where, code: str) -> None:
    if len(set(values)) == len(values):
        return
    seen: dict[Any, int] = {}
    for index, value in enumerate(values):
        if value in seen:
            raise InputError(f"{where(index)}: its {what} is that of {where(seen[value])} too [{code}]")
        seen[value] = index


def _first(bad: np.ndarray) -> int:
    return int(bad.argmax())


# Categories


def _classes(
    categories: list[Item], path: Path, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], np.ndarray, dict[int, int]]:
    """(names in label order, (C,) the file's id of each, category id -> label)."""

    def where(index: int) -> str:
        item = categories[index]
        return f"{printable(path)}: categories[{index}] (id {show(item.get('id'))}, {show(item.get('name'))})"

    ids = _whole(categories, "id", where).tolist()
    names = _column(categories, "name", {str}, "a text", where)
    _refuse_twice(ids, "id", where, "D18")
    _refuse_twice(names, "name", where, "D18")
    id_of = dict(zip(names, ids, strict=True))
    order = tuple(sorted(names, key=id_of.__getitem__)) if classes is None else tuple(classes)
    for index, name in enumerate(names):
        if name not in order:
            known = printable(", ".join(order[:20])) + (", ..." if len(order) > 20 else "")
            raise InputError(f"{where(index)}: not among the classes asked for: {known}")
    # A class that this file lacks gets an id of its own, so that a prediction of it can be written down.
    free = iter(range(max(ids) + 1, max(ids) + 1 + len(order)))
    numbers = [id_of[name] if name in id_of else next(free) for name in order]
    return order, np.array(numbers, dtype=np.int64), {number: label for label, number in enumerate(numbers)}


def _without_root(categories: list[Item], objects: list[Item]) -> list[Item]:
    """Roboflow lists the data set itself as a category above all others, which no box ever has."""
    used = {number for item in objects if isinstance(number := item.get("category_id"), int)}
    odd = lambda item: not isinstance(item.get("id"), int)  # noqa: E731  (told of when the ids are read)
    above = [item.get("supercategory") for item in categories]
    return [
        item
        for item in categories
        if item.get("supercategory") != "none" or odd(item) or item["id"] in used or item.get("name") not in above
    ]


# Images


def _pictures(pictures: list[Item], path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """((N,) ids, (N, 2) height and width, N file names)."""

    def where(index: int) -> str:
        item = pictures[index]
        return f"{printable(path)}: images[{index}] (id {show(item.get('id'))}, {show(item.get('file_name'))})"

    ids = _whole(pictures, "id", where)
    _refuse_twice(ids.tolist(), "id", where, "D19")
    sizes = np.stack([_whole(pictures, key, where) for key in ("height", "width")], axis=1)
    if (sizes <= 0).any():
        index = _first(sizes.min(axis=1) <= 0)
        raise InputError(f"{where(index)}: {sizes[index, 1]}x{sizes[index, 0]} is not the size of a picture [D26]")
    names = _column(pictures, "file_name", {str}, "a text", where)
    for index, name in enumerate(names):
        if "\0" in name or name.startswith("/") or ".." in name.split("/") or not name.strip("./"):
            raise InputError(f"{where(index)}: its file_name does not name a file inside the images folder [D24]")
    return ids, sizes, names


# Annotations


def _objects(
    objects: list[Item],
    path: Path,
    image_ids: np.ndarray,
    sizes: np.ndarray,
    file_names: list[str],
    label_of: dict[int, int],
) -> tuple[Objects, dict[str, int]]:
    """The annotations that can be used, and how many were left out by reason."""

    place_of = {number: place for place, number in enumerate(image_ids.tolist())}

    def where(index: int) -> str:
        item = objects[index]
        image = item.get("image_id")
        place = place_of.get(image, -1) if type(image) is int else -1
        file = f" {show(file_names[place])}" if place >= 0 else ""
        return f"{printable(path)}: annotations[{index}] (id {show(item.get('id'))}, image {show(image)}{file})"

    ids = _whole(objects, "id", where)
    _refuse_twice(ids.tolist(), "id", where, "D20")
    rows = _positions(objects, "image_id", place_of, where)
    labels = _positions(objects, "category_id", label_of, where)
    boxes, xywh, empty = _boxes(objects, sizes[rows], path, where)
    read = Objects(rows, boxes, xywh, labels, _crowd(objects, where), _areas(objects, where), ids)
    return read.without(empty, where)


def _positions(objects: list[Item], key: str, known: dict[int, int], where: Where) -> np.ndarray:
    """What `known` says of each item's id."""
    wanted = _whole(objects, key, where).tolist()
    rows = np.array([known.get(number, -1) for number in wanted], dtype=np.int64)
    if (rows < 0).any():
        index = _first(rows < 0)
        raise InputError(f"{where(index)}: {key} {wanted[index]} is unknown [D22]")
    return rows


def _boxes(
    objects: list[Item], sizes: np.ndarray, path: Path, where: Where
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """((M, 4) x0 y0 x1 y1 cut at the image's edges, (M, 4) x y width height as written, (M,) bool: no area)."""
    lists = _column(objects, "bbox", {list}, "a list of 4 numbers", where)
    flat = list(chain.from_iterable(lists))
    if not set(map(len, lists)) <= {4} or not set(map(type, flat)) <= {int, float}:
        index = next(i for i, box in enumerate(lists) if [type(v) in (int, float) for v in box] != [True] * 4)
        raise InputError(f"{where(index)}: bbox is {show(lists[index])}; it must be 4 numbers [D43]")
    xywh = _floats(flat).reshape(-1, 4)
    with np.errstate(over="ignore", invalid="ignore"):
        report = check_boxes(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), sizes)
    if report.fault:
        index, fault = report.fault
        raise InputError(f"{where(index)}: bbox {show(lists[index])} has {fault}{_hint(xywh, sizes)}")
    if report.clipped:
        logger.info("%s: cut %d boxes at the edge of their image [D11]", printable(path), report.clipped)
    return report.boxes, xywh, report.empty


def _hint(xywh: np.ndarray, sizes: np.ndarray) -> str:
    """Boxes that leave their images, but would not if they were corners, were written as corners."""
    limit = sizes[:, ::-1] + 1
    leave = (xywh[:, :2] + xywh[:, 2:] > limit).any(axis=1).mean()
    fail_as_corners = ((xywh[:, 2:] > limit) | (xywh[:, 2:] < xywh[:, :2])).any(axis=1).mean()
    looks = leave > 0.05 and fail_as_corners < 0.01
    return "; the file looks like x0 y0 x1 y1, where COCO writes x y width height [D12]" if looks else ""


def _crowd(objects: list[Item], where: Where) -> np.ndarray:
    values = _column(objects, "iscrowd", {int, bool}, "0 or 1", where, default=0)
    if not set(values) <= {0, 1}:
        index = next(i for i, value in enumerate(values) if value not in (0, 1))
        raise InputError(f"{where(index)}: iscrowd is {show(values[index])}; it must be 0 or 1 [D15]")
    return np.array(values, dtype=bool)


def _areas(objects: list[Item], where: Where) -> np.ndarray:
    """The file's areas; where it has none, the box's."""
    values = _column(objects, "area", {int, float, type(None)}, "a number", where)
    filled = [item["bbox"][2] * item["bbox"][3] if v is None else v for v, item in zip(values, objects, strict=True)]
    areas = _floats(filled)
    bad = ~(np.isfinite(areas) & (areas >= 0))
    if bad.any():
        index = _first(bad)
        raise InputError(f"{where(index)}: area is {show(values[index])}; it must be a number of 0 or more [D09]")
    return areas
