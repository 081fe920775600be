"""The data check: reading, decoding, counting; then the words for the user, check.json and check.html."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from densenets.build import build_model, canvas_of
from densenets.config import CheckData, ReadingRules
from densenets.data import open_split
from densenets.data.checks.annotations import Sound, judge
from densenets.data.checks.findings import Finding, Findings
from densenets.data.checks.manifest import compare, manifest_text
from densenets.data.checks.pictures import Job, Picture, inspect_all, judge_pictures, judge_twins, kinds
from densenets.data.checks.repair import Split, check_target, write_repaired
from densenets.data.checks.source import RawSplit, is_training, list_splits, name_of, read_raw, read_raw_coco
from densenets.data.checks.statistics import compare_classes, describe, suspect
from densenets.data.coco import load_coco
from densenets.data.dataset import DetectionSplit
from densenets.errors import PROBLEMS_SHOWN, InputError, Problems, StorageError, printable
from densenets.run.check_page import write_page
from densenets.run.data import streets_folder
from densenets.run.folder import Outcome, make_folder, write_json
from densenets.run.recall import default_box_recall
from densenets.storage import write_durably

log = logging.getLogger(__name__)


@dataclass
class Source:
    """One split to look at. read: its annotations as they are written; load: as a training reads them."""

    name: str
    read: Callable[[Findings], RawSplit]
    load: Callable[..., DetectionSplit]


@dataclass
class Checked:
    """One split that was looked at. suspects: kind -> rows of boxes in `sound`."""

    raw: RawSplit
    sound: Sound
    findings: Findings
    pictures: list[Picture] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    suspects: dict[str, list[int]] = field(default_factory=dict)


def check_data(settings: CheckData) -> Outcome:
    """What is wrong with a set and what it looks like, in --out. Raises InputError, with the outcome, where a training
    or a judgement would refuse it; where --strict, also where there are warnings."""
    base, sources = _sources(settings)
    canvas = canvas_of(settings.size)
    defaults = _defaults(settings, canvas)
    if settings.fix is not None:
        check_target(Path(settings.fix), [base, *([Path(settings.annotations)] if settings.annotations else [])])
    out = Path(settings.out or f"check-{_name(settings)}")
    make_folder(out)
    splits = _check_annotations(sources, settings)
    whole = _check_pictures(splits, settings, base)
    for split in splits:
        _count(split, canvas, defaults, settings.ssd.match_iou)
    used = {split.raw.name: split.sound for split in splits}
    if training := next(filter(is_training, used), None):
        compare_classes(used, training, whole)
    files = _write_sets(splits, whole, settings, base)
    report = _report(settings, splits, whole, canvas, len(defaults))
    write_json(out / "check.json", report)
    write_page(out / "check.html", report, splits)
    return _conclude(report, [out / "check.json", out / "check.html", *files])


# What there is


def _sources(settings: CheckData) -> tuple[Path, list[Source]]:
    """(the folder of all of it, the splits)."""
    given = (settings.data is not None, settings.annotations is not None, settings.images is not None)
    if given not in ((True, False, False), (False, True, True)):
        raise InputError("give either --data, or --annotations with --images")
    if settings.annotations is not None and settings.images is not None:
        file, images = Path(settings.annotations), Path(settings.images)
        name = name_of(file)
        return images, [Source(name, partial(read_raw_coco, file, images, name), partial(load_coco, file, images))]
    root = streets_folder() if settings.data == "streets" else Path(settings.data or "")
    known = list_splits(root)
    names = sorted(dict.fromkeys(settings.splits), key=lambda name: not is_training(name)) or known
    return root, [Source(name, partial(read_raw, root, name), partial(open_split, root, name)) for name in names]


def _name(settings: CheckData) -> str:
    return Path(settings.annotations or settings.data or "").resolve().stem


def _defaults(settings: CheckData, canvas: tuple[int, int]) -> Tensor:
    """(A, 4) the default boxes of the detector that is meant to be trained."""
    return build_model(settings.backbone, settings.head, 1, size=canvas, ssd=settings.ssd).defaults


# Looking


def _check_annotations(sources: list[Source], settings: CheckData) -> list[Checked]:
    """By rows of our own, which find everything; then by the reader itself, whose word counts."""
    splits, classes = [], None
    for source in sources:
        findings = Findings(source.name)
        raw = RawSplit(source.name, Path(source.name), Path())
        try:
            raw = source.read(findings)
        except InputError as fault:
            findings.refused(str(fault))
        sound = judge(raw, settings, findings) if raw.pictures or not findings.found else Sound()
        try:
            read = source.load(classes, replace(_rules(settings), strict=False))
            if is_training(source.name):
                classes = read.classes
                if read.crowd.all():  # as a training says
                    findings.error("D36", (str(raw.source), ""), "no object to learn from")
        except InputError as fault:
            findings.refused(str(fault), unless_known=True)
        splits.append(Checked(raw, sound, findings))
    return splits


def _rules(settings: CheckData) -> ReadingRules:
    return ReadingRules(**{name: getattr(settings, name) for name in asdict(ReadingRules())})


def _check_pictures(splits: list[Checked], settings: CheckData, base: Path) -> Findings:
    """Each picture of all splits; what they tell of each other is returned."""
    jobs = [
        Job(file, (height, width), settings.max_pixels)
        for split in splits
        for file, (height, width) in zip(split.sound.files, split.sound.sizes.tolist(), strict=True)
    ]
    pictures = iter(inspect_all(jobs, settings.workers))
    whole = Findings()
    for split in splits:
        split.pictures = [next(pictures) for _ in split.sound.files]
        sizes = [(height, width) for height, width in split.sound.sizes.tolist()]
        judge_pictures(split.pictures, split.sound.files, sizes, split.findings)
    judge_twins({split.raw.name: (split.sound.files, split.pictures) for split in splits}, whole)
    if settings.manifest is not None:
        compare(Path(settings.manifest), _sums(splits), base, whole)
    return whole


def _sums(splits: list[Checked]) -> dict[str, str]:
    pairs = [pair for split in splits for pair in zip(split.sound.files, split.pictures, strict=True)]
    return {file: picture.sha256 for file, picture in pairs if picture.sha256}


def _count(split: Checked, canvas: tuple[int, int], defaults: Tensor, threshold: float) -> None:
    split.statistics = {**describe(split.sound, canvas), **kinds(split.pictures)}
    split.statistics["default_boxes"] = default_box_recall(split.sound, canvas, defaults, threshold)
    split.suspects = suspect(split.sound, canvas, str(split.raw.source), split.findings)


# Writing


def _write_sets(splits: list[Checked], whole: Findings, settings: CheckData, base: Path) -> list[Path]:
    """The manifest and the repaired copy, where asked for; why there is no copy is a problem of its own."""
    files = []
    if settings.write_manifest is not None:
        files.append(Path(settings.write_manifest))
        _write_manifest(files[-1], manifest_text(_sums(splits), base))
    if settings.fix is not None:
        try:
            changes = write_repaired([_mended(split, settings) for split in splits], Path(settings.fix))
        except InputError as fault:
            whole.error("fix", ("--fix", ""), str(fault))
        else:
            whole.notes["changes in the repaired copy"] = len(changes)
            files.append(Path(settings.fix) / "fixes.jsonl")
    return files


def _mended(split: Checked, settings: CheckData) -> Split:
    form = settings.box_format if split.raw.layout == "coco" else "xywh"
    return Split(split.raw, judge(split.raw, settings, Findings(), mend=True), split.pictures, split.findings, form)


def _write_manifest(path: Path, text: bytes) -> None:
    try:
        write_durably(path, lambda handle: handle.write(text))
    except StorageError as fault:
        raise StorageError(f"--write-manifest: {fault}") from fault


# Telling


def _report(
    settings: CheckData, splits: list[Checked], whole: Findings, canvas: tuple[int, int], defaults: int
) -> dict[str, Any]:
    """All of check.json. Problems: in the order of the splits, of their files, errors and warnings as they came."""
    found = [finding for part in [*(split.findings for split in splits), whole] for finding in part.found]
    problems = [_strict(finding) if settings.strict else finding for finding in found]
    counts = {level: sum(finding.level == level for finding in problems) for level in ("error", "warning")}
    return {
        "ok": not counts["error"],
        "errors": counts["error"],
        "warnings": counts["warning"],
        "data": settings.data or settings.annotations,
        "canvas": {"height": canvas[0], "width": canvas[1], "backbone": settings.backbone, "head": settings.head,
                   "default_boxes": defaults},
        "settings": asdict(settings),
        "problems": [{**finding._asdict(), "line": finding.line} for finding in problems],
        "notes": dict(whole.notes),
        "splits": {
            split.raw.name: {"source": str(split.raw.source), "notes": dict(split.findings.notes), **split.statistics}
            for split in splits
        },
    }  # fmt: skip


def _strict(finding: Finding) -> Finding:
    return finding._replace(level="error")


def _conclude(report: dict[str, Any], files: list[Path]) -> Outcome:
    outcome = Outcome(report, _text(report), files)
    lines = {level: [row["line"] for row in report["problems"] if row["level"] == level]
             for level in ("error", "warning")}  # fmt: skip
    for line in lines["warning"][:PROBLEMS_SHOWN]:
        log.warning("warning: %s", line)
    if (more := len(lines["warning"]) - PROBLEMS_SHOWN) > 0:
        log.warning("warning: and %d more, in %s", more, printable(files[0]))
    problems = Problems()
    for line in lines["error"]:
        problems.add(line)
    try:
        problems.refuse()
    except InputError as fault:
        fault.outcome = outcome
        raise
    return outcome


def _text(report: dict[str, Any]) -> str:
    verdict = "OK" if report["ok"] else "NOT OK"
    where = printable(report["data"])
    lines = [f"{verdict}: {where}: {_plural(report['errors'], 'error')}, {_plural(report['warnings'], 'warning')}"]
    lines += [f"{what}: {count}" for what, count in report["notes"].items()]
    lines += ["", *_split_table(report), "", *_recall_table(report)]
    for name, split in report["splits"].items():
        lines += [f"{printable(name)}: {printable(what)}: {count}" for what, count in split["notes"].items()]
    return "\n".join(lines)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _split_table(report: dict[str, Any]) -> list[str]:
    lines = [f"{'split':<12}{'pictures':>10}{'boxes':>9}{'crowds':>8}{'empty':>7}{'classes':>9}  pictures of the size"]
    for name, split in report["splits"].items():
        common = [f"{row['width']}x{row['height']} ({row['images']})" for row in split["image_sizes"]["common"][:2]]
        more = split["image_sizes"]["different"] - len(common)
        sizes = ", ".join(common) + (f", {more} more sizes" if more > 0 else "")
        lines.append(
            f"{printable(name):<12}{split['images']:>10}{split['boxes']:>9}{split['crowds']:>8}"
            f"{split['images_without_boxes']:>7}{len(split['classes']):>9}  {sizes}"
        )
    return lines


CLASSES_SHOWN = 12


def _recall_table(report: dict[str, Any]) -> list[str]:
    """Of each split: all boxes, by COCO's sizes, and the classes that suit the default boxes least."""
    canvas = report["canvas"]
    lines = [
        f"boxes that a default box of {canvas['backbone']} + {canvas['head']} at {canvas['width']}x{canvas['height']} "
        f"({canvas['default_boxes']} of them) meets",
        f"{'split':<12}{'boxes of':<24}{'boxes':>8}{'recall':>9}{'mean IoU':>10}",
    ]
    for name, split in report["splits"].items():
        recall = split["default_boxes"]
        rows = [("all", recall["all"]), *recall["coco_sizes"].items()]
        known = sorted(
            (row for row in recall["classes"] if row["boxes"]), key=lambda row: (row["recall"], -row["boxes"])
        )
        rows += [(row["name"], row) for row in known[:CLASSES_SHOWN]]
        lines += [_recall_line(printable(name), printable(what), row) for what, row in rows if row["boxes"]]
        if len(known) > CLASSES_SHOWN:
            lines.append(f"{'':<12}({len(known) - CLASSES_SHOWN} classes of higher recall in check.json)")
    return lines


def _recall_line(split: str, what: str, row: dict[str, Any]) -> str:
    return f"{split:<12}{what:<24}{row['boxes']:>8}{row['recall']:>9.3f}{row['mean_iou']:>10.3f}"
