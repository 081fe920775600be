"""The faults of a split's annotations, all of them, and what is left when each faulty item is left out."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from densenets.config import ReadingRules
from densenets.data.checks.findings import Findings
from densenets.data.checks.masks import mask_fault
from densenets.data.checks.source import NO_OBJECT, Item, Place, RawSplit
from densenets.data.coco import LARGEST_AREA, both_forms, mistaken_form
from densenets.data.decode import Located, climbs, locate
from densenets.data.document import LARGEST_ID, floats
from densenets.data.faults import BEYOND, LEAVE_OUT, BoxReport, check_boxes, show
from densenets.errors import InputError

NUMBERS = {int, float}
RENUMBER = " (--renumber gives new ids)"


@dataclass
class Sound:
    """What can be used of a split: N images, M boxes, C classes. `*_at`: where each stands in the lists of the source.

    row_of: image id -> row of the image. listed: "image_id" and "category_id" -> the ids of all images and categories,
    usable or not. dropped, changed: (list, position) -> why an item cannot be used; what a repair has to change in one
    that can.
    """

    classes: list[str] = field(default_factory=list)  # in the order of their ids
    label_of: dict[int, int] = field(default_factory=dict)  # category id -> label
    category_of: dict[int, int] = field(default_factory=dict)  # position in the source -> label
    images_at: list[int] = field(default_factory=list)  # (N,)
    row_of: dict[int, int] = field(default_factory=dict)  # image id -> row
    listed: dict[str, set[int]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)  # (N,) full paths
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))  # (N, 2) height, width
    objects_at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (M,)
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (M,) of their images
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))  # (M, 4) x0 y0 x1 y1, cut at the image's edges
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (M,)
    crowd: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (M,)
    dropped: dict[tuple[str, int], str] = field(default_factory=dict)
    changed: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def drop(self, kind: str, index: int, why: str) -> None:
        self.dropped.setdefault((kind, index), why)

    def change(self, kind: str, index: int, what: str) -> None:
        self.changed.setdefault((kind, index), []).append(what)


def judge(raw: RawSplit, rules: ReadingRules, findings: Findings, mend: bool = False) -> Sound:
    """Everything that is wrong with the annotations, in the order of the file.

    mend: what a repair can put right counts as usable: boxes that lead beyond their images, ids that stand twice.
    """
    sound = Sound()
    for key, items in (("image_id", raw.pictures), ("category_id", raw.categories)):
        sound.listed[key] = {number for item in items if type(number := item.get("id")) is int}
    if not (raw.pictures and raw.categories) and not findings.found:
        missing = "images" if not raw.pictures else "categories"
        findings.error("D36", (str(raw.source), ""), f"no {missing}")
    _judge_categories(raw, sound, findings)
    _judge_pictures(raw, sound, rules, findings)
    _judge_objects(raw, sound, rules, findings, mend)
    return sound


def _items(items: list[Item], kind: str, sound: Sound) -> Iterator[tuple[int, Item]]:
    """Those that are objects; the others were told of when they were read."""
    for index, item in enumerate(items):
        if item is NO_OBJECT:
            sound.drop(kind, index, "is not an object [D37]")
        else:
            yield index, item


# Categories and pictures


def _judge_categories(raw: RawSplit, sound: Sound, findings: Findings) -> None:
    ids, names = dict[int, int](), dict[str, int]()
    for index, item in _items(raw.categories, "categories", sound):
        number, name = item.get("id"), item.get("name")
        if (fault := _bad_id(number)) or type(name) is not str:
            code, what = "D37", fault or f"name is {show(name)}; it must be a text"
        elif number in ids or name in names:
            key, before = ("id", ids[number]) if number in ids else ("name", names[name])
            code, what = "D18", f"its {key} is that of {raw.category(before)[1]} too"
        else:
            ids[number] = names[name] = index  # type: ignore[index]
            continue
        findings.error(code, raw.category(index), what)
        sound.drop("categories", index, f"{what} [{code}]")
    kept = sorted(names.values(), key=lambda index: raw.categories[index]["id"])
    sound.classes = [raw.categories[index]["name"] for index in kept]
    sound.label_of = {raw.categories[index]["id"]: label for label, index in enumerate(kept)}
    sound.category_of = {index: label for label, index in enumerate(kept)}


def _bad_id(value: Any, key: str = "id") -> str:
    """What is wrong with an id, or nothing."""
    if type(value) is not int:
        return f"{key} is {show(value)}; it must be a whole number"
    return f"{key} is beyond 2^53" if abs(value) >= LARGEST_ID else ""


def _twice(item: Item, index: int, first: dict[int, int], place: Callable[[int], Place], hint: str = "") -> str:
    """The words for an id that stood before, or nothing. first: id -> where it stands first, noted here."""
    before = first.setdefault(item["id"], index)
    return "" if before == index else f"its id is that of {place(before)[1]} too{hint}"


def _judge_pictures(raw: RawSplit, sound: Sound, rules: ReadingRules, findings: Findings) -> None:
    names = [item.get("file_name") for item in raw.pictures]
    safe = [name if type(name) is str and not climbs(name) else "" for name in names]
    located = _located(raw, safe, rules, findings)
    first: dict[int, int] = {}  # of all pictures: what names an unusable one must not go to its namesake
    sizes: list[tuple[int, int]] = []
    for index, item in _items(raw.pictures, "images", sound):
        fault = _entry_fault(raw, item, index, first) or _file_fault(located, index, safe[index])
        if fault:
            code, what = fault
            picture = str(located.files[index]) if code == "D19" else None
            findings.error(code, raw.picture(index), what, picture)
            sound.drop("images", index, f"{what} [{code}]")
            continue
        sound.row_of[item["id"]] = len(sizes)
        sound.images_at.append(index)
        sound.files.append(str(located.files[index]))
        sizes.append((item["height"], item["width"]))
    sound.sizes = np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _located(raw: RawSplit, names: list[str], rules: ReadingRules, findings: Findings) -> Located:
    try:
        return locate(raw.images, names, rules.follow_symlinks)
    except InputError as fault:  # a folder that cannot be read, nor can its pictures then
        findings.refused(str(fault))
        nowhere = np.zeros(len(names), dtype=bool)
        return Located(np.array([str(raw.images / name) for name in names]), nowhere, nowhere)


def _entry_fault(raw: RawSplit, item: Item, index: int, first: dict[int, int]) -> tuple[str, str] | None:
    """(code, words) of the first fault of an image's entry, its file apart."""
    if fault := _bad_id(item.get("id")):
        return "D37", fault
    if fault := _twice(item, index, first, raw.picture):
        return "D19", fault
    for key in ("height", "width"):
        if fault := _bad_id(item.get(key), key):
            return "D37", fault
    if min(item["height"], item["width"]) <= 0:
        return "D26", f"{item['width']}x{item['height']} is not the size of a picture"
    name = item.get("file_name")
    if type(name) is not str:
        return "D37", f"file_name is {show(name)}; it must be a text"
    return ("D24", "its file_name does not name a file inside the images folder") if climbs(name) else None


