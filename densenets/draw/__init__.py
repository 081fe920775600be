"""Pictures for people: boxes or classes over an image, sheets of them, a confusion matrix, the curves of a run.

Pillow and matplotlib are imported where they are used, so that a command that draws nothing does not wait for them.
"""

from densenets.draw.boxes import draw_boxes
from densenets.draw.charts import curves
from densenets.draw.confusion import confusion_picture
from densenets.draw.masks import draw_classes, draw_errors, legend, present, with_legend
from densenets.draw.pages import sheet

__all__ = [
    "confusion_picture",
    "curves",
    "draw_boxes",
    "draw_classes",
    "draw_errors",
    "legend",
    "present",
    "sheet",
    "with_legend",
]
