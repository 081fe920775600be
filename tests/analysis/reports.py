"""Made-up comparisons of one or two models, and the outline of a page."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from densenets.analysis.comparison import Cell, Comparison, Difference, Interval, Model, Picture

VOID = {"meta", "img", "br", "link", "input"}
SHAPES = {"polyline", "polygon", "circle", "rect"}
HOSTILE = [
    "</bdi></table><script>document.documentElement.dataset.fault='run'</script>",
    '"><img src=x onerror=alert(1)>',
    "שלום \u202e txt.exe",
    "line\nbreak\x00\x1b[31m\ud800",
    "x" * 5000,
    "$\\frac{1}{0}$ & <b>",
]


class Outline(HTMLParser):
    """Tags with their attributes, and text by the tag around it; complains where tags do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SHAPES
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data)


def plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def one_model(name: str, value: float | None, rank: int | None, ties: list[str]) -> Model:
    cell = Cell(f"{name}-0", name, 0, f"cells/{name}", "done" if rank else "failed", 60.0, None, {"AP": value})
    scores = {} if value is None else {"AP": Interval(value, value - 0.03, value + 0.02)}
    return Model(name, "detection", name, "ssdlite", 1.0, (320, 320), None, [cell], scores=scores, rank=rank, ties=ties)


def whole(models: list[Model], differences: list[Difference]) -> Comparison:
    return Comparison(
        "detection", "DATA/set", "val", 10, ["cat"], "AP", 0.95, 1000, models, differences, [], {}, None, [], {}
    )


def two(first: float, second: float, *, tie: bool) -> Comparison:
    models = [one_model("a", first, 1, ["b"] if tie else []), one_model("b", second, 2, ["a"] if tie else [])]
    gap = second - first
    return whole(models, [Difference("b", "a", Interval(gap, gap - 0.02, gap + 0.03), tie)])


def noise(size: tuple[int, int] = (30, 40)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def hostile(folder: Path) -> Comparison:
    """Every name that comes from outside is one of HOSTILE."""
    (folder / "x.jpg").write_bytes(noise())
    models = [one_model(name, 0.5 - 0.05 * at, at + 1, list(HOSTILE)) for at, name in enumerate(HOSTILE)]
    for model in models:
        model.backbone, model.weights, model.per_class = model.name, model.name, {n: Interval(0.5) for n in HOSTILE}
        model.costs, model.latency, model.error_types = {"madds": 1e8}, {"p50": 10.0}, {model.name: 0.1}
        cell = model.cells[0]
        cell.fault, cell.state, cell.commands, cell.name = model.name, "failed", [["run", model.name]], model.name
        cell.curves = [{"epoch": 0, "loss": 1.0, "AP": 0.1}, {"epoch": 1, "loss": 0.5, "AP": 0.2}]
    found = whole(models, [Difference(HOSTILE[0], name, Interval(0.1, 0.0, 0.2), False) for name in HOSTILE[1:]])
    found.data, found.split, found.classes, found.commands = HOSTILE[0], HOSTILE[3], list(HOSTILE), [list(HOSTILE)]
    found.pictures = [Picture(name, "x.jpg", {name: "x.jpg"}) for name in HOSTILE]
    found.protocol = found.machine = {name: {name: [name]} for name in HOSTILE}
    found.produced_by = {name: name for name in HOSTILE}
    return found
