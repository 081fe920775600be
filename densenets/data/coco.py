"""COCO's JSON form of boxes, as COCO itself, Roboflow and most tools write it."""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from densenets.config import ReadingRules
from densenets.data.dataset import DetectionSplit, Objects
from densenets.data.decode import climbs, locate
from densenets.data.document import LARGEST_ID, Item, Items, first_places, floats, read_json
from densenets.data.faults import CUT, USUAL, BoxReport, NoSplit, Skip, check_boxes, limit_skips, show, sift
from densenets.errors import InputError, Problems, printable

LARGEST_AREA = 1e18  # px; the judge takes no more
ROBOFLOW = "_annotations.coco.json"
FORMS = {"xywh": "x y width height", "xyxy": "x0 y0 x1 y1"}
MISTAKEN = (0.05, 0.01)  # boxes are of the other form where more than this part fails in the one and less in the other


def load_coco_root(
    root: Path, split: str, classes: Sequence[str] | None = None, rules: ReadingRules = USUAL
) -> DetectionSplit:
    """The split of a folder in COCO's or Roboflow's layout; "train" finds train2017 as well."""
    annotations, images = find_coco(root, split)
    return load_coco(annotations, images, classes, rules)


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
    raise NoSplit(
        f"{printable(folder)}: no split {show(split)}; looked for {printable(exact.name)}, the same "
        f"with a year behind {show(split)}, and {printable(split)}/{ROBOFLOW}"
    )


class Categories(NamedTuple):
    """names: C in label order. ids: (C,) the file's id of each. labels: id -> label, of all ids of the file.

    complete: no id was lost to a fault, so that one that is not among them is unknown.
    """

    names: tuple[str, ...]
    ids: np.ndarray
    labels: dict[int, int]
    complete: bool


class Pictures(NamedTuple):
    """ids: (N,). sizes: (N, 2) height and width. names: N as written. files: (N,) full paths. places: id -> row.

    complete: as of Categories.
    """

    ids: np.ndarray
    sizes: np.ndarray
    names: list[str]
    files: np.ndarray
    places: dict[int, int]
    complete: bool


def load_coco(
    annotations: Path, images: Path, classes: Sequence[str] | None = None, rules: ReadingRules = USUAL
) -> DetectionSplit:
    """The boxes of an annotation file and the folder that holds its images.

    Labels follow the sorted category ids; `classes` gives their order by name, and may have more of them.
    """
    document = read_json(annotations)
    pictures = Items(document, "images", annotations, _image_words)
    root = _roboflow_root(document) if annotations.name == ROBOFLOW else ()
    categories = Items(document, "categories", annotations, _category_words, left_out=root)
    objects = Items(document, "annotations", annotations, lambda item: f"id {show(item.get('id'))}")
    if not len(pictures) or not len(categories):
        raise InputError(f"{printable(annotations)}: no {'categories' if len(pictures) else 'images'} [D36]")
    problems = Problems()
    known = _categories(categories, classes)
    shown = _pictures(pictures, images, rules)
    objects.describe = lambda item: _annotation_words(item, shown)
    read, skips, notes = _objects(objects, known, shown, rules, problems)
    for items in (categories, pictures, objects):
        items.faults.tell(problems)
    problems.refuse()
    return DetectionSplit.build(known.names, known.ids, shown.ids, shown.files, shown.sizes, read, skips, notes, rules)


def _image_words(item: Item) -> str:
    return f"id {show(item.get('id'))}, {show(item.get('file_name'))}"


def _category_words(item: Item) -> str:
    return f"id {show(item.get('id'))}, {show(item.get('name'))}"


def _annotation_words(item: Item, pictures: Pictures) -> str:
    image = item.get("image_id")
    row = pictures.places.get(image, -1) if type(image) is int else -1
    file = f" {show(pictures.names[row])}" if row >= 0 else ""
    return f"id {show(item.get('id'))}, image {show(image)}{file}"


# Categories


