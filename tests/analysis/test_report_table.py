"""The table of made-up comparisons, for a spreadsheet."""

import csv
from pathlib import Path

import pytest
from example_comparison import detection
from reports import two

from densenets.analysis.comparison import Comparison, Interval
from densenets.analysis.report.rows import write_rows


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


def test_no_class_takes_the_columns_of_another(tmp_path: Path) -> None:
    comparison = two(0.5, 0.4, tie=False)
    comparison.models[0].per_class = {"car": Interval(0.5, 0.4, 0.6), "car_low": Interval(0.1, 0.0, 0.2)}
    with write_rows(comparison, tmp_path / "rows.csv").open(newline="") as handle:
        row = next(csv.DictReader(handle))
    assert [row[f"{end}_car"] for end in ("class", "low_of_class", "high_of_class")] == ["0.5", "0.4", "0.6"]
    assert row["class_car_low"] == "0.1"


def test_a_checkpoint_of_a_cell_is_named_in_the_table(tmp_path: Path) -> None:
    comparison = two(0.5, 0.4, tie=False)
    comparison.models[1].stands_in, comparison.models[1].same_as = True, ["a-0"]
    with write_rows(comparison, tmp_path / "rows.csv").open(newline="") as handle:
        assert [(row["stands_in"], row["same_as"]) for row in csv.DictReader(handle)] == [("0", ""), ("1", "a-0")]
