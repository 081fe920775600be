"""The annotations of a split as they are written, in COCO's form, whatever is wrong with them."""

import gc
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densenets.config import ReadingRules
from densenets.data import find_layout
from densenets.data.checks.findings import Findings
from densenets.data.coco import ROBOFLOW, find_coco
from densenets.data.decode import read_bytes
from densenets.data.faults import show
from densenets.data.voc import PICTURES, Record, read_record, split_names
from densenets.errors import InputError, printable

Item = dict[str, Any]
Place = tuple[str, str]  # file and item, as a finding names them
NO_OBJECT: Item = {}  # stands for what is none, so that the rest keep their positions
VOC_SPLITS = ("train", "val", "test")


@dataclass
class RawSplit:
    """images: the folder that file names are relative to. source: the annotation file, or VOC's list of the split.

    Lists hold objects of any content: nothing about them is known yet. `places` names VOC's objects, which have files
    of their own.
    """

    name: str
    source: Path
    images: Path
    layout: str = "coco"
    pictures: list[Item] = field(default_factory=list)
    objects: list[Item] = field(default_factory=list)
    categories: list[Item] = field(default_factory=list)
    rest: Item = field(default_factory=dict)  # of the annotation file: info, licenses
    places: list[Place] = field(default_factory=list)

    def without_lists(self) -> "RawSplit":
        """Its names alone, for when the lists were judged: they are most of what a check has in memory."""
        return RawSplit(self.name, self.source, self.images, self.layout)

    def form(self, rules: ReadingRules) -> str:
        """How the boxes of `objects` are written; VOC's are brought into COCO's form as they are read."""
        return rules.box_format if self.layout == "coco" else "xywh"

    def picture(self, index: int) -> Place:
        item = self.pictures[index]
        words = f"images[{index}] (id {show(item.get('id'))}, {show(item.get('file_name'))})"
        return (str(self.source), show(item.get("file_name")) if self.layout == "voc" else words)

    def object(self, index: int, file_of: dict[Any, str]) -> Place:
        """file_of: the file name of each image id."""
        if self.places:
            return self.places[index]
        item = self.objects[index]
        image = item.get("image_id")
        file = f" {show(file_of[image])}" if type(image) is int and image in file_of else ""
        return str(self.source), f"annotations[{index}] (id {show(item.get('id'))}, image {show(image)}{file})"

    def category(self, index: int) -> Place:
        item = self.categories[index]
        return str(self.source), f"categories[{index}] (id {show(item.get('id'))}, {show(item.get('name'))})"


def list_splits(root: Path) -> list[str]:
    """The splits of a folder, training first. VOC's further lists (trainval, single classes) are no splits."""
    if find_layout(root) == "coco":
        names = [path.stem.removeprefix("instances_") for path in root.glob("annotations/instances_*.json")]
        names += [path.parent.name for path in root.glob(f"*/{ROBOFLOW}")]
    else:
        names = [path.stem for path in (root / "ImageSets" / "Main").glob("*.txt")]
        names = [name for name in names if name in VOC_SPLITS] or names
    return sorted(set(names), key=lambda name: (not is_training(name), name.startswith("test"), name))


def choose_splits(root: Path, asked: Sequence[str]) -> list[str]:
    """The splits asked for, or all; training first. Raises InputError for one that is not there, or where none is."""
    known = list_splits(root)
    for name in asked:
        _refuse_unknown(root, name, known)
    names = sorted(dict.fromkeys(asked), key=lambda name: not is_training(name)) or known
    if not names:
        raise InputError(f"{printable(root)}: no split found")
    return names


def _refuse_unknown(root: Path, name: str, known: list[str]) -> None:
    try:
        if find_layout(root) == "voc":
            split_names(root, name)
        else:
            find_coco(root, name)
    except InputError as fault:
        raise InputError(f"--splits: {fault}; there are {printable(', '.join(known)) or 'none'}") from fault


def is_training(split: str) -> bool:
    return split.startswith("train")


def read_raw(root: Path, split: str, findings: Findings) -> RawSplit:
    """A split of a folder. Raises InputError where nothing of it can be found."""
    if find_layout(root) == "voc":
        return read_raw_voc(root, split, findings)
    return read_raw_coco(*find_coco(root, split), split, findings)


# COCO


