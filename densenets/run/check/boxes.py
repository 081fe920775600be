"""The data check: reading, decoding, counting; then the words for the user, check.json and check.html."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from densenets.build import build_model, canvas_of
from densenets.config import CheckData, ReadingRules
from densenets.config.detection import tell_without_effect
from densenets.data import open_split
from densenets.data.checks.annotations import Sound, boxes_left_out, judge
from densenets.data.checks.findings import Finding, Findings, in_order
from densenets.data.checks.manifest import compare, manifest_text
from densenets.data.checks.pictures import Job, Picture, inspect_all, judge_pictures, judge_twins, kinds
from densenets.data.checks.repair import Split, check_target, count_changes, refuse_hopeless, write_repaired
from densenets.data.checks.source import (
    RawSplit,
    choose_splits,
    is_training,
    name_of,
    read_raw,
    read_raw_coco,
    safe_name,
)
from densenets.data.checks.statistics import compare_classes, describe, suspect
from densenets.data.coco import load_coco
from densenets.data.dataset import DetectionSplit
from densenets.data.faults import Skip, accepting, allowed_skips, too_many, too_many_skips
from densenets.errors import PROBLEMS_SHOWN, InputError, Problems, StorageError, printable
from densenets.heads import heads_of
from densenets.heads.detection import Detection
from densenets.run.check.masks import look_at_masks, means_masks
from densenets.run.check.page import write_page
from densenets.run.check.recall import Meant, default_box_recall, warn_of_few
from densenets.run.check.text import train_command, write_text
from densenets.run.data import streets_folder
from densenets.run.folder import Outcome, make_folder, write_json
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
    """One split that was looked at; of `raw` the lists are gone: one split's are in memory at a time.

    suspects: kind -> rows of boxes in `sound`. faulty: row of a picture -> corners of its boxes that cannot be used.
    skips, total: annotations that a training leaves out, and all of them.
    """

    source: Source
    raw: RawSplit
    sound: Sound
    findings: Findings
    faulty: dict[int, list[list[float]]] = field(default_factory=dict)
    skips: Sequence[Skip] = ()
    total: int = 0
    pictures: list[Picture] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    suspects: dict[str, list[int]] = field(default_factory=dict)


def check_data(settings: CheckData) -> Outcome:
    """What is wrong with a set and what it looks like, in --out. Raises InputError, with the outcome, where a training
    or a judging would refuse it, and no repaired copy (--fix) that they take was written."""
    if means_masks(settings):
        return _conclude(*look_at_masks(settings))
    base, sources = _sources(settings)
    canvas = canvas_of(settings.size)
    meant = _meant(settings, canvas)
    if settings.fix is not None:
        check_target(Path(settings.fix), [base, *([Path(settings.annotations)] if settings.annotations else [])])
    out = Path(settings.out or f"check-{_name(settings)}")
    make_folder(out)
    splits = _check_annotations(sources, settings)
    whole = _check_pictures(splits, settings, base)
    _limit_skips(splits, settings)
    for split in splits:
        _count(split, canvas, meant)
    used = {split.raw.name: split.sound for split in splits}
    if training := next(filter(is_training, used), None):
        compare_classes(used, training, whole)
    files = _write_manifest(splits, settings, base)
    copy = _write_copy(splits, whole, settings)
    files += [Path(copy["folder"]) / "fixes.jsonl"] if copy else []
    report = _report(settings, splits, whole, canvas, meant, copy)
    write_json(out / "check.json", report)
    write_page(out / "check.html", report, splits)
    return _conclude(report, write_text(report), [out / "check.json", out / "check.html", *files])


# What there is


def _sources(settings: CheckData) -> tuple[Path, list[Source]]:
    """(the folder of all of it, the splits)."""
    given = (settings.data is not None, settings.annotations is not None, settings.images is not None)
    if given not in ((True, False, False), (False, True, True)):
        raise InputError(
            "--data: say what to check: either --data FOLDER (COCO's, Roboflow's or Pascal VOC's layout), or "
            "--annotations FILE.json with --images FOLDER"
        )
    if settings.annotations is not None and settings.images is not None:
        file, images = Path(settings.annotations), Path(settings.images)
        name = name_of(file)
        return images, [Source(name, partial(read_raw_coco, file, images, name), partial(load_coco, file, images))]
    root = streets_folder() if settings.data == "streets" else Path(settings.data or "")
    names = choose_splits(root, settings.splits)
    return root, [Source(name, partial(read_raw, root, name), partial(open_split, root, name)) for name in names]


def _name(settings: CheckData) -> str:
    return Path(settings.annotations or settings.data or "").resolve().stem


def _meant(settings: CheckData, canvas: tuple[int, int]) -> Meant:
    if settings.head not in (known := heads_of("detection")):
        raise InputError(f"--head: {printable(settings.head)}: a head that detects is checked for: {', '.join(known)}")
    tell_without_effect(settings.head, settings.ssd, settings.rcnn)
    model = build_model(settings.backbone, settings.head, 1, size=canvas, options=settings.options)
    assert isinstance(model, Detection)
    return Meant(model.defaults, model.finds_from, model.keep_ratio, model.defaults_are, model.sized_by)


# Looking


def _check_annotations(sources: list[Source], settings: CheckData) -> list[Checked]:
    """One split after the other, the training's first: its classes are those of the others."""
    splits, classes = [], None
    for source in sources:
        split = _judge_annotations(source, settings)
        rules = replace(_rules(settings), strict=False, max_skip=1.0)  # how much is too much is told of all at once
        read = _read(source, str(split.raw.source), classes, rules, split.findings)
        if read is not None:
            classes = read.classes if is_training(source.name) else classes
            split.skips, split.total = read.skips, len(read.boxes) + len(read.skips)
        splits.append(split)
    return splits


