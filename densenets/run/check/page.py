"""check.html: one page that needs nothing beside it. Every name from the data is escaped before it enters the page."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densenets.contract import size_told
from densenets.errors import printable
from densenets.page import as_text, document
from densenets.run.check.samples import Sample, choose_samples
from densenets.run.check.style import SCRIPT, STYLE
from densenets.run.check.text import plural
from densenets.storage import write_durably

if TYPE_CHECKING:
    from densenets.run.check.boxes import Checked

ROWS = 500  # of the table of problems; check.json has all
CLASSES = 24  # of a chart


def write_page(path: Path, report: dict[str, Any], splits: "Sequence[Checked]") -> None:
    """The page of a check; splits: for the pictures on it."""
    numbers, canvas = report["splits"].values(), report["canvas"]
    facts = [
        ("pictures", sum(split["images"] for split in numbers)),
        ("boxes", sum(split["boxes"] for split in numbers)),
        ("classes", max((len(split["classes"]) for split in numbers), default=0)),
    ]
    model = f"{canvas['backbone']} + {canvas['head']}, {size_told((canvas['height'], canvas['width']))}"
    parts = [head(report, facts, f"Seen as {model}, {canvas['default_boxes']:,} {canvas['called']}"), problems(report)]
    parts += [_split(name, report) for name in report["splits"]]
    samples = choose_samples(splits, report["settings"]["max_pixels"])
    parts += [gallery("Suspicious pictures", [sample for sample in samples if sample.suspicious])]
    parts += [gallery("A look into the set", [sample for sample in samples if not sample.suspicious])]
    write_parts(path, report, parts)


def write_parts(path: Path, report: dict[str, Any], parts: Sequence[str]) -> None:
    """The page of a check from its sections, which are HTML."""
    page = document(f"Check of {printable(report['data'])}", STYLE, parts, SCRIPT)
    write_durably(path, lambda handle: handle.write(page.encode()))


def head(report: dict[str, Any], facts: Sequence[tuple[str, int]], seen_as: str) -> str:
    """The verdict with its numbers; seen_as: words that are not escaped yet."""
    ok = report["ok"]
    word = "Ready to train" if ok else "Not usable as it is"
    cards = "".join(
        f'<div class="card {name if count else ""}"><b>{count:,}</b><span>{name}</span></div>'
        for name, count in [*facts, ("errors", report["errors"]), ("warnings", report["warnings"])]
    )
    return (
        f'<header><p class="verdict {"ok" if ok else "bad"}">{word}</p><h1>{as_text(report["data"])}</h1>'
        f'<p class="quiet">{as_text(seen_as)}</p></header><section class="cards">{cards}</section>'
    )


# Problems


def problems(report: dict[str, Any]) -> str:
    """The table of all that was found."""
    found = report["problems"]
    if not found:
        return '<section><h2>Problems</h2><p class="quiet">None.</p></section>'
    shown = sorted(found, key=lambda row: row["level"] != "error")[:ROWS]
    rows = "".join(_problem(row) for row in shown)
    more = f'<p class="quiet">{len(found) - ROWS} more in check.json.</p>' if len(found) > ROWS else ""
    search = '<input id="search" type="search" placeholder="Search the problems" aria-label="Search the problems">'
    return (
        f"<section><h2>Problems</h2>{_by_code(found)}{search}"
        f'<div class="scroll tall"><table id="problems"><thead><tr><th>Kind<th>Where<th>What</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}</section>"
    )


def _by_code(problems: list[dict[str, Any]]) -> str:
    counts: dict[tuple[str, str], int] = {}
    for row in problems:
        key = (row["level"], row["code"])
        counts[key] = counts.get(key, 0) + 1
    chips = (
        f'<span class="chip {level}">{as_text(code)} × {count}</span>'
        for (level, code), count in sorted(counts.items())
    )
    return f'<p class="chips">{"".join(chips)}</p>'


def _problem(row: dict[str, Any]) -> str:
    where = as_text(Path(row["file"]).name) if row["file"] else ""
    item = f'<br><span class="quiet">{as_text(row["item"])}</span>' if row["item"] else ""
    split = f'<br><span class="quiet">{as_text(row["split"])}</span>' if row["split"] else ""
    return (
        f'<tr><td><span class="chip {row["level"]}">{as_text(row["code"])}</span>{split}'
        f"<td>{where}{item}<td>{as_text(row['what'])}</tr>"
    )


# Numbers


def _split(name: str, report: dict[str, Any]) -> str:
    split = report["splits"][name]
    notes = "".join(f"<li>{as_text(what)}: {count:,}</li>" for what, count in split["notes"].items())
    mean = split["boxes_per_image"]
    facts = (
        f"{split['images']:,} pictures, {split['boxes']:,} boxes "
        f"({mean['mean']:.1f} a picture, {mean['max']} at most), "
        f"crowd regions {split['crowds']:,}, pictures without boxes {split['images_without_boxes']:,}"
    )
    return (
        f"<section><h2>Split {as_text(name)}</h2><p>{facts}.</p>{f'<ul>{notes}</ul>' if notes else ''}"
        f'<div class="charts">{_classes(split)}{_sides(split, report)}{_coco(split)}{_aspects(split)}'
        f"{sizes_chart(split)}</div></section>"
    )


def _classes(split: dict[str, Any]) -> str:
    """Boxes of each class, with the part of them that a default box meets."""
    recall = {row["name"]: row for row in split["default_boxes"]["classes"]}
    rows = sorted(split["classes"], key=lambda row: -row["boxes"])
    bars = [(as_text(row["name"]), row["boxes"], recall[row["name"]]) for row in rows[:CLASSES]]
    more = f". {len(rows) - CLASSES} rarer classes in check.json" if len(rows) > CLASSES else ""
    return chart("Boxes by class", bars, f"Met: {_met(split)}{more}")


def _met(split: dict[str, Any]) -> str:
    threshold = split["default_boxes"]["threshold"]
    return f"share of boxes whose best default box or anchor overlaps it with an IoU of {threshold:g} or more"


def _sides(split: dict[str, Any], report: dict[str, Any]) -> str:
    met = {row["from"]: row for row in split["default_boxes"]["sides_canvas_px"]}
    bars = [(_span(row), row["count"], met[row["from"]]) for row in _filled(split["sides_canvas_px"])]
    canvas = report["canvas"]
    words = f"Square root of the area, px; canvas: {size_told((canvas['height'], canvas['width']))}. Met: {_met(split)}"
    return chart("Box sizes on the canvas", bars, words)


def _coco(split: dict[str, Any]) -> str:
    met = split["default_boxes"]["coco_sizes"]
    bars = [(name, count, met[name]) for name, count in split["coco_sizes"].items()]
    coco = chart("COCO's sizes", bars, "By the area in the files: small below 32² px, large from 96² px")
    fine = [(_span(row), row["count"], None) for row in _filled(split["sides_file_px"])]
    return coco + chart("Box sizes in the files", fine, "Square root of the area, px")


def _aspects(split: dict[str, Any]) -> str:
    bars = [(_span(row), row["count"], None) for row in _filled(split["aspect_ratios"])]
    return chart("Aspect ratios of boxes", bars, "Width / height")


def sizes_chart(split: dict[str, Any]) -> str:
    """The commonest sizes of pictures, and their formats."""
    sizes = split["image_sizes"]
    bars = [(f"{row['width']} × {row['height']}", row["images"], None) for row in sizes["common"]]
    kinds = [f"{name} {count:,}" for name, count in {**split["formats"], **split["modes"]}.items()]
    words = f"{plural(sizes['different'], 'different size')}; {as_text(', '.join(kinds))}"
    return chart("Sizes of pictures, width × height", bars, words)


def _span(row: dict[str, Any]) -> str:
    low = f"{row['from']:.3g}"
    return f"{low} +" if row["to"] is None else f"{low} – {row['to']:.3g}"


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the empty bars at both ends."""
    filled = [at for at, row in enumerate(rows) if row["count"]]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def chart(title: str, bars: Iterable[tuple[str, int, dict[str, Any] | None]], words: str) -> str:
    """Bars of (label, already escaped; count; the recall of these boxes, where known)."""
    rows = list(bars)
    top = max((count for _, count, _ in rows), default=0) or 1
    met = any(recall is not None for *_, recall in rows)
    lines = "".join(_bar(label, count, top, recall, met) for label, count, recall in rows)
    head = '<tr class="quiet"><td><td><td class="number">boxes<td class="number">met</tr>' if met else ""
    title = f'<figcaption>{title}<span class="quiet">{words}</span></figcaption>'
    return f'<figure>{title}<table class="bars">{head}{lines}</table></figure>'