def _categories(items: Items, classes: Sequence[str] | None) -> Categories:
    ids = items.whole("id").tolist()
    complete = not items.faults.bad.any()
    names = items.values("name", {str}, "a text", filler="")
    items.unique(ids, "id", "[D18]")
    items.unique(names, "name", "[D18]")
    id_of = dict(zip(names, ids, strict=True))
    order = tuple(sorted(id_of, key=id_of.__getitem__)) if classes is None else tuple(classes)
    labels = {name: label for label, name in enumerate(order)}
    asked = printable(", ".join(order[:20])) + (", ..." if len(order) > 20 else "")
    strange = np.array([name not in labels for name in names])
    items.faults.add(strange, lambda row: f"not among the classes asked for: {asked} [D22]")
    # A class that this file lacks gets an id of its own, so that a prediction of it can be written down.
    free = iter(range(max(ids) + 1, max(ids) + 1 + len(order)))
    numbers = [id_of[name] if name in id_of else next(free) for name in order]
    label_of = {number: labels.get(name, 0) for name, number in zip(names, ids, strict=True)}
    return Categories(order, np.array(numbers, dtype=np.int64), label_of, complete)


def _roboflow_root(document: Any) -> set[int]:
    """Where Roboflow lists the data set itself as a category above all others, which no box ever has."""
    lists = [document.get(key) if isinstance(document, dict) else None for key in ("categories", "annotations")]
    categories, objects = ([item for item in _as_list(found) if type(item) is dict] for found in lists)
    used = {number for item in objects if type(number := item.get("category_id")) is int}
    above = [item.get("supercategory") for item in categories]
    return {
        place
        for place, item in enumerate(_as_list(lists[0]))
        if type(item) is dict and item.get("supercategory") == "none" and item.get("name") in above
        if type(item.get("id")) is int and item["id"] not in used
    }


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# Images


def _pictures(items: Items, folder: Path, rules: ReadingRules) -> Pictures:
    ids = items.whole("id")
    complete = not items.faults.bad.any()
    items.unique(ids.tolist(), "id", "[D19]")
    places = {number: row for row, number in enumerate(ids.tolist())}
    sizes = np.stack([items.whole(key) for key in ("height", "width")], axis=1)
    names = items.values("file_name", {str}, "a text", filler="")
    items.faults.add(
        sizes.min(axis=1) <= 0, lambda row: f"{sizes[row, 1]}x{sizes[row, 0]} is not the size of a picture [D26]"
    )
    sizes[items.faults.bad] = LARGEST_ID  # of a picture that is not known no box can be outside
    climbing = np.array([climbs(name) for name in names])
    items.faults.add(climbing, lambda row: "its file_name does not name a file inside the images folder [D24]")
    safe = ["" if is_bad else name for name, is_bad in zip(names, climbing, strict=True)]
    files, missing, outside = locate(folder, safe, rules.follow_symlinks)
    items.faults.add(outside, lambda row: "a link leads out of the images folder; --follow-symlinks allows it [D24]")
    items.faults.add(missing, lambda row: f"no such file in {printable(folder)}{_slashes(names[row])} [D23]")
    return Pictures(ids, sizes, names, files, places, complete)


def _slashes(name: str) -> str:
    return "; folders are written with /, not with a backslash" if "\\" in name else ""


# Annotations


def _objects(
    items: Items, categories: Categories, pictures: Pictures, rules: ReadingRules, problems: Problems
) -> tuple[Objects, list[Skip], dict[str, int]]:
    """The annotations that can be used, those that were left out, and how often what was put right."""
    notes: dict[str, int] = {}
    ids = _ids(items, rules, notes)
    rows = _positions(items, "image_id", pictures.places, pictures.complete)
    labels = _positions(items, "category_id", categories.labels, categories.complete)
    lists = _lists(items)
    corners, xywh = both_forms(floats(list(chain.from_iterable(lists))).reshape(-1, 4), rules.box_format)
    report = check_boxes(corners, pictures.sizes[rows])
    _refuse_mistaken(items, corners, xywh, report, pictures.sizes[rows], rules)
    left_out, skips = sift(report, corners, lambda row: f"bbox {show(lists[row])}", items.faults, rules)
    notes[CUT] = int(report.clipped.sum())
    crowd, area = _crowd(items, notes), _areas(items, xywh, notes)
    limit_skips(skips, len(items), items.path, rules, problems)
    return Objects(rows, report.boxes, xywh, labels, crowd, area, ids).take(~left_out), skips, notes


def _ids(items: Items, rules: ReadingRules, notes: dict[str, int]) -> np.ndarray:
    """(M,) the annotations' ids; where they may be renumbered, one that stood before is replaced."""
    ids = items.whole("id")
    if not rules.renumber:
        items.unique(ids.tolist(), "id", "(--renumber gives new ids) [D20]")
        return ids
    again = np.array(first_places(ids.tolist(), items.faults.bad), dtype=np.int64) >= 0
    ids[again] = ids.max(initial=0) + 1 + np.arange(int(again.sum()))
    notes["annotations with a new id [D20]"] = int(again.sum())
    return ids