def _judge_annotations(source: Source, settings: CheckData) -> Checked:
    """By rows of our own, which find everything."""
    findings = Findings(source.name)
    raw = RawSplit(source.name, Path(source.name), Path())
    try:
        raw = source.read(findings)
    except InputError as fault:
        findings.refused(str(fault))
    sound = judge(raw, settings, findings) if raw.pictures or not findings.found else Sound()
    faulty = boxes_left_out(raw, sound, settings)
    return Checked(source, raw.without_lists(), sound, findings, faulty)


def _read(
    source: Source, file: str, classes: Sequence[str] | None, rules: ReadingRules, findings: Findings
) -> DetectionSplit | None:
    """By the reader itself, whose word counts: what it refuses is a finding, unless one of its kind was found.

    file: the one to name where the fault is of the whole split.
    """
    try:
        read = source.load(classes, rules)
    except InputError as fault:
        findings.refused(str(fault), unless_known=True)
        return None
    if is_training(source.name) and read.crowd.all():  # as a training says
        findings.error("D36", (file, ""), "no object to learn from")
    return read


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
        judge_pictures(split.pictures, split.sound.files, sizes, split.findings, is_training(split.raw.name))
    judge_twins({split.raw.name: (split.sound.files, split.pictures) for split in splits}, whole)
    if settings.manifest is not None:
        compare(Path(settings.manifest), _sums(splits), base, whole)
    return whole


def _limit_skips(splits: list[Checked], settings: CheckData) -> None:
    """An error where a training would leave out more than --max-skip allows, naming the value that accepts all."""
    if settings.strict:  # each is an error of its own
        return
    counts = [(split, split.total, len(split.skips), "annotations") for split in splits]
    for split in (split for split in splits if is_training(split.raw.name)):
        unreadable = sum(picture.replaceable for picture in split.pictures)
        counts.append((split, len(split.pictures), unreadable, "pictures"))
    over = [row for row in counts if row[2] > allowed_skips(row[1], settings.max_skip)]
    enough = max((accepting(count, total) for _, total, count, _ in over), default=0.0)
    for split, total, count, what in over:
        place = (str(split.raw.source), "")
        if what == "pictures":
            split.findings.error("D41", place, too_many(count, total, what, settings, enough))
        else:
            split.findings.error(split.skips[0].code, place, too_many_skips(split.skips, total, settings, enough))


def _sums(splits: list[Checked]) -> dict[str, str]:
    pairs = [pair for split in splits for pair in zip(split.sound.files, split.pictures, strict=True)]
    return {file: picture.sha256 for file, picture in pairs if picture.sha256}


def _count(split: Checked, canvas: tuple[int, int], meant: Meant) -> None:
    split.statistics = {**describe(split.sound, canvas, meant.keep_ratio), **kinds(split.pictures)}
    recall = split.statistics["default_boxes"] = default_box_recall(split.sound, canvas, meant)
    warn_of_few(recall, meant, str(split.raw.source), split.findings)
    split.suspects = suspect(split.sound, canvas, str(split.raw.source), split.findings, meant.keep_ratio)


