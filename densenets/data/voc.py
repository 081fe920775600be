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

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from densenets.config import ReadingRules
from densenets.data.dataset import DetectionSplit, Objects
from densenets.data.decode import Located, climbs, list_files, locate, read_bytes
from densenets.data.faults import CUT, USUAL, Faults, NoSplit, Skip, check_boxes, limit_skips, show, sift
from densenets.errors import InputError, Problems, printable

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Record(NamedTuple):
    """One XML file: height and width, and of each object its name, corners and whether it is `difficult`."""

    path: Path
    size: tuple[int, int]
    names: list[str]
    boxes: list[list[float]]
    difficult: list[bool]


def load_voc_root(
    root: Path, split: str, classes: Sequence[str] | None = None, rules: ReadingRules = USUAL
) -> DetectionSplit:
    """The split of a folder in VOC's layout. Without `classes` they are the sorted names of the objects of this split
    and of "train", or of all of Annotations where there is no "train"."""
    problems = Problems()
    names = split_names(root, split)
    files = picture_files(root, names, rules, problems)
    records = read_records(root, names, rules, problems)
    problems.refuse()
    if classes is None:
        classes = _classes(root, names, rules)
    numbers = {name: i for i, name in enumerate(sorted(_annotated(root)), start=1)}
    objects, skips, notes = _objects(records, tuple(classes), rules, root / "Annotations")
    return DetectionSplit.build(
        classes=tuple(classes),
        category_ids=np.arange(1, len(classes) + 1),
        image_ids=np.array([numbers[name] for name in names]),
        files=files,
        sizes=np.array([record.size for record in records], dtype=np.int64),
        objects=objects,
        skips=skips,
        notes=notes,
        rules=rules,
    )


def split_names(root: Path, split: str, part: str = "Main") -> list[str]:
    """The IDs of a split, in the file's order. part: the folder of lists."""
    folder = root / "ImageSets" / part
    path = folder / f"{split}.txt"
    if climbs(split) or not path.is_file():
        known = printable(", ".join(sorted(file.stem for file in folder.glob("*.txt"))))
        raise NoSplit(f"{printable(path)}: no such split; there are {known or 'none'}")
    text = read_bytes(path).decode("utf-8-sig", "surrogateescape")  # as the system decodes the names of files
    lines = [line.strip() for line in text.split("\n")]
    names = [line for line in lines if line]
    if not names:
        raise InputError(f"{printable(path)}: no images [D36]")
    _refuse_ids(path, lines)
    return names


def _refuse_ids(path: Path, lines: list[str]) -> None:
    problems, first = Problems(), dict[str, int]()
    for number, line in enumerate(lines, start=1):
        if line and climbs(line):
            problems.add(f"{printable(path)}: line {number}: {show(line)} is not inside the data set [D24]")
        elif line and first.setdefault(line, number) != number:
            problems.add(f"{printable(path)}: line {number}: {show(line)} stands in line {first[line]} too [D19]")
    problems.refuse()


def read_records(root: Path, names: Sequence[str], rules: ReadingRules, problems: Problems) -> list[Record]:
    """The annotations of the named images; of those with a fault there is none."""
    folder = root / "Annotations"
    _, missing, outside = _located(folder, [f"{name}.xml" for name in names], rules, problems, "annotation [D22]")
    records = []
    for name in np.array(names, dtype=object)[~(missing | outside)]:
        try:
            records.append(read_record(folder / f"{name}.xml"))
        except InputError as fault:
            problems.add(str(fault))
    return records


def _located(folder: Path, names: Sequence[str], rules: ReadingRules, problems: Problems, what: str) -> Located:
    """Where files of a folder are; what is missing, or behind a link that leads out, is told."""
    located = locate(folder, names, rules.follow_symlinks)
    for name in np.array(names, dtype=object)[located.outside]:
        problems.add(f"{printable(folder / name)}: a link leads out of the folder; --follow-symlinks allows it [D24]")
    for name in np.array(names, dtype=object)[located.missing]:
        problems.add(f"{printable(folder)}: {show(name)}: no such {what}")
    return located


