"""The settings: each field here is a YAML key, a command-line flag and a Python argument at once. Imports no torch."""

from densenets.config.comparison import Compare
from densenets.config.detection import (
    Anchors,
    Augment,
    DetectionOptions,
    EvalDetection,
    RCNNOptions,
    SSDOptions,
    TrainDetection,
)
from densenets.config.others import CheckData, Predict
from densenets.config.profile import Profile
from densenets.config.segmentation import EvalSegmentation, SegmentationOptions, TrainSegmentation
from densenets.config.shared import Evaluation, PictureRules, ReadingRules, Training, expect

__all__ = [
    "Anchors",
    "Augment",
    "CheckData",
    "Compare",
    "DetectionOptions",
    "EvalDetection",
    "EvalSegmentation",
    "Evaluation",
    "PictureRules",
    "Predict",
    "Profile",
    "RCNNOptions",
    "ReadingRules",
    "SSDOptions",
    "SegmentationOptions",
    "TrainDetection",
    "TrainSegmentation",
    "Training",
    "expect",
]
