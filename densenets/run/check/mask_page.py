"""check.html and the words on stdout for a check of masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from densenets.data.decode import read_image
from densenets.data.mask_transforms import resize_ids
from densenets.data.segmentation import SegmentationSplit
from densenets.data.transforms import resize
from densenets.errors import InputError, printable
from densenets.page import as_text
from densenets.run.check.page import chart, gallery, head, problems, sizes_chart, write_parts
from densenets.run.check.samples import LINES, LONGEST, OF_A_KIND, SPREAD, SUSPICIOUS, Sample
from densenets.run.check.text import plural

if TYPE_CHECKING:
    from densenets.run.check.masks import CheckedMasks

VEIL = 0.55  # how much of a colour covers its pixels


def write_mask_page(path: Path, report: dict[str, Any], splits: "Sequence[CheckedMasks]") -> None:
    """The page of a check of masks; splits: for the pictures on it."""
    numbers = report["splits"].values()
    facts = [
        ("pictures", sum(split["images"] for split in numbers)),
        ("classes", max((len(split["classes"]) for split in numbers), default=0)),
    ]
    parts = [head(report, facts, "Seen as a set of masks"), problems(report)]
    parts += [_split(name, split) for name, split in report["splits"].items()]
    samples = [sample for split in splits if split.split is not None for sample in _samples(split, split.split)]
    parts += [gallery("Suspicious pictures", [sample for sample in samples if sample.suspicious])]
    parts += [gallery("A look into the set", [sample for sample in samples if not sample.suspicious])]
    write_parts(path, report, parts)


def _split(name: str, split: dict[str, Any]) -> str:
    notes = "".join(f"<li>{as_text(what)}: {count:,}</li>" for what, count in split["notes"].items())
    facts = (
        f"{split['images']:,} pictures, {split['pixels']:,} pixels of masks, {split['ignored_share']:.1%} of them of "
        f"no class, masks without any class {split['images_without_classes']:,}"
    )
    rows = sorted(split["classes"], key=lambda row: -row["pixels"])
    shares = [(f"{as_text(row['name'])} {row['share']:.2%}", row["pixels"], None) for row in rows]
    pixels = chart("Pixels by class", shares, "Shares of the pixels that have a class")
    if split["unknown_ids"]:
        held = [(f"{as_text(_id_told(row))} {row['share']:.2%}", row["pixels"], None) for row in split["ids"]]
        pixels = chart("Pixels by id", held, "Shares of all pixels, as the masks are written")
    images = [(as_text(row["name"]), row["images"], None) for row in rows]
    return (
        f"<section><h2>Split {as_text(name)}</h2><p>{facts}.</p>{f'<ul>{notes}</ul>' if notes else ''}"
        f'<div class="charts">{pixels}'
        f"{chart('Pictures by class', images, 'Pictures that show the class')}{sizes_chart(split)}</div></section>"
    )


def mask_text(report: dict[str, Any]) -> str:
    """The words for check.json: the verdict, then tables."""
    verdict = "OK" if report["ok"] else "NOT OK"
    counts = f"{plural(report['errors'], 'error')}, {plural(report['warnings'], 'warning')}"
    lines = [f"{verdict}: {printable(report['data'])}: {counts}", ""]
    lines.append(f"{'split':<12}{'pictures':>10}{'classes':>9}{'of no class':>13}  width x height of pictures")
    for name, split in report["splits"].items():
        common = [f"{row['width']}x{row['height']} ({row['images']})" for row in split["image_sizes"]["common"][:2]]
        sizes = ", ".join(common)
        used = sum(row["pixels"] > 0 for row in split["classes"])
        ignored = f"{split['ignored_share']:.2%}" if split["pixels"] else "-"
        lines.append(f"{printable(name):<12}{split['images']:>10}{used:>9}{ignored:>12}   {sizes}")
    splits = report["splits"]
    unknown = any(split["unknown_ids"] for split in splits.values())
    lines += ["", *(_id_table(splits) if unknown else _class_table(splits))]
    for name, split in report["splits"].items():
        lines += [f"{printable(name)}: {printable(what)}: {count}" for what, count in split["notes"].items()]
    return "\n".join(lines)


def _class_table(splits: dict[str, Any]) -> list[str]:
    """Each class's part of the pixels that have one, a column a split."""
    if not splits:
        return []
    names = [row["name"] for row in next(iter(splits.values()))["classes"]]
    lines = [f"{'pixels of':<20}" + "".join(f"{printable(name):>12}" for name in splits)]
    for at, name in enumerate(names):
        shares = [split["classes"][at]["share"] for split in splits.values()]
        lines.append(f"{printable(name):<20}" + "".join(f"{share:>12.3%}" for share in shares))
    return lines


