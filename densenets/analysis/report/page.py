"""report.html, results.csv and plots/ of a comparison."""

from pathlib import Path

from densenets.analysis.cautions import cautions
from densenets.analysis.comparison import Comparison
from densenets.analysis.report import curves, details, heat, matrix, mistakes, pareto, pictures, published, ranking
from densenets.analysis.report.png import write_plots
from densenets.analysis.report.rows import write_rows
from densenets.analysis.report.short_names import shared_end, without_end
from densenets.analysis.report.style import SCRIPT, STYLE
from densenets.analysis.report.words import name, place_of, plural, shortened
from densenets.page import as_text, document
from densenets.storage import write_durably

TITLES = {  # of the sections that the page's head leads to
    "ranking": "Ranking",
    "failed": "Failed",
    "pareto": "Against cost",
    "differences": "Differences",
    "classes": "Classes",
    "errors": "Errors",
    "pictures": "Pictures",
    "curves": "Curves",
    "costs": "Cost",
    "published": "Papers",
    "protocol": "Protocol",
    "repeat": "Repeat",
}


def write_report(comparison: Comparison, folder: Path) -> list[Path]:
    """Write report.html, results.csv and plots/*.png into `folder`, below which the paths of its pictures lie.

    Page and plots leave out what all names end with. Returns what was written. A picture that cannot be read leaves its
    place empty. Raises StorageError.
    """
    page = folder / "report.html"
    end = shared_end([model.name for model in comparison.models])
    short = without_end(comparison, end)
    content = build_page(short, folder, end).encode()
    write_durably(page, lambda handle: handle.write(content))
    return [page, write_rows(comparison, folder / "results.csv"), *write_plots(short, folder / "plots")]


def build_page(comparison: Comparison, folder: Path, end: str = "") -> str:
    """The page's HTML. end: what the models' names go on with elsewhere."""
    sections = [
        ranking.section(comparison),
        ranking.unfinished(comparison),
        pareto.section(comparison),
        matrix.section(comparison),
        heat.section(comparison),
        mistakes.section(comparison),
        pictures.section(comparison, folder),
        curves.section(comparison),
        details.costs(comparison),
        published.section(comparison),
        details.protocol(comparison),
        details.commands(comparison),
    ]
    shown = [section for section in sections if section]
    return document(
        f"Comparison on {place_of(comparison.data)}", STYLE, [_head(comparison, end), _leads(shown), *shown], SCRIPT
    )


def _head(comparison: Comparison, end: str) -> str:
    cells = [cell for model in comparison.models for cell in model.cells]
    facts = [
        ("data", name(comparison.data)),
        ("split", name(comparison.split)),
        ("images", f"{comparison.images:,}"),
        ("classes", f"{len(comparison.classes):,}"),
        ("trainings done", f"{sum(cell.state == 'done' for cell in cells)} of {len(cells)}"),
        *([("all names end with", name(end))] if end else []),
    ]
    cards = "".join(f"<div><dt>{word}</dt><dd>{value}</dd></div>" for word, value in facts)
    return (
        f'<header><p class="quiet">{as_text(comparison.task.capitalize())}</p>'
        f"<h1>{plural(len(comparison.models), 'model')} compared on {name(place_of(comparison.data))}</h1>"
        f'<p class="verdict">{ranking.verdict(comparison)}</p>{_cautions(comparison)}'
        f'<dl class="cards">{cards}</dl></header>'
    )


def _cautions(comparison: Comparison) -> str:
    rows = "".join(f"<li>{as_text(shortened(line, 600))}</li>" for line in cautions(comparison))
    return f'<ul class="cautions">{rows}</ul>' if rows else ""


def _leads(sections: list[str]) -> str:
    links = "".join(
        f'<a href="#{key}">{title}</a>'
        for key, title in TITLES.items()
        if any(section.startswith(f'<section id="{key}"') for section in sections)
    )
    return f'<nav aria-label="Sections">{links}</nav>'
