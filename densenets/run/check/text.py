"""What the data check prints on stdout: the verdict, then tables of the splits and of the default boxes' recall."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densenets.config import CheckData
from densenets.contract import size_told
from densenets.data.checks.source import is_training
from densenets.errors import printable

CLASSES_SHOWN = 12


def write_text(report: dict[str, Any]) -> str:
    """The words for check.json."""
    verdict = "OK" if report["ok"] else "NOT OK"
    where = printable(report["data"])
    lines = [f"{verdict}: {where}: {plural(report['errors'], 'error')}, {plural(report['warnings'], 'warning')}"]
    lines += _copy(report["copy"]) if report["copy"] else []
    lines += ["", *_split_table(report), "", *_recall_table(report)]
    for name, split in report["splits"].items():
        lines += [f"{printable(name)}: {printable(what)}: {count}" for what, count in split["notes"].items()]
    return "\n".join(lines)


def plural(count: int, word: str) -> str:
    """ "1 error", "2 errors"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _copy(copy: dict[str, Any]) -> list[str]:
    """What was done in the repaired copy, and how to train on it."""
    changes = ", ".join(f"{what}: {count}" for what, count in copy["changes"].items()) or "nothing to change"
    verdict = "OK" if copy["ok"] else "NOT OK"
    lines = [f"{verdict}: repaired copy {printable(copy['folder'])}: {changes}"]
    return [*lines, f"train on it with: {printable(copy['command'])}"] if copy["ok"] else lines


def train_command(copy: Path, names: Sequence[str], settings: CheckData) -> str:
    """The command that trains on the splits `names` of a repaired copy; of one split alone, the flags for it."""
    train = next((name for name in names if is_training(name)), None)
    others = [name for name in names if not is_training(name)]
    val = next((name for name in others if name.startswith("val")), others[0] if others else None)
    if train is None or val is None:
        name, kind = (train, "train") if train else (val, "val")
        file = copy / "annotations" / f"instances_{name}.json"
        return shlex.join([f"--{kind}-annotations", str(file), f"--{kind}-images", str(copy / str(name))])
    words = ["densenets", "train-det", "--data", str(copy)]
    for flag, name in (("--train-split", train), ("--val-split", val)):
        words += [] if flag == f"--{name}-split" else [flag, name]
    size = settings.size if isinstance(settings.size, list) else [settings.size]
    return shlex.join([*words, "--backbone", settings.backbone, "--head", settings.head, "--size", *map(str, size)])


def _split_table(report: dict[str, Any]) -> list[str]:
    lines = [
        f"{'split':<12}{'pictures':>10}{'boxes':>9}{'crowds':>8}{'empty':>7}{'classes':>9}  width x height of pictures"
    ]
    for name, split in report["splits"].items():
        common = [f"{row['width']}x{row['height']} ({row['images']})" for row in split["image_sizes"]["common"][:2]]
        more = split["image_sizes"]["different"] - len(common)
        sizes = ", ".join(common) + (f", {plural(more, 'more size')}" if more > 0 else "")
        lines.append(
            f"{printable(name):<12}{split['images']:>10}{split['boxes']:>9}{split['crowds']:>8}"
            f"{split['images_without_boxes']:>7}{len(split['classes']):>9}  {sizes}"
        )
    return lines


def _recall_table(report: dict[str, Any]) -> list[str]:
    """Of each split: all boxes, by COCO's sizes, and the classes that suit the default boxes, or anchors, least."""
    canvas = report["canvas"]
    size = size_told((canvas["height"], canvas["width"]))
    threshold = max((split["default_boxes"]["threshold"] for split in report["splits"].values()), default=0.0)
    lines = [
        f"boxes that the {canvas['default_boxes']} {canvas['called']} of {canvas['backbone']} + {canvas['head']} meet "
        f"at IoU >= {threshold:.2f}, {size}; the best for each box learns it anyway",
        f"their sizes: {canvas['sized_by']}",
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
