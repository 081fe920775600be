"""A training that is ended as a kill would end it, in process."""

from collections.abc import Callable
from typing import Any

import densenets.run.training as module
from densenets.run import train_detection
from densenets.training.task import Task


def train_with_a_stop(settings: Any, after: int, train: Callable[[Any], Any] = train_detection) -> None:
    """Ends the training behind the checkpoint of epoch `after`."""

    class Stopping(Task):
        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            if self.current_epoch == after:
                raise KeyboardInterrupt

    original, module.Task = module.Task, Stopping  # type: ignore[misc]
    try:
        train(settings)
    except SystemExit:  # how Lightning ends on an interrupt
        raise KeyboardInterrupt from None
    finally:
        module.Task = original  # type: ignore[misc]