def read_record(path: Path) -> Record:
    """One XML file."""
    data = read_bytes(path)
    if b"<!ENTITY" in data.replace(b"\0", b""):  # in UTF-16 too
        raise InputError(f"{printable(path)}: declares XML entities, which no annotation needs [D37]")
    try:
        top = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise InputError(f"{printable(path)}: not valid XML: {printable(error)} [D37]") from error
    height, width = (_number(top.find("size"), key, f"{printable(path)}: size") for key in ("height", "width"))
    if not all(1 <= side < 2**31 and side.is_integer() for side in (height, width)):
        raise InputError(f"{printable(path)}: {width:g}x{height:g} is not the size of a picture [D26]")
    record = Record(path, (int(height), int(width)), [], [], [])
    for index, item in enumerate(top.findall("object")):
        name = (item.findtext("name") or "").strip()
        where = f"{printable(path)}: {_item(index, name)}"
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


def _item(index: int, name: str) -> str:
    return f"object[{index}] ({show(name)})"


def _classes(root: Path, names: list[str], rules: ReadingRules) -> tuple[str, ...]:
    """Without "train" no other list is asked: the devkit's lists of single classes (dog_val.txt) are no splits."""
    has_train = (root / "ImageSets" / "Main" / "train.txt").is_file()
    looked_at = {*names, *split_names(root, "train")} if has_train else _annotated(root)
    problems = Problems()
    records = read_records(root, sorted(looked_at), rules, problems)
    problems.refuse()
    return tuple(sorted({name for record in records for name in record.names}))


def _annotated(root: Path) -> set[str]:
    return {name.removesuffix(".xml") for name in list_files(root / "Annotations") if name.endswith(".xml")}


def picture_files(root: Path, names: Sequence[str], rules: ReadingRules, problems: Problems) -> np.ndarray:
    """(N,) paths of the pictures, whichever suffix they have."""
    folder = root / "JPEGImages"
    found: dict[str, str] = {}
    for file in sorted(list_files(folder)):
        if file.lower().endswith(PICTURES):
            found.setdefault(file.rpartition(".")[0], file)
    return _located(folder, [found.get(name, name) for name in names], rules, problems, "picture [D23]").files


def _objects(
    records: list[Record], classes: tuple[str, ...], rules: ReadingRules, folder: Path
) -> tuple[Objects, list[Skip], dict[str, int]]:
    """The objects that can be used, those that were left out, and how often what was put right."""
    problems = Problems()
    rows = np.repeat(np.arange(len(records)), [len(record.names) for record in records])
    places = [(record.path, i, name) for record in records for i, name in enumerate(record.names)]
    written = np.array([box for record in records for box in record.boxes], dtype=np.float64).reshape(-1, 4)
    faults = Faults(len(places), lambda row: (str(places[row][0]), _item(*places[row][1:])))
    labels = _labels([name for *_, name in places], classes, faults)
    report = check_boxes(written, np.array([record.size for record in records], dtype=np.int64)[rows])
    left_out, skips = sift(report, written, lambda row: f"box {written[row].tolist()}", faults, rules)
    limit_skips(skips, len(places), folder, rules, problems)
    faults.tell(problems)
    problems.refuse()
    xywh = np.concatenate([written[:, :2], written[:, 2:] - written[:, :2]], axis=1)
    crowd = np.array(list(chain.from_iterable(record.difficult for record in records)), dtype=bool)
    ids = np.arange(1, len(rows) + 1)
    read = Objects(rows, report.boxes, xywh, labels, crowd, xywh[:, 2:].prod(axis=1), ids)
    return read.take(~left_out), skips, {CUT: int(report.clipped.sum())}


def _labels(names: list[str], classes: tuple[str, ...], faults: Faults) -> np.ndarray:
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of.get(name, -1) for name in names], dtype=np.int64)
    known = printable(", ".join(classes[:20])) + (", ..." if len(classes) > 20 else "")
    faults.add(labels < 0, lambda row: f"unknown class; known are {known or 'none'} [D22]")
    return labels
