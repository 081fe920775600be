"""What each command does, callable from Python: settings in, an `Outcome` out. Heavy: import it late."""

import logging
import os
import warnings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for its newest version
# Lightning's advice about loaders, logging intervals, devices and other products; the settings are chosen knowingly.
IGNORED = (
    "many workers",
    "logging interval",
    "exists and is not empty",
    "in eval mode at the start",
    "LeafSpec",
    "dataloader is[ \\n]*not resumable",  # it is: its place is read from the training's own counters
)
for words in IGNORED:
    warnings.filterwarnings("ignore", message=f".*{words}.*")

from densenets.run.check import check_data  # noqa: E402
from densenets.run.detection import evaluate_detection, train_detection  # noqa: E402
from densenets.run.model import load  # noqa: E402
from densenets.run.prediction import detect, predict, segment  # noqa: E402
from densenets.run.segmentation import evaluate_segmentation, train_segmentation  # noqa: E402

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # after its import, which sets a level of its own

__all__ = [
    "check_data",
    "detect",
    "evaluate_detection",
    "evaluate_segmentation",
    "load",
    "predict",
    "segment",
    "train_detection",
    "train_segmentation",
]
