"""Pascal VOC's layout: Annotations/ID.xml, JPEGImages/ID.*, ImageSets/Main/SPLIT.txt with one ID a line.

Coordinates are taken as they are written. The first VOC counted pixels from 1, but the tools that write this form
today (CVAT, Roboflow, label converters) count from 0, and nothing in a file tells which; in an old file every box is
1 px off.
Objects marked `difficult` become COCO's crowd regions. That is more lenient than VOC's own rule, which forgives
a detection only where such an object is its best match, at an IoU of 0.5 or more: a region forgives any detection that
lies mostly inside it, however small.

The id of an image is its position, from 1, among the sorted names of all of Annotations: the same in every split, for
as long as no file comes or goes. The id of a category is its label + 1.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from densenets.data.dataset import DetectionSplit, Objects, check_boxes, show
from densenets.data.decode import list_files, read_bytes
from densenets.errors import InputError, printable

logger = logging.getLogger(__name__)

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Record(NamedTuple):
    """One XML file: height and width, and of each object its name, corners and whether it is `difficult`."""

    path: Path
    size: tuple[int, int]
    names: list[str]
    boxes: list[list[float]]
    difficult: list[bool]


def load_voc_root(root: Path, split: str, classes: Sequence[str] | None = None) -> DetectionSplit:
    """The split of a folder in VOC's layout. Without `classes` they are the sorted names of the objects of this split
    and of "train", or of all of Annotations where there is no "train"."""
    names = split_names(root, split)
    records = read_records(root, names)
    if classes is None:
        classes = _classes(root, names)
    numbers = {name: i for i, name in enumerate(sorted(_annotated(root)), start=1)}
    objects, skipped = _objects(records, tuple(classes))
    return DetectionSplit.build(
        classes=tuple(classes),
        category_ids=np.arange(1, len(classes) + 1),
        image_ids=np.array([numbers[name] for name in names]),
        files=_files(root, names),
        sizes=np.array([record.size for record in records], dtype=np.int64),
        objects=objects,
        skipped=skipped,
    )


def split_names(root: Path, split: str) -> list[str]:
    """The IDs of a split, in the file's order."""
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        known = printable(", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))))
        raise InputError(f"{printable(path)}: no such split; there are {known or 'none'}")
    try:
        lines = [line.strip() for line in read_bytes(path).decode().splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{printable(path)}: not a text in UTF-8") from error
    names = [line for line in lines if line]
    if not names:
        raise InputError(f"{printable(path)}: no images [D36]")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{printable(path)}: {show(twice)} stands there twice [D19]")
    return names


def read_records(root: Path, names: Sequence[str]) -> list[Record]:
    """The annotations of the named images."""
    known = _annotated(root)
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{printable(root / 'Annotations')}: no {show(missing[0] + '.xml')}; "
            f"{len(missing)} of {len(names)} annotation files are missing [D22]"
        )
    return [read_record(root / "Annotations" / f"{name}.xml") for name in names]


def read_record(path: Path) -> Record:
    """One XML file."""
    data = read_bytes(path)
    if b"<!ENTITY" in data:
        raise InputError(f"{printable(path)}: declares XML entities, which no annotation needs")
    try:
        top = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise InputError(f"{printable(path)}: not valid XML: {printable(error)} [D37]") from error
    height, width = (_number(top.find("size"), key, f"{printable(path)}: size") for key in ("height", "width"))
    if not (height >= 1 and width >= 1 and height.is_integer() and width.is_integer()):
        raise InputError(f"{printable(path)}: {width:g}x{height:g} is not the size of a picture [D26]")
    record = Record(path, (int(height), int(width)), [], [], [])
    for index, item in enumerate(top.findall("object")):
        name = (item.findtext("name") or "").strip()
        where = _where(path, index, name)
        if not name:
            raise InputError(f"{where}: has no name [D22]")
        record.names.append(name)
        record.boxes.append([_number(item.find("bndbox"), key, where) for key in CORNERS])
        record.difficult.append((item.findtext("difficult") or "0").strip() == "1")
    return record


def _number(item: ElementTree.Element | None, key: str, where: str) -> float:
    text = None if item is None else item.findtext(key)
    try:
        return float(text or "")
    except ValueError:
        raise InputError(f"{where}: {key} is {show(text)}; it must be a number [D37]") from None


def _where(path: Path, index: int, name: str) -> str:
    return f"{printable(path)}: object[{index}] ({show(name)})"


def _classes(root: Path, names: list[str]) -> tuple[str, ...]:
    """Without "train" no other list is asked: the devkit's lists of single classes (dog_val.txt) are no splits."""
    has_train = (root / "ImageSets" / "Main" / "train.txt").is_file()
    looked_at = {*names, *split_names(root, "train")} if has_train else _annotated(root)
    return tuple(sorted({name for record in read_records(root, sorted(looked_at)) for name in record.names}))


def _annotated(root: Path) -> set[str]:
    folder = root / "Annotations"
    return {name.removesuffix(".xml") for name in list_files(folder, folder, folder) if name.endswith(".xml")}


def _files(root: Path, names: Sequence[str]) -> np.ndarray:
    """(N,) paths of the pictures, whichever suffix they have."""
    folder = root / "JPEGImages"
    found: dict[str, str] = {}
    for file in sorted(list_files(folder, folder, folder)):
        if file.lower().endswith(PICTURES):
            found.setdefault(file.rpartition(".")[0], file)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{printable(folder)}: no picture {show(missing[0])}; "
            f"{len(missing)} of {len(names)} image files are missing [D23]"
        )
    return np.array([str(folder / found[name]) for name in names])


def _objects(records: list[Record], classes: tuple[str, ...]) -> tuple[Objects, dict[str, int]]:
    """The objects that can be used, and how many were left out by reason."""
    rows = np.repeat(np.arange(len(records)), [len(record.names) for record in records])
    places = [(record.path, i, name) for record in records for i, name in enumerate(record.names)]
    written = np.array([box for record in records for box in record.boxes], dtype=np.float64).reshape(-1, 4)
    report = check_boxes(written, np.array([record.size for record in records], dtype=np.int64)[rows])
    if report.fault:
        index, fault = report.fault
        raise InputError(f"{_where(*places[index])}: box {written[index].tolist()} has {fault}")
    if report.clipped:
        logger.info("%s: cut %d boxes at the edge of their image [D11]", records[0].path.parent, report.clipped)
    xywh = np.concatenate([written[:, :2], written[:, 2:] - written[:, :2]], axis=1)
    crowd = np.array([mark for record in records for mark in record.difficult], dtype=bool)
    ids = np.arange(1, len(rows) + 1)
    read = Objects(rows, report.boxes, xywh, _labels(places, classes), crowd, xywh[:, 2:].prod(axis=1), ids)
    return read.without(report.empty, lambda index: _where(*places[index]))


def _labels(places: list[tuple[Path, int, str]], classes: tuple[str, ...]) -> np.ndarray:
    label_of = {name: label for label, name in enumerate(classes)}
    for place in places:
        if place[2] not in label_of:
            known = printable(", ".join(classes[:20])) + (", ..." if len(classes) > 20 else "")
            raise InputError(f"{_where(*place)}: unknown class; known are {known or 'none'} [D22]")
    return np.array([label_of[name] for _, _, name in places], dtype=np.int64)
