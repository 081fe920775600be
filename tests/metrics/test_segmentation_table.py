import math

import numpy as np

from densenets.metrics.image_counts import pixels_of
from densenets.metrics.segmentation_iou import Counts, Rules, nothing
from densenets.metrics.segmentation_judge import Counted, told
from densenets.metrics.segmentation_table import format_table

RULES = Rules(("road", "car\n", "sky"), ("flat", "thing"), (0, 1, 0), (False, True, False), (math.nan, 8.0, math.nan))


def test_the_table_says_everything_in_columns() -> None:
    counts = Counts(np.array([[6, 2, 0, 0], [0, 4, 0, 4], [0, 0, 0, 0]]), np.array([[1, 8, 4, 4]]))
    assert format_table(told(Counted([1, 2], counts, [pixels_of(counts.matrix)] * 2), RULES)).splitlines() == [
        "mIoU            0.575  IoU, mean over the classes",
        "category_mIoU   0.575  IoU, mean over the categories",
        "iIoU            0.400  IoU where each object weighs the same, classes",
        "category_iIoU   0.400  the same, categories",
        "pixel_accuracy  0.625  share of the pixels that are right",
        "",
        "class    IoU   iIoU  % of px",
        "road   0.750      -    50.00",
        "car\\n  0.400  0.400    50.00",
        "sky        -      -     0.00  undefined: neither there nor predicted",
        "",
        "category    IoU   iIoU",
        "flat      0.750      -",
        "thing     0.400  0.400",
        "",
        "2 images, 16 pixels of a class, 1 objects",
    ]


def test_what_is_undefined_is_said_in_words() -> None:
    bare = RULES._replace(groups=(), group_of=(), counted=(), sizes=())
    text = format_table(told(Counted([], nothing(bare), []), bare))
    assert "mIoU                -  IoU, mean over the classes (undefined: no class is in the split)" in text
    assert text.count("undefined: ") == 5
    assert "category" not in text
    assert "iIoU" not in text
    assert "class    IoU  % of px" in text
    assert text.endswith("\n\n0 images, 0 pixels of a class")
