"""The scores of a segmentation as text."""

from typing import Any

from densenets.errors import printable
from densenets.metrics.segmentation_iou import MEANS

_WORDS = {
    "mIoU": "IoU, mean over the classes",
    "category_mIoU": "IoU, mean over the categories",
    "iIoU": "IoU where each object weighs the same, classes",
    "category_iIoU": "the same, categories",
    "pixel_accuracy": "share of the pixels that are right",
}
_UNDEFINED = {
    "mIoU": "no class is in the split",
    "pixel_accuracy": "no pixel has a class",
}
_ABSENT = "undefined: neither there nor predicted"


def format_table(metrics: dict[str, Any]) -> str:
    """The means, then classes and categories, each with IoU, iIoU and its share of the pixels, "-" where undefined; no
    line end at its end. Data without categories, or without objects that are told apart, have no line and no column
    of them. metrics: as of `SegmentationJudge.result`."""
    lines = [_line(name, metrics[name]) for name in MEANS if metrics[name] is not None or name in _UNDEFINED]
    objects = metrics["iIoU"] is not None
    lines += ["", *_rows("class", metrics["per_class"], objects, metrics["counts"]["pixels"])]
    if metrics["per_category"]:
        lines += ["", *_rows("category", metrics["per_category"], objects)]
    return "\n".join([*lines, "", _counted(metrics)])


def _line(name: str, value: float | None) -> str:
    note = "" if value is not None else f" (undefined: {_UNDEFINED[name]})"
    return f"{name:<14}{_cell(value):>7}  {_WORDS[name]}{note}"


def _rows(head: str, rows: dict[str, dict[str, Any]], objects: bool, pixels: int | None = None) -> list[str]:
    """objects: tell iIoU. pixels: of all rows together; None: do not tell their shares."""
    titles = [printable(name) for name in rows]
    width = max(len(head), *map(len, titles))
    share = "" if pixels is None else f"{'% of px':>9}"
    object_iou = f"{'iIoU':>7}" if objects else ""
    lines = [f"{head:<{width}}{'IoU':>7}{object_iou}{share}"]
    for title, row in zip(titles, rows.values(), strict=True):
        part = "" if pixels is None else f"{100 * row['pixels'] / max(1, pixels):>9.2f}"
        note = f"  {_ABSENT}" if row["IoU"] is None else ""
        object_iou = f"{_cell(row['iIoU']):>7}" if objects else ""
        lines.append(f"{title:<{width}}{_cell(row['IoU']):>7}{object_iou}{part}{note}")
    return lines


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _counted(metrics: dict[str, Any]) -> str:
    counts = metrics["counts"]
    objects = f", {counts['objects']} objects" if counts["objects"] else ""
    partial = "; partial" if metrics.get("partial") else ""
    return f"{counts['images']} images, {counts['pixels']} pixels of a class{objects}{partial}"
