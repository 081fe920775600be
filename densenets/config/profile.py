"""The settings of `profile`."""

from dataclasses import dataclass, field
from typing import Literal

from densenets.config.detection import RCNNOptions, SSDOptions
from densenets.config.segmentation import SegmentationOptions
from densenets.config.shared import expect
from densenets.errors import InputError

OF_A_FRESH_NET = ("backbone", "head", "width", "num_classes", "reduced_tail", "ssd", "rcnn", "seg")


@dataclass
class Profile:
    """Tell what models cost: parameters, MAdds, memory, latency, and where in the net they go.

    Args:
        checkpoint: run folders (their best checkpoints) or checkpoint files; without any, fresh nets of these flags:
        backbone: the nets that see: v1, v2, v3-large, v3-small; of several each with each head.
        head: the parts that say what is where: ssd, ssdlite, faster-rcnn, faster-rcnn-fpn for boxes; raspp, lraspp,
            lraspp-torchvision, deeplabv3 for masks.
        width: the backbone's width multiplier.
        size: side of the square canvas in px, or its height and width; 320 of a fresh net. A trained detector has its
            own; a trained segmenter is measured at the size of its validation where not given, or of its crops where
            that saw pictures of every size.
        num_classes: of a detector without background.
        reduced_tail: halve the last stage (the dagger of V3 Table 6; RF2 of V3 Table 7).
        ssd: settings of SSD and SSDLite.
        rcnn: settings of Faster R-CNN.
        seg: settings of the segmentation heads.
        images: pictures and folders of pictures to be timed on; drawn street scenes where not given, of 480 x 640 px
            or more where a detector is among the models.
        rounds: timings of each model, taken in turns.
        warmup: rounds before them that do not count.
        threads: of the processor; 1, as the papers measure on one core of a phone.
        accelerator: kind of device.
        out: folder for profile.json; made where missing.
    """

    checkpoint: list[str] = field(default_factory=list)
    backbone: list[str] = field(default_factory=lambda: ["v2"])
    head: list[str] = field(default_factory=lambda: ["ssdlite"])
    width: float = 1.0
    size: int | list[int] | None = None
    num_classes: int = 80
    reduced_tail: bool = False
    ssd: SSDOptions = field(default_factory=SSDOptions)
    rcnn: RCNNOptions = field(default_factory=RCNNOptions)
    seg: SegmentationOptions = field(default_factory=SegmentationOptions)
    images: list[str] = field(default_factory=list)
    rounds: int = 100
    warmup: int = 10
    threads: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    out: str | None = None

    def __post_init__(self) -> None:
        expect("rounds", self.rounds, 3, 100_000)
        expect("warmup", self.warmup, 0, 10_000)
        expect("threads", self.threads, 1, 1024)
        for name in ("backbone", "head"):
            if not getattr(self, name):
                raise InputError(f"--{name}: a value is needed")
        if self.checkpoint:
            self._refuse_flags_of_a_fresh_net()

    def _refuse_flags_of_a_fresh_net(self) -> None:
        plain = Profile()
        changed = [name for name in OF_A_FRESH_NET if getattr(self, name) != getattr(plain, name)]
        if changed:
            flag = changed[0].replace("_", "-")
            raise InputError(f"--{flag}: a checkpoint says that itself; leave out either --{flag} or --checkpoint")
