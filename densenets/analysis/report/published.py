"""What others published for the same nets: their figures, on their data, never to be ranked with ours.

V1 is arXiv 1704.04861, V2 is 1801.04381, V3 is 1905.02244 (its latest version); torchvision 0.29's own descriptions of
its weights, whose "GFLOPs" are MAdds."""

from typing import NamedTuple

from densenets.analysis.comparison import Comparison, Model
from densenets.analysis.report.tables import scrolling
from densenets.analysis.report.words import BY_KEY, MISSING, in_order, in_px, name, place_of, three
from densenets.page import as_text


class Figure(NamedTuple):
    """score in percent, parameters in millions, madds in billions: each as printed, "" where it is not given."""

    backbone: str
    head: str
    width: float
    data: str
    input: str
    score: str
    parameters: str
    madds: str
    source: str
    note: str = ""


MINIVAL = "COCO minival (8,000 images)"
TEST_DEV = "COCO test-dev"
TEST = "COCO test"
VAL = "COCO val2017"
CITY = "Cityscapes val"
CITY_TEST = "Cityscapes test"
VOC = "VOC 2012 val"
LABELS = "COCO val2017, VOC's classes"
FULL = "1024 × 2048"
TV = "torchvision"
PUBLISHED = [
    Figure("v1", "ssd", 1.0, MINIVAL, "300", "19.3", "6.8", "1.2", "V1 Table 13"),
    Figure("v1", "faster-rcnn", 1.0, MINIVAL, "300", "16.4", "6.1", "25.2", "V1 Table 13"),
    Figure("v1", "faster-rcnn", 1.0, MINIVAL, "600", "19.8", "6.1", "30.5", "V1 Table 13"),
    Figure("v1", "ssdlite", 1.0, TEST_DEV, "320", "22.2", "5.1", "1.3", "V2 Table 6"),
    Figure("v1", "ssdlite", 1.0, TEST, "320", "22.2", "5.1", "1.3", "V3 Table 6"),
    Figure("v2", "ssdlite", 1.0, TEST_DEV, "320", "22.1", "4.3", "0.8", "V2 Table 6"),
    Figure("v2", "ssdlite", 1.0, TEST, "320", "22.1", "4.3", "0.80", "V3 Table 6"),
    Figure("v2", "ssdlite", 0.5, TEST, "320", "16.6", "1.54", "0.27", "V3 Table 6"),
    Figure("v2", "ssdlite", 0.35, TEST, "320", "13.7", "0.93", "0.16", "V3 Table 6"),
    Figure("v3-large", "ssdlite", 1.0, TEST, "320", "22.0", "4.97", "0.62", "V3 Table 6"),
    Figure("v3-large", "ssdlite", 1.0, TEST, "320", "22.0", "3.22", "0.51", "V3 Table 6", "reduced tail"),
    Figure("v3-large", "ssdlite", 1.0, VAL, "320", "21.3", "3.44", "0.583", TV, "reduced tail"),
    Figure("v3-small", "ssdlite", 1.0, TEST, "320", "16.0", "2.49", "0.21", "V3 Table 6"),
    Figure("v3-small", "ssdlite", 1.0, TEST, "320", "16.1", "1.77", "0.16", "V3 Table 6", "reduced tail"),
    Figure("v3-large", "faster-rcnn-fpn", 1.0, VAL, "320 to 640", "22.8", "19.39", "0.719", TV),
    Figure("v3-large", "faster-rcnn-fpn", 1.0, VAL, "800 to 1333", "32.8", "19.39", "4.494", TV),
    Figure("v1", "deeplabv3", 1.0, VOC, "513", "75.29", "11.15", "14.25", "V2 Table 7", "output stride 16"),
    Figure("v2", "deeplabv3", 1.0, VOC, "513", "75.70", "4.52", "5.8", "V2 Table 7", "output stride 16"),
    Figure("v2", "raspp", 1.0, VOC, "513", "75.32", "2.11", "2.75", "V2 Table 7", "output stride 16"),
    Figure("v2", "raspp", 1.0, CITY, FULL, "72.84", "2.11", "21.29", "V3 Table 7"),
    Figure("v2", "raspp", 1.0, CITY, FULL, "72.56", "1.15", "13.68", "V3 Table 7", "reduced tail"),
    Figure("v2", "lraspp", 1.0, CITY, FULL, "72.97", "1.02", "12.83", "V3 Table 7", "reduced tail, 256 filters"),
    Figure("v2", "lraspp", 1.0, CITY, FULL, "72.74", "0.98", "12.57", "V3 Table 7", "reduced tail, 128 filters"),
    Figure("v2", "lraspp", 0.5, CITY, FULL, "68.57", "0.28", "4.00", "V3 Table 7", "reduced tail, 128 filters"),
    Figure("v2", "lraspp", 0.35, CITY, FULL, "66.83", "0.16", "2.54", "V3 Table 7", "reduced tail, 128 filters"),
    Figure("v3-large", "raspp", 1.0, CITY, FULL, "72.64", "3.60", "18.43", "V3 Table 7"),
    Figure("v3-large", "raspp", 1.0, CITY, FULL, "71.91", "1.76", "11.24", "V3 Table 7", "reduced tail"),
    Figure("v3-large", "lraspp", 1.0, CITY, FULL, "72.37", "1.63", "10.33", "V3 Table 7", "reduced tail, 256 filters"),
    Figure("v3-large", "lraspp", 1.0, CITY, FULL, "72.36", "1.51", "9.74", "V3 Table 7", "reduced tail, 128 filters"),
    Figure("v3-large", "lraspp", 1.0, CITY_TEST, FULL, "72.6", "", "9.74", "V3 Table 8", "output stride 16"),
    Figure("v3-large", "lraspp", 1.0, CITY_TEST, FULL, "72.0", "", "7.74", "V3 Table 8", "output stride 32"),
    Figure("v3-small", "lraspp", 1.0, CITY, FULL, "68.38", "0.47", "2.90", "V3 Table 7", "reduced tail, 128 filters"),
    Figure("v3-small", "lraspp", 1.0, CITY_TEST, FULL, "69.4", "", "2.90", "V3 Table 8", "output stride 16"),
    Figure("v3-small", "lraspp", 1.0, CITY_TEST, FULL, "68.3", "", "2.06", "V3 Table 8", "output stride 32"),
    Figure("v3-large", "lraspp-torchvision", 1.0, LABELS, "520", "57.9", "3.22", "2.086", TV),
    Figure("v3-large", "deeplabv3", 1.0, LABELS, "520", "60.3", "11.03", "10.452", TV),
]  # fmt: skip


