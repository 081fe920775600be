"""What a judging of masks leaves: results.json, each image's pixels, pictures, and the table for the user."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from densenets import draw
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import printable
from densenets.metrics.image_counts import IMAGE_COUNTS, write_image_counts
from densenets.metrics.parts import remove_parts
from densenets.metrics.segmentation_table import format_table
from densenets.run.evaluation import RESULTS, write_results
from densenets.run.folder import Outcome
from densenets.run.pictures import write_mask_sheet


def write_report(
    metrics: dict[str, Any],
    split: SegmentationSplit,
    predicted: Callable[[int], np.ndarray] | None,
    out: Path | None,
    source: dict[str, Any],
) -> Outcome:
    """results.json and the pictures in `out`; the table for the user.

    predicted: the (H, W) classes of the image at an index; None where nobody knows them any more.
    """
    content = {**metrics, **source}
    rows = content.pop("images")
    text = format_table(content)
    if not metrics["counts"]["pixels"]:  # a submission is all that this was about
        text = f"the split has no labels to judge by; masks for the server: {printable(source.get('submission'))}"
    if out is None:
        return Outcome(content, text, [])
    files = [out / RESULTS, out / IMAGE_COUNTS, out / "confusion.png"]
    write_image_counts(files[1], rows, split.image_ids, split.files)
    draw.confusion_picture(metrics["confusion"], split.classes, files[2])
    if predicted is not None:
        files.append(out / "validation.png")
        write_mask_sheet(split, predicted, files[3])
    write_results(out, content)
    if "checkpoint" in source:  # all that the parts hold is in the files now
        remove_parts(out)
    return Outcome(content, text, files)