# Writing


def _write_manifest(splits: list[Checked], settings: CheckData, base: Path) -> list[Path]:
    if settings.write_manifest is None:
        return []
    path, text = Path(settings.write_manifest), manifest_text(_sums(splits), base)
    try:
        write_durably(path, lambda handle: handle.write(text))
    except StorageError as fault:
        raise StorageError(f"--write-manifest: {fault}") from fault
    return [path]


def _write_copy(splits: list[Checked], whole: Findings, settings: CheckData) -> dict[str, Any] | None:
    """The repaired copy, where asked for, as check.json tells of it; why there is none is a problem of its own.

    ok: a training and a judging take it as it is, by the reader's word.
    """
    if settings.fix is None:
        return None
    target = Path(settings.fix)
    try:
        for split in splits:
            refuse_hopeless(split.raw, split.sound, split.pictures, split.findings)
        changes = write_repaired((_mended(split, settings) for split in splits), target)
    except InputError as fault:
        whole.error("fix", ("--fix", ""), str(fault))
        return None
    faults = Findings()
    names, classes = [safe_name(split.raw.name) for split in splits], None
    for name in names:
        source = Source(name, partial(read_raw, target, name), partial(open_split, target, name))
        read = _read(source, str(target), classes, ReadingRules(strict=True), faults)
        classes = read.classes if read is not None and is_training(name) else classes
    whole.found += faults.found
    command = train_command(target, names, settings)
    return {"folder": str(target), "ok": not faults.found, "changes": count_changes(changes), "command": command}


def _mended(split: Checked, settings: CheckData) -> Split:
    """The split read once more: its lists were let go."""
    raw = split.source.read(Findings())
    sound = judge(raw, settings, Findings(), mend=True)
    return Split(raw, sound, split.pictures, split.findings, raw.form(settings))


# Telling


def _report(
    settings: CheckData,
    splits: list[Checked],
    whole: Findings,
    canvas: tuple[int, int],
    meant: Meant,
    copy: dict[str, Any] | None,
) -> dict[str, Any]:
    """All of check.json. Problems: in the order of the splits and of the items of their files."""
    found = [finding for split in splits for finding in in_order(split.findings.found, split.sound.files)]
    problems = [_strict(finding) if settings.strict else finding for finding in [*found, *whole.found]]
    counts = {level: sum(finding.level == level for finding in problems) for level in ("error", "warning")}
    return {
        "ok": not counts["error"],
        "errors": counts["error"],
        "warnings": counts["warning"],
        "data": settings.data or settings.annotations,
        "canvas": {"height": canvas[0], "width": canvas[1], "backbone": settings.backbone, "head": settings.head,
                   "default_boxes": len(meant.defaults), "called": meant.named, "sized_by": meant.sized_by},
        "settings": asdict(settings),
        "problems": [{**finding._asdict(), "line": finding.line} for finding in problems],
        "copy": copy,
        "splits": {
            split.raw.name: {"source": str(split.raw.source), "notes": dict(split.findings.notes), **split.statistics}
            for split in splits
        },
    }  # fmt: skip


def _strict(finding: Finding) -> Finding:
    """As a training takes this flag: what it would leave out ends it."""
    return finding._replace(level="error") if finding.left_out else finding


def _conclude(report: dict[str, Any], text: str, files: list[Path]) -> Outcome:
    outcome = Outcome(report, text, files)
    mended = bool(report["copy"] and report["copy"]["ok"])
    kinds: dict[str, list[str]] = {"warning": [], "error": [], "mended": []}
    for row in report["problems"]:
        # What was found in a split is not in its copy; what a manifest says of its pictures still is.
        kinds["mended" if mended and row["level"] == "error" and row["split"] else row["level"]].append(row["line"])
    _tell("mended in the copy", kinds["mended"], files[0])
    _tell("warning", kinds["warning"], files[0])
    problems = Problems()
    for line in kinds["error"]:
        problems.add(line)
    try:
        problems.refuse()
    except InputError as fault:
        fault.outcome = outcome
        raise
    return outcome


def _tell(kind: str, lines: list[str], where: Path) -> None:
    for line in lines[:PROBLEMS_SHOWN]:
        log.warning("%s: %s", kind, line)
    if (more := len(lines) - PROBLEMS_SHOWN) > 0:
        log.warning("%s: and %d more, in %s", kind, more, printable(where))
