"""Which cells a comparison has: every model of a grid from every seed, and checkpoints that stand in for trainings."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from densenets.backbones import BACKBONES
from densenets.build import canvas_of
from densenets.command_line import parse
from densenets.config import Compare, ReadingRules, TrainDetection, Training, TrainSegmentation
from densenets.errors import InputError, printable
from densenets.files import file_name
from densenets.heads import COMMANDS, HEADS, heads_of
from densenets.metrics.image_counts import IMAGE_COUNTS
from densenets.run.evaluation import RESULTS

SETTINGS: dict[str, type[Training]] = {"detection": TrainDetection, "segmentation": TrainSegmentation}
REFUSED = {  # flags of a training that the grid sets
    "backbone": "--backbones names the nets",
    "head": "--heads names the heads",
    "width": "--widths names the widths",
    "size": "--sizes names the canvases",
    "seed": "--seeds names the seeds",
    "weights": "--pretrained V=FILE names the weights",
    "start_from": "--checkpoints takes trained models as they are",
    "resume": "the same command goes on by itself",
    "print_config": "train-det and train-seg have it",
}
DATA = ("data", "train_annotations", "config")
JUDGED = "judged"  # folder of a cell's judging on another split than the training's
SOURCE = {"detection": "predictions.json", "segmentation": IMAGE_COUNTS}  # beside a results.json


class Start(NamedTuple):
    """A net and where it starts from. weights: file, None: from scratch."""

    backbone: str
    weights: str | None = None
    padding: str | None = None
    normalize: str | None = None
    tag: str = ""  # in the model's name, where a net starts from several files


@dataclass
class Plan:
    """A cell that is to be; plain types, as comparison.json has them.

    size: as --size has it. words: of its training, all but --out and --resume; empty of a checkpoint. judged: the words
    of its judging behind the training, all but --checkpoint and --out; None where the training's own will do.
    digest: SHA-256 of the file of weights, or of the checkpoint. recipe: of the training of a checkpoint, as far as it
    is known.
    """

    name: str
    model: str
    seed: int | None
    backbone: str
    head: str
    width: float
    size: int | list[int]
    weights: str | None
    epochs: int | None
    words: list[str]
    judged: list[str] | None
    checkpoint: str | None = None
    digest: str | None = None
    padding: str = "torch"
    normalize: str = "imagenet"
    recipe: dict[str, Any] = field(default_factory=dict)

    def folder(self, out: Path) -> Path:
        return out / "cells" / self.name

    def results(self, out: Path) -> Path:
        """The folder with the results.json that counts."""
        return self.folder(out) if self.judged is None else self.folder(out) / JUDGED

    def proofs(self, out: Path) -> list[Path]:
        """The files that there are once it is done, and that its scores follow from."""
        return [self.results(out) / name for name in (RESULTS, SOURCE[HEADS[self.head].task])]

    def steps(self, out: Path) -> list[tuple[list[str], list[Path]]]:
        """The words of each command, and the files that prove that it was done."""
        end, folder, told = COMMANDS[HEADS[self.head].task], self.folder(out), []
        if self.checkpoint is None:
            words = [f"train-{end}", *self.words, f"--out={folder}", "--resume=auto"]
            told.append((words, self.proofs(out) if self.judged is None else [folder / RESULTS]))
        if self.judged is not None:
            words = [f"eval-{end}", f"--checkpoint={self.checkpoint or folder}", *self.judged]
            told.append(([*words, f"--out={folder / JUDGED}"], self.proofs(out)))
        return told

    def commands(self, out: Path) -> list[list[str]]:
        """The words of its commands for a reader who wants to have it once more: into a new folder below `out`, from
        its beginning."""
        return [[word for word in words if word != "--resume=auto"] for words, _ in self.steps(out)]


def task_of_grid(settings: Compare) -> str:
    """Raises InputError for a head or a net that does not exist, and for heads of two tasks."""
    for name in settings.heads:
        if name not in HEADS:
            raise InputError(f"--heads: {printable(name)}: expected one of {', '.join(HEADS)}")
    tasks = sorted({HEADS[name].task for name in settings.heads})
    if len(tasks) > 1:
        known = "; ".join(f"{task}: {', '.join(heads_of(task))}" for task in tasks)
        raise InputError(f"--heads: of two tasks, which no number compares ({known})")
    for start in starts(settings):
        if start.backbone not in BACKBONES:
            raise InputError(f"{_flag(start)}: {printable(start.backbone)}: expected one of {', '.join(BACKBONES)}")
    return tasks[0]


def _flag(start: Start) -> str:
    return "--pretrained" if start.weights else "--backbones"


def starts(settings: Compare) -> list[Start]:
    """The nets from scratch, then those that start from weights."""
    fresh = [Start(name) for name in dict.fromkeys(settings.backbones)] if settings.scratch else []
    count = len(settings.pretrained)
    paddings, scalings = (
        values * count if len(values) == 1 else values
        for values in (settings.pretrained_padding, settings.pretrained_normalize)
    )
    named = [word.partition("=")[::2] for word in settings.pretrained]
    rows = zip(named, paddings, scalings, strict=True)
    begun = dict.fromkeys(Start(net, file, padding, scaling) for (net, file), padding, scaling in rows)
    return fresh + _told_apart([*begun])


def _told_apart(starts: Sequence[Start]) -> list[Start]:
    """With the name of its file where a net starts from several. Raises InputError where these have one name too."""
    counts = Counter(start.backbone for start in starts)
    told = [
        start._replace(tag=file_name(Path(str(start.weights)).stem)) if counts[start.backbone] > 1 else start
        for start in starts
    ]
    taken = set()
    for start in told:
        if (start.backbone, start.tag) in taken:
            raise InputError(
                f"--pretrained: {printable(start.backbone)}={printable(start.weights)}: another file of this net has "
                f"the same name, or it is the same file under other rules: give it a name of its own"
            )
        taken.add((start.backbone, start.tag))
    return told


def parse_training(task: str, words: Sequence[str], prog: str = "compare") -> Any:
    """What the flags say that are not the comparison's own: settings of a training. Raises InputError."""
    for name in _names(words):
        if name in REFUSED:
            raise InputError(f"--{name.replace('_', '-')}: is not for a comparison: {REFUSED[name]}")
    training = parse(SETTINGS[task], words, prog, default_config="streets")
    for name in ("weights", "start_from"):  # the nets "from scratch" would start from them
        if getattr(training, name) is not None:
            raise InputError(f"--config: {_config(words)}: {name}: is not for a comparison: {REFUSED[name]}")
    return training


