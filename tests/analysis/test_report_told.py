"""What a page tells beside its numbers: what they were measured on, and what they cannot tell apart."""

import re
from pathlib import Path

from example_comparison import detection
from reports import plain

from densenets.analysis.report import curves


def test_curves_are_of_the_split_that_the_trainings_were_validated_on(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    comparison.split, comparison.protocol["val_split"] = "test", "dev"
    assert "Training loss and AP on dev, the trainings' own" in plain(curves.section(comparison))
    del comparison.protocol["val_split"]
    told = plain(curves.section(comparison))
    assert "AP on the split that each training was validated on" in told
    assert not re.search(r"on test\b", told)
