"""The page, the table and the plots of made-up comparisons."""

import base64
import csv
import hashlib
import io
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_comparison import COCO_LIKE, detection, segmentation
from PIL import Image

from densenets.analysis.comparison import Cell, Comparison, Difference, Interval, Model, Picture
from densenets.analysis.report import curves, write_report
from densenets.analysis.report.page import build_page
from densenets.analysis.report.pictures import embedded
from densenets.analysis.report.published import PUBLISHED, figures_of
from densenets.analysis.report.ranking import groups_of, shared_by, verdict
from densenets.analysis.report.rows import write_rows

VOID = {"meta", "img", "br", "link", "input"}
SHAPES = {"polyline", "polygon", "circle", "rect"}


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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path, list[Path]]:
    folder = tmp_path_factory.mktemp("detection")
    comparison = detection(folder, pictures=2)
    return comparison, folder, write_report(comparison, folder)


def test_it_writes_a_page_a_table_and_plots(report: tuple[Comparison, Path, list[Path]]) -> None:
    _, folder, files = report
    plots = [f"plots/pareto-{cost}.png" for cost in ("latency", "madds", "parameters", "file-size")]
    assert [str(file.relative_to(folder)) for file in files] == ["report.html", "results.csv", *plots]
    for plot in files[2:]:
        assert plot.stat().st_size < 200_000
        assert Image.open(plot).size == (860, 700)


def test_the_page_needs_nothing_beside_it(report: tuple[Comparison, Path, list[Path]]) -> None:
    page = (report[1] / "report.html").read_text()
    outline = Outline(page)
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?\s*(https?:)?//", page)
    for tag, attributes in outline.tags:
        assert tag not in ("link", "iframe", "object", "base")
        assert (attributes.get("src") or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        assert (attributes.get("href") or "#").startswith("#")
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}" in page or f"script-src 'sha256-{digest}" in page


def test_the_page_shows_everything(report: tuple[Comparison, Path, list[Path]]) -> None:
    comparison, folder, _ = report
    page = (folder / "report.html").read_text()
    outline = Outline(page)
    sections = [attributes.get("id") for tag, attributes in outline.tags if tag == "section"]
    parts = "ranking failed pareto differences classes errors pictures curves costs published protocol repeat"
    assert sections == parts.split()
    assert [attributes["href"] for tag, attributes in outline.tags if tag == "a"] == [f"#{key}" for key in sections]
    assert page.count('src="data:image/jpeg') == 2 * (1 + 5)
    assert all(attributes.get("alt") is not None for tag, attributes in outline.tags if tag == "img")
    plots = [attributes for tag, attributes in outline.tags if tag == "svg" and attributes.get("class") == "plot"]
    assert len(plots) == 4 + 2 + 2 * 5
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in plots)
    for cell in (cell for model in comparison.models for cell in model.cells):
        assert cell.fault is None or cell.fault in page
        assert all(words[-1] in page for words in cell.commands)


