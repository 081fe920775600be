"""A copy of a set from which everything is left out, or put right, that a reader refuses or skips.

What is done is what has one clear answer: faulty boxes, annotations and pictures are left out, boxes are cut at the
edges of their images, twice-used annotation ids are renumbered, missing iscrowd and area filled in, faulty masks
dropped, suffixes made true, and pictures whose EXIF orientation leaves it open how they stand are stored upright (a
JPEG among them anew, at quality 95). Where a fault has no clear answer, nothing is written.
"""

import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from densenets.data.checks.annotations import Sound
from densenets.data.checks.findings import CODE, Findings
from densenets.data.checks.pictures import SUFFIXES, Picture, wears_suffix
from densenets.data.checks.source import Item, RawSplit, safe_name
from densenets.data.decode import FORMATS, read_bytes
from densenets.errors import InputError, StorageError, printable

HOPELESS = {"D12", "D18", "D36", "D37"}  # of a whole file: what was meant cannot be told


class Split(NamedTuple):
    """A split as it was checked. sound: as for mending; pictures: one for each of its images."""

    raw: RawSplit
    sound: Sound
    pictures: Sequence[Picture]
    findings: Findings
    box_format: str


def check_target(target: Path, originals: Sequence[Path]) -> None:
    """InputError unless the copy goes to a new or empty folder that is neither inside the original nor above it."""
    place = Path(os.path.realpath(target))
    for original in (Path(os.path.realpath(path)) for path in originals):
        if place == original or place in original.parents or original in place.parents:
            raise InputError(f"--fix: {printable(target)}: the original is {printable(original)}; name another place")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"--fix: {printable(target)}: not empty; the repaired copy needs a folder of its own")


def write_repaired(splits: Iterable[Split], target: Path) -> list[dict[str, Any]]:
    """The copy in COCO's layout, and fixes.jsonl with a line for each change. Raises InputError, StorageError.

    Each split is written before the next is taken; ask `refuse_hopeless` of all of them first.
    """
    changes = []
    try:
        for split in splits:
            refuse_hopeless(split.raw, split.sound, split.pictures, split.findings)
            (target / "annotations").mkdir(parents=True, exist_ok=True)
            changes += _Copy(split, target).write()
        text = "".join(json.dumps(change) + "\n" for change in changes)
        (target / "fixes.jsonl").write_text(text, encoding="ascii")
    except OSError as fault:
        raise StorageError(f"--fix: {printable(target)}: cannot be written: {fault.strerror or fault}") from fault
    return changes


def count_changes(changes: Iterable[dict[str, Any]]) -> dict[str, int]:
    """ "annotations left out [D07]" -> how often, of the lines of fixes.jsonl."""
    counts: Counter[str] = Counter()
    for change in changes:
        code = CODE.search(change["why"])
        counts[f"{change['list']} {change['action']}{f' [{code[1]}]' if code else ''}"] += 1
    return dict(counts)


def refuse_hopeless(raw: RawSplit, sound: Sound, pictures: Sequence[Picture], findings: Findings) -> None:
    """InputError where no copy can be made of a split; `raw` needs no lists for it."""
    source = str(raw.source)
    for finding in findings.found:
        whole_file = finding.code in HOPELESS and finding.file == source and not finding.item
        # Which picture an annotation means, where two have its image's id, no rule can tell.
        unclear = finding.item.startswith("categories[") or (finding.code == "D19" and raw.layout == "coco")
        if finding.level == "error" and (whole_file or unclear):
            by_hand = "what was meant cannot be told; mend this by hand"
            advice = "no copy before it is settled: give that flag with --fix" if finding.code == "D12" else by_hand
            raise InputError(f"{finding.line}: {advice}")
    if not sound.classes or all(picture.fault for picture in pictures):
        what = "pictures" if sound.classes else "categories"
        raise InputError(f"{printable(source)}: none of its {what} can be used")


