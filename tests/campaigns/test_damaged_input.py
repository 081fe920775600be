"""Much damaged input through the real readers: seeds and counts are printed with -s or on failure."""

import pytest
from cases import run_campaign

SHORT = {"annotations": 2000, "images": 4000, "masks": 200, "checkpoints": 400, "settings": 500, "predictions": 500}
FULL = {"annotations": 100_000, "images": 100_000, "masks": 20_000, "checkpoints": 5000}
FULL |= {"settings": 10_000, "predictions": 20_000}


@pytest.mark.parametrize("name", SHORT)
def test_short(name: str) -> None:
    outcomes = run_campaign(name, SHORT[name])
    assert {outcome.split()[-1] == "refused" for outcome in outcomes} == {True, False}  # both ways were walked


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full(name: str) -> None:
    run_campaign(name, FULL[name], shards=2)
