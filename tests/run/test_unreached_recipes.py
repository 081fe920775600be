"""A recipe that is longer than its training, or keeps what no training has made."""

import pytest

from densenets.config import TrainDetection, TrainSegmentation
from densenets.run.training import _tell_frozen, _tell_unreached


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


@pytest.mark.parametrize(
    ("stages", "norm", "weights", "told"),
    [
        (0, False, None, []),
        (1, True, "mobilenet.pth", []),
        (2, False, None, ["warning: --freeze-stages 2 without --weights: layers are kept as chance made them"]),
        (0, True, None, ["warning: --freeze-norm without --weights: "]),
        (1, True, None, ["warning: --freeze-stages 1 --freeze-norm without --weights: "]),
    ],
)
def test_freezing_what_chance_made_is_warned_of(
    caplog: pytest.LogCaptureFixture, stages: int, norm: bool, weights: str | None, told: list[str]
) -> None:
    _tell_frozen(TrainDetection(freeze_stages=stages, freeze_norm=norm, weights=weights))
    assert len(caplog.messages) == len(told)
    assert all(line.startswith(words) for line, words in zip(caplog.messages, told, strict=True))
