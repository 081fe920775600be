"""What the settings of both tasks share: the bounds of a number, reading, training, judging."""

import math
from dataclasses import dataclass, field
from typing import Literal

from densenets.errors import InputError


def expect(name: str, value: float, low: float, high: float = math.inf) -> None:
    """InputError unless `value` is a number from `low` to `high`."""
    if not low <= value <= high or abs(value) == math.inf:
        wanted = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"--{name.replace('_', '-')}: {value}: expected {wanted}")


@dataclass(kw_only=True)
class PictureRules:
    """How strictly pictures are read; every command that reads a data set takes these flags.

    Args:
        strict: end with an error where an item would be skipped.
        max_skip: part of the annotations or pictures that may be skipped before it is an error (one always may,
            unless this is 0).
        follow_symlinks: allow links that lead out of the folder of images.
        max_pixels: pictures of more pixels, in millions, are not decoded.
    """

    strict: bool = False
    max_skip: float = 0.01
    follow_symlinks: bool = False
    max_pixels: float = 64.0

    def check_rules(self) -> None:
        """Raises InputError for a value out of range."""
        expect("max_skip", self.max_skip, 0, 1)
        expect("max_pixels", self.max_pixels, 0.0001, 1000)


@dataclass(kw_only=True)
class ReadingRules(PictureRules):
    """The same of a set that may have boxes.

    Args:
        skip_invalid: skip boxes that lie outside their image in place of refusing the file.
        box_format: how a COCO file's boxes are written.
        renumber: give annotations new ids where an id stands twice.
    """

    skip_invalid: bool = False
    box_format: Literal["xywh", "xyxy"] = "xywh"
    renumber: bool = False


@dataclass(kw_only=True)
class Training(PictureRules):
    """What every training can be told, whatever the task.

    Args:
        backbone: the net that sees: v1, v2, v3-large or v3-small.
        width: the backbone's width multiplier.
        train_split: name of the split to train on.
        val_split: name of the split to choose the best checkpoint by.
        weights: state_dict file the backbone starts from (torchvision's, timm's or our names).
        start_from: run folder, checkpoint or file of torchvision's whole model to begin with; a class keeps what was
            learnt of it under the same name, the others begin anew.
        padding: rule the weights were trained with: torch's symmetric padding or TensorFlow's SAME.
        normalize: scaling the weights were trained with: ImageNet's mean and deviation, or [-1, 1].
        freeze_stages: keep every layer up to stride 2^n as it is; 0 freezes nothing.
        freeze_norm: keep the backbone's BatchNorms as they are: statistics, weights and biases.
        epochs: passes over the training split.
        batch_size: images a step and a process.
        lr: learning rate at the end of the warm-up.
        head_lr: factor of the learning rate for all layers but the backbone's.
        optimizer: the rule that changes the weights.
        momentum: of SGD and RMSprop.
        weight_decay: pull of the weights towards 0.
        decay_all: let weight decay act on norms, biases and depthwise filters too.
        schedule: how the learning rate falls.
        warmup: steps over which it first rises.
        milestones: for "step": parts of the training after which it falls.
        gamma: for "step": by what factor.
        power: for "poly": the exponent.
        ema: decay of the averaged weights that are judged and kept; 0 for none.
        clip: largest norm of the gradient; 0 for no limit.
        accumulate: batches whose gradients are added up for one step.
        precision: Lightning's word for the number format.
        devices: Lightning's word for how many devices.
        num_nodes: machines taking part.
        strategy: Lightning's word for how processes share the work.
        accelerator: Lightning's word for the kind of device.
        compile: let torch.compile speed the network up, all but what looks at single proposals; the first step takes
            minutes.
        validate_every: epochs from one validation to the next; the last epoch is always judged.
        seed: start of all chance.
        workers: processes that load pictures; -1: one a core, at most 8.
        out: run folder; runs/NAME where not given.
        resume: run folder or checkpoint to go on from; "auto": --out where it holds a run, else a new one there.
        allow_config_change: resume although settings, data, processes, threads or torch's version are others.
        save_every: steps from one checkpoint to the next; 0: only before validation and after each epoch.
        on_save_error: what to do where a checkpoint cannot be written: end, or go on with the one before.
        worker_timeout: seconds to wait for a loading process before it counts as hanging; 0: for ever.
    """

    backbone: str = "v2"
    width: float = 1.0
    train_split: str = "train"
    val_split: str = "val"
    weights: str | None = None
    start_from: str | None = None
    padding: Literal["torch", "tf"] = "torch"
    normalize: Literal["imagenet", "half"] = "imagenet"
    freeze_stages: int = 0
    freeze_norm: bool = False
    epochs: int = 40
    batch_size: int = 16
    lr: float = 0.02
    head_lr: float = 1.0
    optimizer: Literal["sgd", "adamw", "rmsprop"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 4e-5
    decay_all: bool = False
    schedule: Literal["cosine", "step", "poly", "constant"] = "cosine"
    warmup: int = 100
    milestones: list[float] = field(default_factory=lambda: [0.6, 0.85])
    gamma: float = 0.1
    power: float = 0.9
    ema: float = 0.0
    clip: float = 0.0
    accumulate: int = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    devices: str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    accelerator: str = "auto"
    compile: bool = False
    validate_every: int = 1
    seed: int = 0
    workers: int = -1
    out: str | None = None
    resume: str | None = None
    allow_config_change: bool = False
    save_every: int = 0
    on_save_error: Literal["stop", "warn"] = "stop"
    worker_timeout: float = 300.0

    def __post_init__(self) -> None:
        self.check_rules()
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "num_nodes"):
            expect(name, getattr(self, name), 1)
        for name in ("lr", "head_lr", "weight_decay", "momentum", "clip", "warmup", "gamma", "power"):
            expect(name, getattr(self, name), 0)
        expect("ema", self.ema, 0, 0.999999)
        expect("freeze_stages", self.freeze_stages, 0, 5)
        expect("seed", self.seed, 0, 2**32 - 1)
        expect("workers", self.workers, -1, 1024)
        expect("save_every", self.save_every, 0)
        expect("worker_timeout", self.worker_timeout, 0)
        if self.weights is not None and self.start_from is not None:
            raise InputError("--start-from: brings the backbone's weights with it; give it or --weights (null: none)")


@dataclass(kw_only=True)
class Evaluation(PictureRules):
    """What every judging can be told, whatever the task.

    Args:
        checkpoint: run folder (its best checkpoint) or checkpoint file.
        split: name of the split.
        workers: processes that load pictures; -1: one a core, at most 8.
        devices: Lightning's word for how many devices; the numbers do not depend on it.
        num_nodes: machines taking part.
        strategy: Lightning's word for how processes share the work.
        accelerator: kind of device.
    """

    checkpoint: str | None = None
    split: str = "val"
    workers: int = -1
    devices: str = "1"
    num_nodes: int = 1
    strategy: str = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"

    def __post_init__(self) -> None:
        self.check_rules()
        expect("num_nodes", self.num_nodes, 1)
        expect("workers", self.workers, -1, 1024)
