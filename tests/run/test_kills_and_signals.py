"""The campaigns of kills and signals in short; in full under the marker `slow`. Each prints its seed and its counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
FULL = pytest.mark.slow

CAMPAIGNS = [
    pytest.param("training/saves.py", ["--kills", "20"], "20 kills", id="saves"),
    pytest.param("run/kills.py", ["--kills", "3", "--variants", "poly, 2 workers, EMA"], "kills in", id="kills"),
    pytest.param("run/stops.py", ["--signals", "2", "--variants", "step, accumulation"], "signals in", id="stops"),
    pytest.param("training/saves.py", ["--kills", "500"], "500 kills", id="500 saves", marks=FULL),
    pytest.param("run/kills.py", ["--kills", "50"], "kills in", id="50 kills", marks=FULL),
    pytest.param("run/stops.py", ["--signals", "50"], "signals in", id="50 stops", marks=FULL),
]


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("script", "flags", "words"), CAMPAIGNS)
def test_nothing_is_lost(script: str, flags: list[str], words: str) -> None:
    command = [sys.executable, str(TESTS / script), *flags, "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert words in done.stdout
