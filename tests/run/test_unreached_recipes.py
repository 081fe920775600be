"""A recipe that is longer than its training."""

import pytest

from densenets.config import TrainSegmentation
from densenets.run.training import _tell_unreached


@pytest.mark.parametrize(
    ("warmup", "ema", "steps", "told"),
    [
        (100, 0.0, 99, ["--warmup 100: the training has 99 steps: the learning rate never rises to --lr"]),
        (100, 0.0, 100, []),
        (0, 0.99, 99, ["--ema 0.99: the training has 99 steps: the average"]),
        (0, 0.99, 100, []),
        (7, 0.9998, 6, ["--warmup 7", "--ema 0.9998: the training has 6 steps"]),
    ],
)
def test_it_is_warned_of(
    caplog: pytest.LogCaptureFixture, warmup: int, ema: float, steps: int, told: list[str]
) -> None:
    _tell_unreached(TrainSegmentation(warmup=warmup, ema=ema), steps)
    assert len(caplog.messages) == len(told)
    assert all(line.startswith(f"warning: {words}") for line, words in zip(caplog.messages, told, strict=True))