def test_headings_go_down_one_by_one(report: tuple[Comparison, Path, list[Path]]) -> None:
    levels = [
        int(tag[1]) for tag, _ in Outline((report[1] / "report.html").read_text()).tags if tag in ("h1", "h2", "h3")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_what_was_not_measured_is_a_dash(report: tuple[Comparison, Path, list[Path]]) -> None:
    page = (report[1] / "report.html").read_text()
    rows = re.findall(r"<tr>.*?</tr>", page[page.index('id="ranking"') : page.index('id="failed"')])
    v1 = next(row for row in rows if ">v1</bdi>" in row)
    assert v1.count('data-sort="">–<') == 1  # its latency
    lost = next(row for row in rows if ">v3-large, width 2</bdi>" in row)
    assert "0 of 1 cell done" in lost
    assert lost.count('data-sort="">–<') == 7


def test_the_table_has_a_row_a_cell(report: tuple[Comparison, Path, list[Path]]) -> None:
    comparison, folder, _ = report
    with (folder / "results.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    cells = {cell.name: (model, cell) for model in comparison.models for cell in model.cells}
    assert len(rows) == len(cells) == 16
    for row in rows:
        model, cell = cells[row["cell"]]
        assert row["state"] == cell.state
        assert row["fault"] == (cell.fault or "")
        assert row["rank"] == ("" if model.rank is None else str(model.rank))
        assert row["AP"] == ("" if "AP" not in cell.scores else str(cell.scores["AP"]))
        interval = model.scores.get("AP", Interval(None))
        ends = [row["model_AP"], row["model_AP_low"], row["model_AP_high"]]
        assert ends == ["" if end is None else str(end) for end in (interval.value, interval.low, interval.high)]
        assert row["latency_ms_p50"] == str(model.latency.get("p50", ""))
        assert float(row["parameters"]) == model.costs["parameters"]


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", " =1"])
def test_text_in_the_table_is_no_formula(tmp_path: Path, text: str) -> None:
    comparison = detection(tmp_path, pictures=0)
    model = comparison.models[0]
    model.name = model.cells[0].name = model.cells[0].fault = model.cells[0].folder = text
    comparison.models[1].ties = [text]
    model.scores = {text: Interval(-0.5)}
    model.cells[0].scores = {text: -0.5}
    write_rows(comparison, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as handle:
        head, *rows = csv.reader(handle)
    found = [cell for row in (head, *rows) for cell in row if cell.lstrip()[:1] in ("=", "+", "-", "@")]
    assert set(found) == {"-0.5"}
    assert sum(cell == f"'{text}" for row in (head, *rows) for cell in row) == 1 + len(model.cells) + 3 + 3


def test_checkpoints_that_stand_in_are_marked_with_what_differs(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    assert "not trained here" not in build_page(comparison, tmp_path).lower()
    other, plain = comparison.models[1], comparison.models[2]
    other.stands_in = plain.stands_in = True
    other.differs = {"lr": 0.77, "augment": "<none>", **{f"setting {number}": True for number in range(4)}}
    page = build_page(comparison, tmp_path)
    ranking_part, protocol = (page[page.index(f'id="{key}"') :] for key in ("ranking", "protocol"))
    known = "lr 0.77, augment &lt;none&gt;, setting 0 yes, setting 1 yes, and 2 settings more"
    assert f"<b>not trained here</b>, unlike the protocol: {known}</small>" in ranking_part
    assert ranking_part.count("<b>not trained here</b>") == 2
    assert "Equal for every cell of the comparison, but for what stands below it." in protocol
    assert "<dt>lr</dt><dd><bdi>0.77</bdi></dd>" in protocol
    assert protocol.count("<dt>setting ") == 4
    assert protocol.count(", not trained here</h4>") == 2
    assert protocol.count("Nothing is known to differ.") == 1
    write_rows(comparison, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as handle:
        rows = {row["model"]: row for row in csv.DictReader(handle)}
    assert rows[other.name]["differs"].startswith("lr: 0.77; augment: <none>; setting 0: yes")
    assert [rows[one.name]["stands_in"] for one in comparison.models[:3]] == ["0", "1", "1"]


def test_padding_and_normalize_stand_beside_the_weights(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    page = build_page(comparison, tmp_path)
    assert "padding <bdi" in page[page.index("All models: ") :].partition("</p>")[0]
    assert "Equal for every cell of the comparison.</p>" in page
    pretrained = next(model for model in comparison.models if model.weights)
    pretrained.padding, pretrained.normalize = "tf", "half"
    pretrained.differs = {"padding": "tf", "normalize": "half"}
    page = build_page(comparison, tmp_path)
    told = [re.sub(r"<[^>]*>", "", row) for row in re.findall(r"<tr>.*?</tr>", page)]
    assert any("from mobilenet_v2.pth, padding tf, normalize half" in row for row in told)
    assert any("from scratch, padding torch, normalize imagenet" in row for row in told)
    assert "unlike the protocol" not in page
    assert "<dt>padding</dt><dd><bdi>tf</bdi></dd>" in page


def test_all_commands_are_there(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    comparison.commands = [["densenets", "compare", "--seeds", "0"], ["densenets", "compare", "--seeds", "0", "1 2"]]
    page = build_page(comparison, tmp_path)
    assert "<pre>densenets compare --seeds 0\ndensenets compare --seeds 0 &#x27;1 2&#x27;</pre>" in page
    lines = [line for block in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)[1:] for line in block.splitlines()]
    assert len(lines) == sum(len(cell.commands) for model in comparison.models for cell in model.cells)
    assert all(line.startswith(("env OMP_NUM_THREADS=2 densenets train", "densenets eval")) for line in lines)


def test_times_of_other_machines_are_not_ranked(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    assert ">training</button>" in build_page(comparison, tmp_path)
    comparison.models[0].cells[0].where = "another host, 1 cell at a time, cpu"
    page = build_page(comparison, tmp_path)
    assert ">training</button>" not in page
    assert "How long a training took is not ranked" in page
    write_rows(comparison, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as handle:
        places = {row["where"] for row in csv.DictReader(handle)}
    assert {"another host, 1 cell at a time, cpu", "made-up host, 1 cell at a time, cpu"} <= places


def test_ties_beyond_letters_are_told(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    first, models = comparison.models[0], []
    for number in range(15):
        others = [f"m{other}" for other in range(15) if other // 3 != number // 3]
        models.append(replace(first, name=f"m{number}", ties=others, rank=number + 1))
    comparison.models = models
    page = build_page(comparison, tmp_path)
    assert "More groups of models are tied than letters could tell apart" in page
    assert 'class="tie"' not in page


def test_no_class_takes_the_columns_of_another(tmp_path: Path) -> None:
    comparison = _two(0.5, 0.4, tie=False)
    comparison.models[0].per_class = {"car": Interval(0.5, 0.4, 0.6), "car_low": Interval(0.1, 0.0, 0.2)}
    with write_rows(comparison, tmp_path / "rows.csv").open(newline="") as handle:
        row = next(csv.DictReader(handle))
    assert [row[f"{end}_car"] for end in ("class", "low_of_class", "high_of_class")] == ["0.5", "0.4", "0.6"]
    assert row["class_car_low"] == "0.1"


def test_every_curve_is_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison, asked = detection(tmp_path, pictures=0), []
    work_out = curves.curve
    monkeypatch.setattr(curves, "curve", lambda cell, key: asked.append((cell.name, key)) or work_out(cell, key))
    assert curves.section(comparison).count('<svg class="plot"') == 2 + 2 * 5
    assert len(asked) == len(set(asked))


def test_a_segmentation_has_its_own_words(tmp_path: Path) -> None:
    page = build_page(segmentation(tmp_path, pictures=1), tmp_path)
    outline = Outline(page)
    assert "mIoU against cost" in outline.texts["h2"]
    assert "pixel accuracy" in outline.texts["button"]
    assert 'id="errors"' not in page
    assert "One training each" in page
    assert "Cityscapes val" in page


def test_pictures_of_any_number_stay_within_the_room(tmp_path: Path) -> None:
    (tmp_path / "noise.jpg").write_bytes(_noise((900, 1200)))
    comparison = _two(0.5, 0.4, tie=False)
    comparison.pictures = [Picture(f"{k}", "noise.jpg", {"a": "noise.jpg", "b": "noise.jpg"}) for k in range(3)]
    assert 1_000_000 < len(build_page(comparison, tmp_path)) < 4_200_000


def _noise(size: tuple[int, int] = (30, 40)) -> bytes:
    import numpy as np

    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize(
    "file", ["missing.jpg", "broken.jpg", "../outside.jpg", ".", "text.jpg", "a\0b", "picture.png"]
)
def test_a_picture_that_cannot_be_shown_leaves_its_place(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "outside.jpg").write_bytes(_noise())
    (folder / "broken.jpg").write_bytes(_noise()[:900])
    (folder / "text.jpg").write_text("<svg onload=alert(1)>")
    Image.new("RGB", (4, 4)).save(folder / "picture.png")
    assert embedded(folder, file, 10**6) is None
    comparison = _two(0.5, 0.4, tie=False)
    comparison.pictures = [Picture("x", file, {"a": file})]
    assert build_page(comparison, folder).count("no picture") == 2


# The verdict


def _model(name: str, value: float | None, rank: int | None, ties: list[str]) -> Model:
    cell = Cell(f"{name}-0", name, 0, f"cells/{name}", "done" if rank else "failed", 60.0, None, {"AP": value})
    scores = {} if value is None else {"AP": Interval(value, value - 0.03, value + 0.02)}
    return Model(name, "detection", name, "ssdlite", 1.0, (320, 320), None, [cell], scores=scores, rank=rank, ties=ties)


def _whole(models: list[Model], differences: list[Difference]) -> Comparison:
    return Comparison(
        "detection", "DATA/set", "val", 10, ["cat"], "AP", 0.95, 1000, models, differences, [], {}, None, [], {}
    )


def _two(first: float, second: float, *, tie: bool) -> Comparison:
    models = [_model("a", first, 1, ["b"] if tie else []), _model("b", second, 2, ["a"] if tie else [])]
    gap = second - first
    return _whole(models, [Difference("b", "a", Interval(gap, gap - 0.02, gap + 0.03), tie)])


def plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_a_winner_is_named_with_its_lead() -> None:
    words = plain(verdict(_two(0.5, 0.4, tie=False)))
    assert words == "a is best: AP 0.500 (0.470 to 0.520), ahead of b by 0.100 (0.070 to 0.120)."


def test_a_tie_has_no_winner() -> None:
    words = plain(verdict(_two(0.5, 0.49, tie=True)))
    assert words == "No winner: a is highest with AP 0.500 (0.470 to 0.520), but both models are tied."


def test_those_tied_with_the_best_are_named() -> None:
    models = [
        _model("a", 0.5, 1, ["b", "c"]),
        _model("b", 0.49, 2, ["a"]),
        _model("c", 0.48, 3, []),
        _model("d", 0.1, 4, []),
    ]
    assert plain(verdict(_whole(models, []))) == "a is best: AP 0.500 (0.470 to 0.520); b and c are tied with it."
    assert groups_of(_whole(models, [])) == {"a": "A B", "b": "A", "c": "B"}


def test_without_numbers_nothing_is_claimed(tmp_path: Path) -> None:
    nobody = _whole([_model("a", None, None, [])], [])
    assert verdict(nobody) == "No model has a number yet."
    assert plain(verdict(_whole([_model("a", 0.0, 1, [])], []))).startswith(
        "a is the only model with a number: AP 0.000"
    )
    files = write_report(nobody, tmp_path)
    assert [file.name for file in files] == ["report.html", "results.csv"]
    Outline(files[0].read_text())
    Outline(build_page(_whole([], []), tmp_path))


def test_what_all_models_share_is_said_once() -> None:
    models = [_model("a", 0.5, 1, []), _model("b", 0.4, 2, [])]
    net, rules = ["ssdlite", "width 1", "320 × 320 px", "from scratch"], ["padding torch", "normalize imagenet"]
    assert [plain(word) for word in shared_by(models)] == [*net, *rules]
    assert shared_by(models[:1]) == []


def test_numbers_that_are_none_or_not_finite_stay_out(tmp_path: Path) -> None:
    comparison = _two(0.5, 0.4, tie=False)
    model = comparison.models[0]
    model.scores["AP50"], model.per_class["cat"] = Interval(float("nan"), None, float("inf")), Interval(float("inf"))
    model.costs, model.latency = {"madds": float("nan"), "parameters": 0.0}, {"p50": float("inf")}
    model.cells[0].curves = [{"epoch": 0, "loss": float("nan")}, {"epoch": 1, "loss": "x"}, {}, {"epoch": 3, "AP": 0.1}]
    comparison.differences[0].difference = Interval(None)
    page = build_page(comparison, tmp_path)
    Outline(page)
    assert "nan" not in re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    assert '"inf"' not in page


@pytest.mark.parametrize(("drift", "cores", "told"), [(0.05, 0.99, False), (-0.3, 0.99, True), (0.0, 0.5, True)])
def test_a_latency_of_a_busy_machine_is_told(tmp_path: Path, drift: float, cores: float, told: bool) -> None:
    comparison = _two(0.5, 0.4, tie=False)
    comparison.models[1].latency = {"p50": 10.0, "drift": drift, "cores": cores}
    page = plain(build_page(comparison, tmp_path))
    assert ("Measure again on a quiet machine: b." in page) == told
    assert ("Some latencies are doubtful" in page) == told


# Names


HOSTILE = [
    "</bdi></table><script>document.documentElement.dataset.fault='run'</script>",
    '"><img src=x onerror=alert(1)>',
    "שלום \u202e txt.exe",
    "line\nbreak\x00\x1b[31m\ud800",
    "x" * 5000,
    "$\\frac{1}{0}$ & <b>",
]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    comparison = hostile(tmp_path)
    files = write_report(comparison, tmp_path)
    page = files[0].read_text()
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)
    assert all((attributes.get("src") or "data:").startswith("data:") for _, attributes in outline.tags)
    assert "\u202e" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)
    assert max(map(len, outline.texts["bdi"])) <= 600
    with files[1].open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(comparison.models)
    assert "\n" not in "".join(value for row in rows for value in row.values())


def hostile(folder: Path) -> Comparison:
    """Every name that comes from outside is one of HOSTILE."""
    (folder / "x.jpg").write_bytes(_noise())
    models = [_model(name, 0.5 - 0.05 * at, at + 1, list(HOSTILE)) for at, name in enumerate(HOSTILE)]
    for model in models:
        model.backbone, model.weights, model.per_class = model.name, model.name, {n: Interval(0.5) for n in HOSTILE}
        model.costs, model.latency, model.error_types = {"madds": 1e8}, {"p50": 10.0}, {model.name: 0.1}
        cell = model.cells[0]
        cell.fault, cell.state, cell.commands, cell.name = model.name, "failed", [["run", model.name]], model.name
        cell.curves = [{"epoch": 0, "loss": 1.0, "AP": 0.1}, {"epoch": 1, "loss": 0.5, "AP": 0.2}]
    whole = _whole(models, [Difference(HOSTILE[0], name, Interval(0.1, 0.0, 0.2), False) for name in HOSTILE[1:]])
    whole.data, whole.split, whole.classes, whole.commands = HOSTILE[0], HOSTILE[3], list(HOSTILE), [list(HOSTILE)]
    whole.pictures = [Picture(name, "x.jpg", {name: "x.jpg"}) for name in HOSTILE]
    whole.protocol = whole.machine = {name: {name: [name]} for name in HOSTILE}
    whole.produced_by = {name: name for name in HOSTILE}
    return whole


# What others published


def test_published_figures_are_marked_as_theirs(tmp_path: Path) -> None:
    page = build_page(detection(tmp_path, COCO_LIKE, pictures=0), tmp_path)
    table = page[page.index('id="published"') : page.index('id="protocol"')]
    assert "Theirs, not ours" in table
    assert ">22.1</td>" in table
    assert "V3 Table 6" in table
    assert table.count('<td class="theirs') == 6 * table.count('<tr><th scope="rowgroup"') + 6 * table.count(
        '<tr><td class="theirs"'
    )


def test_published_figures_match_by_backbone_head_and_width() -> None:
    model = _model("v2", 0.5, 1, [])
    assert [figure.score for figure in figures_of(model)] == ["22.1", "22.1"]
    model.width = 0.5
    assert [(figure.score, figure.parameters, figure.madds) for figure in figures_of(model)] == [
        ("16.6", "1.54", "0.27")
    ]
    model.head = "unknown"
    assert figures_of(model) == []


def test_published_figures_are_of_nets_that_exist() -> None:
    from densenets.backbones import BACKBONES
    from densenets.heads import HEADS

    assert {figure.backbone for figure in PUBLISHED} <= set(BACKBONES)
    assert {figure.head for figure in PUBLISHED} <= set(HEADS)
    assert len(set(PUBLISHED)) == len(PUBLISHED)
