"""Figures of others, marked as theirs."""

from pathlib import Path

from example_comparison import COCO_LIKE, detection
from reports import one_model

from densenets.analysis.report.page import build_page
from densenets.analysis.report.published import PUBLISHED, figures_of


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
    model = one_model("v2", 0.5, 1, [])
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