def _positions(items: Items, key: str, known: dict[int, int], complete: bool) -> np.ndarray:
    """(M,) what `known` says of each item's id; complete: an id that it lacks is a fault."""
    wanted = items.whole(key).tolist()
    rows = np.array([known.get(number, -1) for number in wanted], dtype=np.int64)
    items.faults.add((rows < 0) & complete, lambda row: f"{key} {wanted[row]} is unknown [D22]")
    return rows.clip(min=0)


def _lists(items: Items) -> list[list[float]]:
    """M times 4 numbers."""
    lists = items.values("bbox", {list}, "a list of 4 numbers", filler=[0, 0, 1, 1])
    if set(map(len, lists)) <= {4} and set(map(type, chain.from_iterable(lists))) <= {int, float}:
        return lists
    odd = [[type(value) in (int, float) for value in box] != [True] * 4 for box in lists]
    items.faults.add(np.array(odd), lambda row: f"bbox is {show(lists[row])}; it must be 4 numbers [D43]")
    return [[0, 0, 1, 1] if is_odd else box for box, is_odd in zip(lists, odd, strict=True)]


def both_forms(written: np.ndarray, form: str) -> tuple[np.ndarray, np.ndarray]:
    """((M, 4) x0 y0 x1 y1, (M, 4) x y width height) of boxes written in the `form` that --box-format says."""
    start, rest = written[:, :2], written[:, 2:]
    with np.errstate(over="ignore", invalid="ignore"):
        if form == "xyxy":
            return written, np.concatenate([start, rest - start], axis=1)
        return np.concatenate([start, start + rest], axis=1), written


def _refuse_mistaken(
    items: Items, corners: np.ndarray, xywh: np.ndarray, report: BoxReport, sizes: np.ndarray, rules: ReadingRules
) -> None:
    """InputError where the boxes fit their images far better when read in the other form."""
    written = xywh if rules.box_format == "xywh" else corners
    wrong = report.unusable & ~items.faults.bad
    if words := mistaken_form(written, rules.box_format, wrong, sizes):
        row = int(wrong.argmax())
        first = f"{items.name(row)}: bbox {show(written[row].tolist())}"
        raise InputError(f"{printable(items.path)}: {words}; the first: {first} [D12]")


def mistaken_form(written: np.ndarray, form: str, wrong: np.ndarray, sizes: np.ndarray) -> str:
    """What to say where boxes fit their images far better when read in the other form than `form`; else nothing.

    written: (M, 4) as in the file; wrong: (M,) those that cannot be used as `form`; sizes: (M, 2) of their images.
    """
    if not wrong.any() or wrong.mean() <= MISTAKEN[0]:
        return ""
    other = next(name for name in FORMS if name != form)
    fails = check_boxes(both_forms(written, other)[0], sizes).unusable
    if fails.mean() >= MISTAKEN[1]:
        return ""
    return (
        f"looks like {FORMS[other]}: {int(fails.sum())} of {len(written)} boxes leave their images so, and "
        f"{int(wrong.sum())} as {FORMS[form]}; --box-format {other} reads it"
    )


def _crowd(items: Items, notes: dict[str, int]) -> np.ndarray:
    notes["annotations without iscrowd, taken as 0 [D15]"] = sum("iscrowd" not in item for item in items.items)
    values = items.values("iscrowd", {int, bool}, "0 or 1", filler=0, default=0)
    if not set(values) <= {0, 1}:
        odd = np.array([value not in (0, 1) for value in values])
        items.faults.add(odd, lambda row: f"iscrowd is {show(values[row])}; it must be 0 or 1 [D15]")
    return np.array([bool(value) for value in values], dtype=bool)


def _areas(items: Items, xywh: np.ndarray, notes: dict[str, int]) -> np.ndarray:
    """The file's areas; where it has none, the box's."""
    values = items.values("area", {int, float, type(None)}, "a number", filler=None)
    lacking = np.array([value is None for value in values], dtype=bool)
    notes["areas taken from the box [D15]"] = int(lacking.sum())
    areas = floats([0 if value is None else value for value in values])
    with np.errstate(over="ignore", invalid="ignore"):
        areas = np.where(lacking, xywh[:, 2] * xywh[:, 3], areas)
    bad = ~((areas >= 0) & (areas <= LARGEST_AREA))  # true for NaN
    items.faults.add(bad, lambda row: f"area is {show(values[row])}; it must be a number of 0 or more [D09]")
    return areas