def _bar(label: str, count: int, top: int, recall: dict[str, Any] | None, column: bool) -> str:
    share = None if recall is None else recall["recall"]
    level = "" if share is None else ("good" if share >= 0.9 else "fair" if share >= 0.7 else "poor")
    cell = f'<td class="number {level}">{"" if share is None else f"{share:.0%}"}' if column else ""
    width = 100 * count / top
    shape = f'<svg viewBox="0 0 100 10" preserveAspectRatio="none"><rect width="{width:.2f}" height="10"/></svg>'
    return f'<tr><th>{label}<td class="bar">{shape}<td class="number">{count:,}{cell}</tr>'


# Pictures


def gallery(title: str, samples: Sequence[Sample]) -> str:
    """A section of pictures; nothing where there are none."""
    if not samples:
        return ""
    return f'<section><h2>{title}</h2><div class="gallery">{"".join(map(_card, samples))}</div></section>'


def _card(sample: Sample) -> str:
    picture = (
        '<div class="broken">cannot be decoded</div>'
        if sample.image is None
        else f'<img loading="lazy" alt="" src="data:image/jpeg;base64,{_jpeg(sample.image)}">'
    )
    words = "".join(f"<br>{as_text(line)}" for line in sample.words)
    return (
        f"<figure>{picture}<figcaption>{as_text(sample.name)}<span class='quiet'>{words}</span></figcaption></figure>"
    )


def _jpeg(image: Any) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=80, optimize=True)
    return base64.b64encode(file.getvalue()).decode()
