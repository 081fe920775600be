"""The page and the plots of made-up comparisons."""

import base64
import csv
import hashlib
import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from example_comparison import detection, segmentation
from PIL import Image
from reports import Outline, plain, two

from densenets.analysis.comparison import Comparison
from densenets.analysis.report import curves
from densenets.analysis.report.page import build_page
from densenets.analysis.report.rows import write_rows


def test_it_writes_a_page_a_table_and_plots(report: tuple[Comparison, Path, list[Path]]) -> None:
    _, folder, files = report
    plots = [f"plots/pareto-{cost}.png" for cost in ("latency", "madds", "parameters", "file-size")]
    assert [str(file.relative_to(folder)) for file in files] == ["report.html", "results.csv", *plots]
    for plot in files[2:]:
        assert plot.stat().st_size < 200_000
        assert Image.open(plot).size == (860, 740)  # its title above


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


def test_every_column_of_the_table_is_documented(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    comparison.models[0].latency |= {"drift": 0.5, "cores": 0.5}
    with write_rows(comparison, tmp_path / "rows.csv").open(newline="") as handle:
        rows = [*csv.DictReader(handle)]
    told = (Path(__file__).parent.parent.parent / "docs/comparison-files.md").read_text()
    families = r"(class|low_of_class|high_of_class|error|model_A[PR]\w*|A[PR]\w*|latency_ms)(_|$)"
    alone = {column for column in rows[0] if not re.match(families, column)} - {"model_seeds"}
    assert len(alone) > 30
    assert [column for column in alone if f"`{column}`" not in told] == []
    for column in ("class_NAME", "error_KIND", "model_AP_low", "model_seeds", "model_AP_least_seed", "latency_ms_p50"):
        assert f"`{column}`" in told
    doubts = {row["model"]: row["latency_doubtful"] for row in rows}
    assert (doubts[comparison.models[0].name], doubts[comparison.models[1].name]) == ("1", "0")
    assert {row["split"] for row in rows} == {comparison.split}
    assert "error_false_positives" in rows[0]


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


@pytest.mark.parametrize(("drift", "cores", "told"), [(0.05, 0.99, False), (-0.3, 0.99, True), (0.0, 0.5, True)])
def test_a_latency_of_a_busy_machine_is_told(tmp_path: Path, drift: float, cores: float, told: bool) -> None:
    comparison = two(0.5, 0.4, tie=False)
    comparison.models[1].latency = {"p50": 10.0, "drift": drift, "cores": cores}
    page = plain(build_page(comparison, tmp_path))
    assert ("Measure again on a quiet machine: b." in page) == told
    assert ("Some latencies are doubtful" in page) == told