def _file_fault(located: Located, index: int, name: str) -> tuple[str, str] | None:
    if located.outside[index]:
        return "D24", "leads out of the images folder (--follow-symlinks allows it)"
    hint = " (folders are written with /, not with a backslash)" if "\\" in name else ""
    return ("D23", f"the picture is missing{hint}") if located.missing[index] else None


# Annotations


def _judge_objects(raw: RawSplit, sound: Sound, rules: ReadingRules, findings: Findings, mend: bool) -> None:
    file_of = {raw.pictures[index]["id"]: raw.pictures[index]["file_name"] for index in sound.images_at}
    first: dict[int, int] = {}
    at: list[int] = []
    for index, item in _items(raw.objects, "annotations", sound):
        fault = _bad_ids(item)
        if not fault and (words := _twice(item, index, first, lambda other: raw.object(other, file_of), RENUMBER)):
            fault = None if mend or rules.renumber else ("D20", words)
        fault = fault or _object_fault(item, sound)
        if fault is None:
            at.append(index)
            continue
        code, what = fault
        if code != "":  # of a picture that was told of already
            findings.error(code, raw.object(index, file_of), what, _path(item, sound))
        sound.drop("annotations", index, f"{what} [{code}]" if code else what)
    _note_fillings(raw, at, findings, sound)
    _judge_boxes(raw, sound, at, file_of, rules, findings, mend)
    _judge_masks(raw, sound, file_of, findings)


def _path(item: Item, sound: Sound) -> str | None:
    image = item.get("image_id")
    return sound.files[sound.row_of[image]] if type(image) is int and image in sound.row_of else None


def _bad_ids(item: Item) -> tuple[str, str] | None:
    faults = (_bad_id(item.get(key), key) for key in ("id", "image_id", "category_id"))
    return next((("D37", fault) for fault in faults if fault), None)


def _object_fault(item: Item, sound: Sound) -> tuple[str, str] | None:
    """(code, words) of the first fault of an annotation whose ids are numbers, its box's place apart."""
    known_image = item["image_id"] in sound.row_of
    for key, known in (("image_id", known_image), ("category_id", item["category_id"] in sound.label_of)):
        if not known and item[key] in sound.listed[key]:
            return "", f"its {key} is of an item that cannot be used"
    if not known_image or item["category_id"] not in sound.label_of:
        key = "category_id" if known_image else "image_id"
        return "D22", f"{key} {item[key]} is unknown"
    return _bad_values(item)


def _bad_values(item: Item) -> tuple[str, str] | None:
    box, area = item.get("bbox"), item.get("area")
    if type(box) is not list or len(box) != 4 or not {type(value) for value in box} <= NUMBERS:
        return "D43", f"bbox is {show(box)}; it must be 4 numbers"
    if type(item.get("iscrowd", 0)) not in (int, bool) or item.get("iscrowd", 0) not in (0, 1):
        return "D15", f"iscrowd is {show(item['iscrowd'])}; it must be 0 or 1"
    if area is not None and (type(area) not in NUMBERS or not 0 <= area <= LARGEST_AREA):
        return ("D09" if type(area) in NUMBERS else "D37"), f"area is {show(area)}; it must be a number of 0 or more"
    return None


