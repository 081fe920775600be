"""The data check of masks: opened as a training opens them, every picture and mask decoded, all of it counted."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from densenets.config import CheckData, ReadingRules
from densenets.data import find_layout, find_segmentation, open_segmentation, segmentation_splits
from densenets.data.checks.findings import Findings
from densenets.data.checks.manifest import compare, manifest_text
from densenets.data.checks.mask_pairs import (
    MaskSeen,
    compare_mask_classes,
    describe_masks,
    inspect_masks,
    judge_masks,
    pixels_of,
)
from densenets.data.checks.pictures import Job, Picture, inspect_all, judge_pictures, judge_twins, kinds
from densenets.data.checks.source import is_training
from densenets.data.faults import accepting, allowed_skips, too_many
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import InputError, StorageError, printable
from densenets.heads import heads_of
from densenets.run.check.mask_page import mask_text, write_mask_page
from densenets.run.data import naming, rules_of, streets_folder
from densenets.run.folder import make_folder, write_json
from densenets.run.labels import looks_like_train_ids, train_ids_told
from densenets.storage import write_durably


@dataclass
class CheckedMasks:
    """One split that was looked at; split: None where a training would not even open it."""

    name: str
    findings: Findings
    split: SegmentationSplit | None = None
    pictures: list[Picture] = field(default_factory=list)
    masks: list[MaskSeen] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)


def means_masks(settings: CheckData) -> bool:
    """Whether masks are to be checked: where a folder has boxes too, or neither, the head says so."""
    asked = settings.head in heads_of("segmentation")
    if settings.data is None or settings.data == "streets":
        return asked and settings.data is not None
    boxes, masks = (_fits(Path(settings.data), find) for find in (find_layout, find_segmentation))
    return asked if boxes == masks else masks


def _fits(root: Path, find: Callable[[Path], str]) -> bool:
    try:
        return bool(find(root))
    except InputError:
        return False


def look_at_masks(settings: CheckData) -> tuple[dict[str, Any], str, list[Path]]:
    """(the report, its words, the files written) of a set of masks."""
    for name in ("fix", "annotations", "images"):
        if getattr(settings, name) is not None:
            raise InputError(f"--{name}: goes with a set of boxes; {printable(settings.data)} is checked for masks")
    root = streets_folder(masks=True) if settings.data == "streets" else Path(settings.data or "")
    out = Path(settings.out or f"check-{root.resolve().stem}")
    make_folder(out)
    splits = _open(root, settings)
    whole = Findings()
    _look(splits, settings)
    seen: dict[str, tuple[Sequence[str], Sequence[Picture]]] = {
        split.name: (split.split.files.tolist(), split.pictures) for split in splits if split.split is not None
    }
    judge_twins(seen, whole)
    used = {split.name: _used(split) for split in splits if split.split is not None}
    if (training := next(filter(is_training, used), None)) and used[training]:
        compare_mask_classes(used, training, whole)
    files = _manifests(splits, root, whole, settings)
    report = _report(settings, splits, whole)
    write_json(out / "check.json", report)
    write_mask_page(out / "check.html", report, splits)
    return report, mask_text(report), [out / "check.json", out / "check.html", *files]


def _open(root: Path, settings: CheckData) -> list[CheckedMasks]:
    """As a training does, its own split first, whose classes the others are to have."""
    known = segmentation_splits(root)
    names = sorted(dict.fromkeys(settings.splits), key=lambda name: not is_training(name)) or known
    if not names:
        raise InputError(f"{printable(root)}: no split found")
    classes: Sequence[str] | None = settings.classes or None
    splits = []
    told = set[str]()  # what is wrong with all splits alike, as a class list that is missing, is told of the first
    for name in names:
        findings = Findings(name)
        splits.append(CheckedMasks(name, findings))
        try:
            with naming("--splits"):
                split = open_segmentation(
                    root, name, classes, _lenient(settings), settings.ignore_ids, tell=findings.refused
                )
        except InputError as fault:
            findings.refused("\n".join(line for line in str(fault).splitlines() if line not in told))
            told.update(str(fault).splitlines())
            continue
        splits[-1].split = split
        classes = split.classes if is_training(name) else classes
    return splits


def _lenient(settings: ReadingRules) -> ReadingRules:
    return replace(rules_of(settings), strict=False, max_skip=1.0)  # how much is too much is told of all at once


def _look(splits: list[CheckedMasks], settings: CheckData) -> None:
    for checked in splits:
        if (split := checked.split) is None:
            continue
        training = is_training(checked.name)
        sizes = [(height, width) for height, width in split.sizes.tolist()]
        files = split.files.tolist()
        jobs = [Job(file, size, settings.max_pixels) for file, size in zip(files, sizes, strict=True)]
        checked.pictures = inspect_all(jobs, settings.workers)
        checked.masks = inspect_masks(split, settings.workers)
        judge_pictures(checked.pictures, files, sizes, checked.findings, training)
        judge_masks(checked.masks, split, checked.findings, training, bool(settings.classes))
        if looks_like_train_ids(split, pixels_of(checked.masks)):
            checked.findings.warn("D32", (f"split {checked.name}", ""), train_ids_told(len(checked.masks)))
        for what, count in split.remarks.items():
            checked.findings.note(what, count)
        checked.statistics = {**describe_masks(checked.masks, split), **kinds(checked.pictures)}
        if training and not settings.strict:
            _limit_skips(checked, split, settings)


def _limit_skips(checked: CheckedMasks, split: SegmentationSplit, settings: CheckData) -> None:
    pairs = zip(checked.pictures, checked.masks, strict=True)
    count, total = sum(picture.replaceable or mask.replaceable for picture, mask in pairs), len(split)
    if count > allowed_skips(total, settings.max_skip):
        words = too_many(count, total, "pictures", settings, accepting(count, total))
        checked.findings.error("D41", (f"split {checked.name}", ""), words)


def _used(checked: CheckedMasks) -> set[str]:
    return {row["name"] for row in checked.statistics["classes"] if row["pixels"]}


def _manifests(splits: list[CheckedMasks], root: Path, whole: Findings, settings: CheckData) -> list[Path]:
    sums = {
        file: picture.sha256
        for checked in splits
        if checked.split is not None
        for file, picture in zip(checked.split.files.tolist(), checked.pictures, strict=True)
        if picture.sha256
    }
    if settings.manifest is not None:
        compare(Path(settings.manifest), sums, root, whole)
    if settings.write_manifest is None:
        return []
    path, text = Path(settings.write_manifest), manifest_text(sums, root)
    try:
        write_durably(path, lambda handle: handle.write(text))
    except StorageError as fault:
        raise StorageError(f"--write-manifest: {fault}") from fault
    return [path]


def _report(settings: CheckData, splits: list[CheckedMasks], whole: Findings) -> dict[str, Any]:
    """All of check.json, in the form of a check of boxes; of a split that cannot be opened there are problems only."""
    found = [finding for part in [*(split.findings for split in splits), whole] for finding in part.found]
    if settings.strict:
        found = [finding._replace(level="error") if finding.left_out else finding for finding in found]
    counts = {level: sum(finding.level == level for finding in found) for level in ("error", "warning")}
    return {
        "ok": not counts["error"],
        "errors": counts["error"],
        "warnings": counts["warning"],
        "data": settings.data,
        "task": "segmentation",
        "settings": asdict(settings),
        "problems": [{**finding._asdict(), "line": finding.line} for finding in found],
        "copy": None,
        "splits": {
            split.name: {"notes": dict(split.findings.notes), **split.statistics}
            for split in splits
            if split.split is not None
        },
    }
