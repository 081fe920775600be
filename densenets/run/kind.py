"""What training and judging do in a way of the task's own; `detection` and `segmentation` have the two."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from densenets.build import ModelDescription
from densenets.data.module import DataModule
from densenets.run.folder import Outcome
from densenets.training.task import Judge


class Before(Protocol):
    """What an evaluation that broke off had judged. images: ids."""

    @property
    def images(self) -> Sequence[int]: ...


class Kind(Protocol):
    """The settings are those of the task's own commands; a split is what its data sets are read into."""

    task: str

    def open_training(self, settings: Any) -> tuple[Any, Any]:
        """The split to train on and the split to choose by, with the classes of the first."""
        ...

    def judged_on(self, settings: Any) -> dict[str, Any]:
        """The split to choose by as results.json names it; absolute, for a later judging to find it from anywhere."""
        ...

    def data(self, settings: Any, train: Any, val: Any, description: ModelDescription) -> DataModule:
        """What a training sees."""
        ...

    def seen(self, settings: Any, model: nn.Module) -> dict[str, Any]:
        """How a training's validation sees its pictures, in the words of `adapt`."""
        ...

    def judge(self, split: Any, folder: Path, evaluation: dict[str, Any]) -> Judge:
        """What a training is judged by."""
        ...

    def open_judged(
        self, settings: Any, known: dict[str, Any] | None, classes: Sequence[str] | None
    ) -> tuple[Any, dict[str, Any]]:
        """The split that an evaluation's flags name, or for want of them the `known` one; and its name for results."""
        ...

    def adapt(self, settings: Any, model: nn.Module, description: ModelDescription) -> tuple[nn.Module, dict[str, Any]]:
        """The model as an evaluation's flags want it, and what of that changes its numbers."""
        ...

    def judging_data(self, settings: Any, split: Any, description: ModelDescription) -> DataModule:
        """What an evaluation sees."""
        ...

    def judge_again(
        self, settings: Any, split: Any, out: Path | None, evaluation: dict[str, Any], before: Any
    ) -> Judge:
        """What an evaluation judges by. before: as `read_before` gave it."""
        ...

    def read_before(self, files: Sequence[Path], split: Any) -> tuple[dict[str, Any] | None, Any]:
        """What part files say they belong to, and what they hold."""
        ...

    def report(
        self,
        metrics: dict[str, Any],
        judge: Any,
        net: nn.Module,
        data: DataModule,
        out: Path | None,
        source: dict[str, Any],
    ) -> Outcome:
        """The files of a result in `out`, and its table for the user. net: what was judged on `data`."""
        ...
