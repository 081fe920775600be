"""Being asked to stop: the handlers only note it; all processes of a training agree and stop at the same step."""

import os
import signal
from types import FrameType
from typing import Any

import lightning as L
import torch.distributed as dist

from densenets.training.together import distributed

KEY = "densenets/stop"
NOTICE = b"densenets: stopping at the next step; the checkpoint is being saved\n"


def take_signals_from(trainer: L.Trainer) -> None:
    """Let Lightning put no handlers in place, neither for training nor for judging.

    Its own end a validation with exit code 0, and wait for the other processes inside of the handler.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


class StopRequest:
    """The signal that asks this training to stop, 0 while there is none.

    SIGTERM and SIGINT; under SLURM SIGUSR1 too, which means: save, and let the job be queued again.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.before: dict[int, Any] = {}

    def listen(self) -> None:
        """Put our handlers in place of those there."""
        numbers = [signal.SIGTERM, signal.SIGINT] + ([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])
        self.before = {number: signal.signal(number, self._note) for number in numbers}

    def leave(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Nothing else may happen here: a second signal while the first one's checkpoint is written changes nothing."""
        if not self.asked:
            os.write(2, b"\n" + NOTICE if os.isatty(2) else NOTICE)  # behind the terminal's ^C and a bar
            self.asked = number

    def spread(self) -> int:
        """What any process was asked, as far as known: without waiting for the others (validation is not in step)."""
        if not distributed():
            return self.asked
        store = dist.distributed_c10d._get_default_store()
        if self.asked:
            store.set(KEY, str(self.asked))
        elif store.check([KEY]):
            self.asked = int(store.get(KEY))
        return self.asked