def read_raw_coco(annotations: Path, images: Path, split: str, findings: Findings) -> RawSplit:
    """An annotation file; what is no JSON, no object or no list is a finding, and the rest is kept."""
    raw = RawSplit(split, annotations, images)
    if not images.is_dir():
        raise InputError(f"{printable(images)}: no such folder")
    try:
        document = _parse(read_bytes(annotations), raw, findings)
    except RecursionError:
        findings.error("D37", (str(annotations), ""), "not valid JSON: nested too deeply")
        return raw
    except ValueError as error:
        findings.error("D37", (str(annotations), ""), f"not valid JSON: {error}")
        return raw
    if not isinstance(document, dict):
        findings.error("D37", (str(annotations), ""), "is not an object; is it a COCO annotation file?")
        return raw
    raw.pictures, raw.objects, raw.categories = (
        _items(document, key, raw, findings) for key in ("images", "annotations", "categories")
    )
    raw.rest = {key: document[key] for key in document if key not in ("images", "annotations", "categories")}
    return raw


def _parse(data: bytes, raw: RawSplit, findings: Findings) -> Any:
    """NaN and infinity are let in, so that the box that has them can be named."""
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> Item:
        item = dict(pairs)
        if len(item) != len(pairs):
            keys = [key for key, _ in pairs]
            twice.append(next(key for key in keys if keys.count(key) > 1))
        return item

    collecting = gc.isenabled()
    gc.disable()  # millions of small objects, and no cycle among them
    try:
        document = json.loads(data.decode(), object_pairs_hook=unique)
    finally:
        if collecting:
            gc.enable()
    for key in twice[:1]:
        what = f"the key {show(key)} stands twice in one object ({len(twice)} such objects)"
        findings.error("D37", (str(raw.source), ""), what)
    return document


def _items(document: Item, key: str, raw: RawSplit, findings: Findings) -> list[Item]:
    items = document.get(key)
    if not isinstance(items, list):
        what = f"has no list {show(key)}; is it a COCO annotation file?"
        findings.error("D37", (str(raw.source), ""), what)
        return []
    for index, item in enumerate(items):
        if type(item) is not dict:
            findings.error("D37", (str(raw.source), f"{key}[{index}]"), "is not an object")
    return [item if type(item) is dict else NO_OBJECT for item in items]


# VOC


def read_raw_voc(root: Path, split: str, findings: Findings) -> RawSplit:
    """The XML files of a split. Ids count from 1 in the order of the list; categories by name."""
    names = split_names(root, split)
    raw = RawSplit(split, root / "ImageSets" / "Main" / f"{split}.txt", root / "JPEGImages", "voc")
    files = _picture_files(raw.images)
    classes: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        path = root / "Annotations" / f"{name}.xml"
        if not path.is_file():
            findings.error("D22", (str(raw.source), show(name)), f"there is no {show(name + '.xml')}")
            continue
        try:
            _add_record(raw, read_record(path), number, files.get(name, f"{name}.jpg"), classes)
        except InputError as error:
            findings.refused(str(error), str(path))
    return raw


def _picture_files(folder: Path) -> dict[str, str]:
    """Name without suffix -> file, of the first suffix in the alphabet."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    files: dict[str, str] = {}
    for name in names:
        if name.lower().endswith(PICTURES):
            files.setdefault(name.rpartition(".")[0], name)
    return files


def _add_record(raw: RawSplit, record: Record, number: int, file: str, classes: dict[str, int]) -> None:
    height, width = record.size
    raw.pictures.append({"id": number, "file_name": file, "height": height, "width": width})
    rows: Sequence[Any] = list(zip(record.names, record.boxes, record.difficult, strict=True))
    for index, (name, (x0, y0, x1, y1), difficult) in enumerate(rows):
        if name not in classes:
            classes[name] = len(classes) + 1
            raw.categories.append({"id": classes[name], "name": name})
        raw.places.append((str(record.path), f"object[{index}] ({show(name)})"))
        item = {"id": len(raw.objects) + 1, "image_id": number, "category_id": classes[name]}
        raw.objects.append({**item, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": int(difficult)})


def name_of(annotations: Path) -> str:
    """What to call the split of an annotation file given by its path."""
    stem = annotations.parent.name if annotations.name == ROBOFLOW else annotations.stem.removeprefix("instances_")
    return safe_name(stem)


def safe_name(split: str) -> str:
    """The name of a folder beside "annotations"."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", split).strip(".-")
    return name if name not in ("", "annotations") else "set"