def _id_table(splits: dict[str, Any]) -> list[str]:
    """Each id's part of all pixels, a column a split: what a class list has to name."""
    shares = {name: {_id_told(row): row["share"] for row in split["ids"]} for name, split in splits.items()}
    rows = sorted(
        {(row["id"] is None, row["id"] or 0, _id_told(row)) for split in splits.values() for row in split["ids"]}
    )
    lines = [f"{'pixels of':<28}" + "".join(f"{printable(name):>12}" for name in splits)]
    for *_, told in rows:
        cells = [f"{split[told]:.3%}" if told in split else "-" for split in shares.values()]
        lines.append(f"{told:<28}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


def _id_told(row: dict[str, Any]) -> str:
    name = "not of the class list" if row["name"] is None else printable(row["name"])
    return name if row["id"] is None else f"id {row['id']}: {name}"


# Pictures


def _samples(checked: "CheckedMasks", split: SegmentationSplit) -> list[Sample]:
    """A few pictures of each kind of problem, then those with the most classes of equal parts of the split."""
    words = _suspicious(checked)
    rows = {file: row for row, file in enumerate(split.files.tolist())}
    samples = [_sample(split, rows[file], lines, True) for file, lines in words.items() if file in rows]
    kinds = np.array([np.count_nonzero(mask.pixels[:255]) for mask in checked.masks])
    sound = [
        not mask.fault and not picture.fault for mask, picture in zip(checked.masks, checked.pictures, strict=True)
    ]
    usable = np.flatnonzero(sound)
    parts = np.array_split(usable, min(SPREAD, len(usable))) if len(usable) else []
    return samples + [_sample(split, int(part[kinds[part].argmax()]), [checked.name]) for part in parts]


def _suspicious(checked: "CheckedMasks") -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for finding in checked.findings.found:
        file = finding.picture
        if file is None or len(words) >= SUSPICIOUS or counts.get(finding.code, 0) >= OF_A_KIND:
            continue
        counts[finding.code] = counts.get(finding.code, 0) + 1
        words.setdefault(file, [])
        words[file] = [*words[file], f"{finding.what} [{finding.code}]"][:LINES]
    return words


def _sample(split: SegmentationSplit, row: int, words: list[str], suspicious: bool = False) -> Sample:
    """The picture under the colours of its classes, as far as both can be read; nothing covers what is of no class."""
    file = str(split.files[row])
    try:
        image = read_image(file, None, split.rules.max_pixels)
    except InputError:
        return Sample(Path(file).name, None, words, suspicious)
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    image = resize(image, height, width)
    try:
        ids = resize_ids(split.truth(row).ids.numpy(), height, width)
    except InputError:
        return Sample(Path(file).name, image, words, suspicious)
    colours = np.zeros((256, 3), dtype=np.float32)
    colours[: len(split.classes)] = split.palette
    veil = np.where(ids < len(split.classes), VEIL, 0.0).astype(np.float32)[..., None]
    covered = image * (1 - veil) + colours[ids] * veil
    return Sample(Path(file).name, covered.round().astype(np.uint8), words, suspicious)