def _config(words: Sequence[str]) -> str:
    """The files named by --config, as they were written."""
    found, open_ = [], False
    for word in words:
        name, _, value = word.partition("=")
        if word.startswith("--"):
            open_ = name == "--config"
        if open_ and (given := value if word.startswith("--") else word):
            found.append(printable(given))
    return ", ".join(found)


def _names(words: Sequence[str]) -> list[str]:
    return [word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")]


def names_data(words: Sequence[str]) -> bool:
    """Whether flags say what to train on or judge by."""
    return any(name in DATA for name in _names(words))


def plan_grid(settings: Compare, training: Any, words: Sequence[str]) -> list[Plan]:
    """Every cell of the grid: backbone, then head, width, size, and seed as the innermost.

    training: the settings that are equal for all. words: the flags they came from.
    """
    sizes = _unlike(parse_size(text) for text in settings.sizes) or [training.size]
    judged = judging_words(settings, training) if settings.split not in (None, training.val_split) else None
    plans = [
        _plan(start, head, width, size, seed, training, words, judged)
        for start in starts(settings)
        for head in dict.fromkeys(settings.heads)
        for width in dict.fromkeys(settings.widths)
        for size in sizes
        for seed in dict.fromkeys(settings.seeds)
    ]
    for name, count in Counter(plan.name for plan in plans).items():
        if count > 1:  # each has a folder of its name
            raise InputError(f"--widths: two of them are called the same, up to six digits: {name}")
    return plans


def _unlike(sizes: Iterable[int | list[int]]) -> list[int | list[int]]:
    """Of those that are one canvas, as 320 and 320x320, the first."""
    found: dict[tuple[int, int], int | list[int]] = {}
    for size in sizes:
        found.setdefault(canvas_of(size, "--sizes"), size)
    return [*found.values()]


def _plan(
    start: Start,
    head: str,
    width: float,
    size: int | list[int],
    seed: int,
    training: Any,
    words: Sequence[str],
    judged: list[str] | None,
) -> Plan:
    model = model_name(start, head, width, size)
    own = [f"--backbone={start.backbone}", f"--head={head}", f"--width={width}", f"--size={size}", f"--seed={seed}"]
    if not start.weights:
        own.append("--weights=null")  # whatever a configuration has
    else:
        own += [f"--weights={start.weights}", f"--padding={start.padding}", f"--normalize={start.normalize}"]
    return Plan(
        name=f"{model}-seed{seed}",
        model=model,
        seed=seed,
        backbone=start.backbone,
        head=head,
        width=width,
        size=size,
        weights=start.weights,
        epochs=training.epochs,
        words=[*words, *own],
        judged=judged,
        padding=start.padding or training.padding,
        normalize=start.normalize or training.normalize,
    )


def model_name(start: Start, head: str, width: float, size: int | list[int]) -> str:
    """As a run folder is called without its data: v2-ssdlite-320, v2-pretrained-0.5-ssdlite-240x320."""
    origin = ["pretrained", start.tag] if start.weights else []
    parts = [start.backbone, *origin, "" if width == 1 else f"{width:g}", head]
    sides = size if isinstance(size, list) else [size]
    return "-".join(part for part in [*parts, "x".join(map(str, sides))] if part)


def parse_size(text: str) -> int | list[int]:
    """320, or HEIGHTxWIDTH as a list. Raises InputError."""
    if not re.fullmatch(r"\d{1,5}(x\d{1,5})?", text):
        raise InputError(f"--sizes: {printable(text)}: expected a side in px, or HEIGHTxWIDTH such as 240x320")
    sides = [int(side) for side in text.split("x")]
    return sides if len(sides) == 2 else sides[0]


def settings_of(plan: Plan, training: Any) -> Any:
    """Those of one cell's training."""
    own = {"backbone": plan.backbone, "head": plan.head, "width": plan.width, "size": plan.size, "seed": plan.seed}
    return replace(training, **own, weights=plan.weights, padding=plan.padding, normalize=plan.normalize)


def judging_words(settings: Compare, training: Any) -> list[str]:
    """Flags of eval-det or eval-seg that see the pictures as the training's own judging does."""
    batch = training.eval_batch if isinstance(training, TrainSegmentation) else training.batch_size
    words = [
        f"--split={settings.split or training.val_split}",
        f"--batch-size={batch}",
        f"--workers={training.workers}",
    ]
    if training.accelerator in ("auto", "cpu", "gpu"):
        words.append(f"--accelerator={training.accelerator}")
    for rule in fields(ReadingRules):
        if (value := getattr(training, rule.name, rule.default)) != rule.default:
            words.append(f"--{rule.name.replace('_', '-')}={str(value).lower() if value is True else value}")
    return words
