"""What all models' names end with is left out of the page and the plots, told once, and kept in the files."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from example_comparison import detection

from densenets.analysis.report import write_report
from densenets.analysis.report.short_names import shared_end, without_end


@pytest.mark.parametrize(
    ("names", "end"),
    [
        (["v1-ssdlite-320", "v2-ssdlite-320", "v3-small-ssdlite-320"], "-ssdlite-320"),
        (["v2-ssd-320", "v2-ssdlite-320"], "-320"),
        (["v2-ssdlite-320", "v2-ssdlite-512"], ""),
        (["v3-large-lraspp-352x480", "v3-small-lraspp-352x480"], "-lraspp-352x480"),
        (["ssdlite-320", "v2-ssdlite-320"], "-320"),
        (["320", "v2-320"], ""),
        (["mine-2", "mine-12"], ""),
        (["v2-ssdlite-320"], ""),
        ([], ""),
    ],
)
def test_whole_words_are_left_out_and_one_stays(names: list[str], end: str) -> None:
    assert shared_end(names) == end
    assert len({name.removesuffix(end) for name in names} - {""}) == len(names)


def test_every_place_has_the_short_name_and_the_files_the_whole(tmp_path: Path) -> None:
    plain = detection(tmp_path, pictures=2)
    whole = without_end(plain, "")
    names = [model.name for model in plain.models]
    for model in whole.models:  # as a grid of one head and one canvas calls them
        model.name += "-head-320"
        model.ties = [f"{name}-head-320" for name in model.ties]
    whole = replace(
        whole,
        differences=[
            replace(row, first=f"{row.first}-head-320", second=f"{row.second}-head-320") for row in whole.differences
        ],
        pictures=[
            replace(one, predictions={f"{name}-head-320": file for name, file in one.predictions.items()}, empty=[])
            for one in whole.pictures
        ],
    )
    page, table, *_ = write_report(whole, tmp_path)
    shown = page.read_text()
    assert shown.count("-head-320") == 1
    assert "<dt>all names end with</dt>" in shown
    with table.open() as file:
        assert {row["model"] for row in csv.DictReader(file)} == {f"{name}-head-320" for name in names}
    again, *_ = write_report(plain, tmp_path)
    assert "<dt>all names end with</dt>" not in again.read_text()
