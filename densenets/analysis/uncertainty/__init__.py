"""How sure a number is: the bootstrap over images of every AP and mIoU, and paired differences between models.

`detection_samples` and `segmentation_samples` give a model's numbers for many draws of as many images as the set has,
with replacement. The draws follow from the seed and the number of images alone, so that those of two models belong
together; the images stand in the order of their ids.
"""

from densenets.analysis.uncertainty.detection import detection_samples
from densenets.analysis.uncertainty.intervals import Samples, difference, interval, mean_of
from densenets.analysis.uncertainty.segmentation import segmentation_samples

__all__ = [
    "Samples",
    "detection_samples",
    "difference",
    "interval",
    "mean_of",
    "segmentation_samples",
]