class _Copy:
    """One split on its way into `target`."""

    def __init__(self, split: Split, target: Path) -> None:
        self.raw, self.sound, self.pictures, _, self.box_format = split
        self.target, self.name = target, safe_name(split.raw.name)
        self.changes: list[dict[str, Any]] = []
        self.names: dict[int, str] = {}  # row of an image -> file name in the copy
        self.taken: set[str] = set()

    def write(self) -> list[dict[str, Any]]:
        (self.target / self.name).mkdir()
        for (kind, index), why in sorted(self.sound.dropped.items()):
            self._tell(kind, index, "left out", why)
        images = [image for row in range(len(self.sound.files)) if (image := self._image(row))]
        document = {
            **self.raw.rest,
            "images": images,
            "annotations": self._annotations(),
            "categories": self._classes(),
        }
        text = json.dumps(document, allow_nan=False)
        (self.target / "annotations" / f"instances_{self.name}.json").write_text(text, encoding="ascii")
        return self.changes

    def _tell(self, kind: str, index: int, action: str, what: str) -> None:
        items = {"images": self.raw.pictures, "annotations": self.raw.objects, "categories": self.raw.categories}[kind]
        place = {"split": self.name, "list": kind, "index": index, "id": items[index].get("id")}
        self.changes.append({**place, "action": action, "why": what})

    # Pictures

    def _image(self, row: int) -> Item | None:
        """The entry of a picture, which is put into the copy; none where it cannot be used."""
        index, picture = self.sound.images_at[row], self.pictures[row]
        if picture.fault:
            self._tell("images", index, "left out", f"{picture.fault[0]} [{picture.fault[1]}]")
            return None
        item = self.raw.pictures[index]
        name = self._true_name(item["file_name"], picture)
        if name != item["file_name"]:
            self._tell("images", index, "renamed", f"{name}: it is {picture.format} [D04]")
        self.names[row] = name
        place = self.target / self.name / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if picture.ambiguous:
            place.write_bytes(_upright(Path(self.sound.files[row]), picture.format))
            self._tell("images", index, "stored upright", "its EXIF orientation was ambiguous [D28]")
        else:
            _link(Path(self.sound.files[row]), place)
        return {**item, "file_name": name}

    def _true_name(self, name: str, picture: Picture) -> str:
        """With the suffix of its format, and one that no other picture has."""
        path = PurePosixPath(os.path.normpath(name))
        if wears_suffix(name, picture.format):
            new = str(path)
        else:
            new = str(path.with_suffix(SUFFIXES[picture.format][0]))
        number = 2
        while new in self.taken:
            new, number = str(path.with_name(f"{path.stem}-{number}{PurePosixPath(new).suffix}")), number + 1
        self.taken.add(new)
        return new

    # Annotations and categories

    def _annotations(self) -> list[Item]:
        columns = (self.sound.objects_at, self.sound.rows, self.sound.boxes)
        ids: set[int] = set()
        free = max((item["id"] for item in self._kept()), default=0) + 1
        found = []
        for at, row, box in zip(*(column.tolist() for column in columns), strict=True):
            if row not in self.names:
                self._tell("annotations", at, "left out", "its picture cannot be used")
                continue
            item = self._annotation(at, box)
            if item["id"] in ids:
                self._tell("annotations", at, "renumbered", f"{item['id']} becomes {free} [D20]")
                item["id"], free = free, free + 1
            ids.add(item["id"])
            found.append(item)
        return found

    def _kept(self) -> list[Item]:
        return [self.raw.objects[at] for at in self.sound.objects_at.tolist()]

    def _annotation(self, at: int, box: list[float]) -> Item:
        item = self.raw.objects[at]
        x0, y0, x1, y1 = box
        changed = self.sound.changed.get(("annotations", at), [])
        for what in changed:
            self._tell("annotations", at, "changed", what)
        as_written = self.box_format == "xywh" and not any(what.startswith("cut") for what in changed)
        new = {**item, "bbox": item["bbox"] if as_written else [x0, y0, x1 - x0, y1 - y0]}
        new["iscrowd"] = int(item.get("iscrowd", 0))
        new["area"] = (x1 - x0) * (y1 - y0) if item.get("area") is None else item["area"]
        if any(what.startswith("segmentation") for what in changed):
            new.pop("segmentation")
        return new

    def _classes(self) -> list[Item]:
        return [item for at, item in enumerate(self.raw.categories) if at in self.sound.category_of]


def _link(source: Path, place: Path) -> None:
    """A second name of the same file where the file system can, else a copy."""
    try:
        os.link(os.path.realpath(source), place)
    except OSError:
        shutil.copyfile(source, place)


def _upright(path: Path, kind: str) -> bytes:
    """The picture turned as its EXIF orientation says, without it."""
    with Image.open(io.BytesIO(read_bytes(path)), formats=FORMATS) as image:
        turned = ImageOps.exif_transpose(image)
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if kind in ("JPEG", "MPO") else {}
    if kind == "WEBP":
        options = {"lossless": True}
    turned.save(file, "JPEG" if kind == "MPO" else kind, **options)
    return file.getvalue()
