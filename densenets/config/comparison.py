"""The settings of a comparison; those of its trainings are the trainings' own."""

from dataclasses import dataclass, field
from typing import Literal

from densenets.config.shared import expect
from densenets.errors import InputError, printable


@dataclass(kw_only=True)
class Compare:
    """Train a grid of models alike, and rank them; all other flags are those of train-det or train-seg.

    Args:
        backbones: nets to compare: v1, v2, v3-large, v3-small.
        heads: heads to compare, all of one task: ssd, ssdlite, faster-rcnn, faster-rcnn-fpn for boxes; raspp, lraspp,
            lraspp-torchvision, deeplabv3 for masks.
        widths: width multipliers to compare.
        sizes: canvases to compare, each a side in px or HEIGHTxWIDTH such as 240x320; the training's own where not
            given.
        seeds: each model is trained from each of them.
        pretrained: nets to compare, started from weights, beside those of backbones: v1=FILE v2=FILE; a net may have
            several.
        pretrained_padding: rule those weights were trained with; one for all, or one for each.
        pretrained_normalize: scaling those weights were trained with; likewise.
        scratch: train the backbones without weights too.
        checkpoints: run folders or checkpoints that are compared as they are, with or without a grid.
        split: name of the split that all are judged on; the one that the best checkpoint was chosen by where not given.
        draws: of the bootstrap over images.
        level: part of the draws inside an interval.
        rounds: times that each model's latency is measured, in turns; 0 measures none, p99 takes 100 or more.
        threads: of the processor, for the latency.
        jobs: cells trained at once on this machine.
        cell_threads: threads of the processor that a training has; all cores shared by the jobs, or as many as --cpus
            with Ray, where not given.
        engine: "local" runs cells as processes here, "ray" (an extra) wherever Ray has room.
        cpus: that a cell asks Ray for; as many as its threads where not given.
        gpus: that a cell asks Ray for.
        pictures: images that the report shows with every model's predictions.
        out: folder of the comparison; comparisons/NAME where not given. The same command goes on there.
    """

    backbones: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    widths: list[float] = field(default_factory=lambda: [1.0])
    sizes: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    pretrained: list[str] = field(default_factory=list)
    pretrained_padding: list[Literal["torch", "tf"]] = field(default_factory=lambda: ["torch"])
    pretrained_normalize: list[Literal["imagenet", "half"]] = field(default_factory=lambda: ["imagenet"])
    scratch: bool = True
    checkpoints: list[str] = field(default_factory=list)
    split: str | None = None
    draws: int = 1000
    level: float = 0.95
    rounds: int = 100
    threads: int = 1
    jobs: int = 1
    cell_threads: int | None = None
    engine: Literal["local", "ray"] = "local"
    cpus: float | None = None
    gpus: float = 0.0
    pictures: int = 8
    out: str | None = None

    def __post_init__(self) -> None:
        expect("draws", self.draws, 10, 100_000)
        expect("level", self.level, 0.5, 0.999)
        expect("rounds", self.rounds, 0, 100_000)
        expect("threads", self.threads, 1, 1024)
        expect("jobs", self.jobs, 1, 1024)
        expect("gpus", self.gpus, 0, 1024)
        expect("pictures", self.pictures, 0, 100)
        if self.cell_threads is not None:
            expect("cell_threads", self.cell_threads, 1, 1024)
        if self.cpus is not None:
            expect("cpus", self.cpus, 0, 1024)
        for seed in self.seeds:
            expect("seeds", seed, 0, 2**32 - 1)
        self._check_grid()

    def _check_grid(self) -> None:
        nets = bool(self.pretrained) or (self.scratch and bool(self.backbones))
        if not nets and not self.checkpoints:
            raise InputError("nothing to compare: --backbones or --pretrained with --heads, or --checkpoints")
        if nets and not self.heads:
            raise InputError("--heads: a value is needed")
        for word in self.pretrained:
            if not all(part.strip() for part in word.partition("=")[::2]) or "=" not in word:
                raise InputError(f"--pretrained: {printable(word)}: expected BACKBONE=FILE")
        self._refuse_dropped()
        for name in ("pretrained_padding", "pretrained_normalize"):
            given = len(getattr(self, name))
            if given not in (1, len(self.pretrained)):
                flag = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"{flag}: {given} values for {len(self.pretrained)} weights: expected one, or one each"
                )
        for name in ("widths", "seeds"):
            if not getattr(self, name):
                raise InputError(f"--{name}: a value is needed")

    def _refuse_dropped(self) -> None:
        """A net that is named and would not be there."""
        started = {word.partition("=")[0] for word in self.pretrained}
        gone = [name for name in self.backbones if name not in started]
        if self.pretrained and not self.scratch and gone:
            raise InputError(f"--scratch false: --pretrained has no weights of {', '.join(map(printable, gone))}")