def figures_of(model: Model) -> list[Figure]:
    """What was published for its backbone, head and width."""
    wanted = (model.backbone, model.head, model.width)
    return [figure for figure in PUBLISHED if (figure.backbone, figure.head, figure.width) == wanted]


def section(comparison: Comparison) -> str:
    """A table of its own, told apart from ours in every row; "" where nothing was published for these nets."""
    rows = "".join(map(_rows, in_order(comparison)))
    if not rows:
        return ""
    single = "AP" if comparison.task == "detection" else "mIoU"
    heads = ["ours", "parameters, M", "MAdds, B", "data", "input, px", f"{single}, %", "parameters, M", "MAdds, B"]
    heads += ["source"]
    titles = "".join(
        f'<th scope="col"{" class=theirs" if at > 2 else ""}>{title}</th>' for at, title in enumerate(heads)
    )
    table = (
        f'<table class="data published"><thead><tr><th scope="colgroup" colspan="3">this comparison</th>'
        f'<th scope="colgroup" colspan="6" class="theirs">theirs: as the authors printed it</th></tr>'
        f"<tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return (
        f'<section id="published"><h2>The papers’ figures beside ours</h2><p><strong>Theirs, not ours:</strong> their '
        f"scores are of other data, far longer trainings and mostly other input sizes, so they cannot be ranked with "
        f"{name(place_of(comparison.data))}. Parameters and MAdds are of the same nets; they differ by the number of "
        f"classes and the input size.</p>{scrolling('Published figures', table)}</section>"
    )


def _rows(model: Model) -> str:
    figures = figures_of(model)
    return "".join(_row(model, figure, len(figures) if at == 0 else 0) for at, figure in enumerate(figures))


def _row(model: Model, figure: Figure, spanned: int) -> str:
    """spanned: rows that our part covers; 0 where one above does."""
    numbers = [figure.score, figure.parameters, figure.madds]
    cells = "".join(f'<td class="theirs number">{number or MISSING}</td>' for number in numbers)
    note = f"<small>{as_text(figure.note)}</small>" if figure.note else ""
    return (
        f'<tr>{_ours(model, spanned) if spanned else ""}<td class="theirs">{as_text(figure.data)}</td>'
        f'<td class="theirs number">{as_text(figure.input)}</td>{cells}'
        f'<td class="theirs">{as_text(figure.source)}{note}</td></tr>'
    )


def _ours(model: Model, spanned: int) -> str:
    parameters, madds = BY_KEY["parameters"].of(model), BY_KEY["madds"].of(model)
    numbers = [three(parameters), three(None if madds is None else madds / 1000)]
    cells = "".join(f'<td class="number" rowspan="{spanned}">{number}</td>' for number in numbers)
    about = f"<small>{in_px(model.canvas)}</small>"
    return f'<th scope="rowgroup" rowspan="{spanned}">{name(model.name, 40)}{about}</th>{cells}'