def _note_fillings(raw: RawSplit, at: list[int], findings: Findings, sound: Sound) -> None:
    if raw.layout == "voc":
        return
    for key in ("iscrowd", "area"):
        without = [index for index in at if raw.objects[index].get(key) is None]
        findings.note(f"annotations without {key}, which is filled in [D15]", len(without))
        for index in without:
            sound.change("annotations", index, f"{key} filled in [D15]")


def _judge_boxes(
    raw: RawSplit,
    sound: Sound,
    at: list[int],
    file_of: dict[Any, str],
    rules: ReadingRules,
    findings: Findings,
    mend: bool,
) -> None:
    """Where each box lies; what can be used of them goes to `sound`."""
    items = [raw.objects[index] for index in at]
    rows = np.array([sound.row_of[item["image_id"]] for item in items], dtype=np.int64)
    written = floats([value for item in items for value in item["bbox"]]).reshape(-1, 4)
    form = raw.form(rules)
    report = check_boxes(both_forms(written, form)[0], sound.sizes[rows])
    beyond = report.faults[BEYOND]
    bad = (report.unusable | report.empty) & ~(beyond & mend)
    if raw.layout == "coco" and (words := mistaken_form(written, form, report.unusable, sound.sizes[rows])):
        findings.error("D12", (str(raw.source), ""), words)
    else:
        _tell_boxes(raw, np.array(at, dtype=np.int64), report, bad, file_of, sound, rules, findings)
    findings.note("boxes cut at the edge of their image, by no more than rounding [D11]", int(report.clipped.sum()))
    for row in np.flatnonzero(report.clipped | (beyond & mend)).tolist():
        sound.change("annotations", at[row], "cut at the edge of the image [D11]")
    sound.objects_at, sound.rows, sound.boxes = np.array(at, dtype=np.int64)[~bad], rows[~bad], report.boxes[~bad]
    sound.labels = np.array([sound.label_of[item["category_id"]] for item in items], dtype=np.int64)[~bad]
    sound.crowd = np.array([bool(item.get("iscrowd", 0)) for item in items], dtype=bool)[~bad]


def _tell_boxes(
    raw: RawSplit,
    at: np.ndarray,
    report: BoxReport,
    bad: np.ndarray,
    file_of: dict[Any, str],
    sound: Sound,
    rules: ReadingRules,
    findings: Findings,
) -> None:
    """Each box that cannot be used: those that the mask `bad` marks."""
    masks = {"zero area [D07]": report.empty, "no part inside the image [D10]": report.outside, **report.faults}
    advice = "" if rules.strict else LEAVE_OUT
    for row in np.flatnonzero(bad).tolist():
        fault = next(words for words, mask in masks.items() if mask[row])
        words, code = fault[:-6], fault[-4:-1]
        item, place = raw.objects[at[row]], raw.object(int(at[row]), file_of)
        what = f"bbox {show(item['bbox'])} has {words}"
        skip = code == "D07" or (code == "D10" and rules.skip_invalid)
        hint = advice if code == "D10" and not skip else ""
        (findings.leave_out if skip else findings.error)(code, place, what + hint, _path(item, sound))
        sound.drop("annotations", int(at[row]), f"{what} [{code}]")


def _judge_masks(raw: RawSplit, sound: Sound, file_of: dict[Any, str], findings: Findings) -> None:
    """The masks of the annotations that can be used: a fault of the mask costs no box."""
    for index, row in zip(sound.objects_at.tolist(), sound.rows.tolist(), strict=True):
        mask = raw.objects[index].get("segmentation")
        height, width = sound.sizes[row].tolist()
        if not mask or not (fault := mask_fault(mask, height, width)):
            continue
        code, what, skips = fault
        (findings.warn if skips else findings.error)(code, raw.object(index, file_of), what, sound.files[row])
        sound.change("annotations", index, f"segmentation dropped: {what} [{code}]")


def boxes_left_out(raw: RawSplit, sound: Sound, rules: ReadingRules) -> dict[int, list[list[float]]]:
    """Row of a picture -> corners of its boxes that cannot be used, as far as they can be drawn."""
    found: dict[int, list[list[float]]] = {}
    for index in (index for kind, index in sound.dropped if kind == "annotations"):
        box, image = raw.objects[index].get("bbox"), raw.objects[index].get("image_id")
        if type(image) is int and image in sound.row_of and _can_be_drawn(box):
            corners = both_forms(np.array([box], dtype=np.float64), raw.form(rules))[0]
            found.setdefault(sound.row_of[image], []).extend(corners.tolist())
    return found


def _can_be_drawn(box: Any) -> bool:
    return type(box) is list and len(box) == 4 and all(type(value) in NUMBERS and abs(value) < 1e6 for value in box)


def unused_classes(sound: Sound) -> list[str]:
    counts = Counter(sound.labels.tolist())
    return [name for label, name in enumerate(sound.classes) if not counts[label]]
