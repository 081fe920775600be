"""Runs many cases of a campaign in processes of their own, so that a signal is seen and names its case.

By hand: python tests/campaigns/cases.py CAMPAIGN SEED FIRST COUNT. A single case again: the same with COUNT 1.
"""

import json
import logging
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

CAMPAIGNS = ("annotations", "images", "masks", "checkpoints", "settings", "predictions")
SEED = 20
ESCAPES_SHOWN = 5


def run_campaign(name: str, count: int, shards: int = 1) -> Counter[str]:
    """How often each outcome came; prints them with the seed. Raises AssertionError for a signal or an escape."""
    started, size = time.monotonic(), -(-count // shards)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        processes = [_start(name, first, min(size, count - first), folder) for first in range(0, count, size)]
        reports = [_report(name, process, Path(folder)) for process in processes]
    counts: Counter[str] = sum((Counter(report["counts"]) for report in reports), Counter())
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    peak = max(report["peak_mb"] for report in reports)
    seconds = time.monotonic() - started
    sys.stdout.write(f"\ncampaign {name}: seed {SEED}, {count} cases: {told}; {peak} MB at most, {seconds:.0f} s\n")
    escapes = [line for report in reports for line in report["escapes"]]
    assert not escapes, "\n".join(escapes)
    assert sum(counts.values()) == count
    return counts


def _start(name: str, first: int, count: int, folder: str) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, name, str(SEED), str(first), str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DENSENETS_CAMPAIGN": folder, "MALLOC_ARENA_MAX": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _report(name: str, process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    out, err = process.communicate()
    at = folder / f"case-{process.pid}"
    number = at.read_text().strip() if at.exists() else "none"
    assert process.returncode == 0, f"{name}: exit {process.returncode} in case {number}, seed {SEED}\n{err[-2000:]}"
    return json.loads(out.splitlines()[-1])


def main(name: str, seed: int, first: int, count: int) -> None:
    """One shard: a line of JSON with the outcomes, the escaped exceptions and the memory it took."""
    logging.disable()
    with tempfile.TemporaryDirectory(dir=os.environ.get("DENSENETS_CAMPAIGN")) as folder:
        module = import_module(f"campaign_{name}")
        try_one = module.prepare(Path(folder))
        room = _memory()
        resource.setrlimit(resource.RLIMIT_AS, (room + module.MEMORY, room + module.MEMORY))
        note = os.open(os.environ.get("DENSENETS_CAMPAIGN", folder) + f"/case-{os.getpid()}", os.O_CREAT | os.O_WRONLY)
        counts: Counter[str] = Counter()
        escapes = []
        for number in range(first, first + count):
            os.pwrite(note, f"{number:<12}".encode(), 0)
            try:
                counts[try_one(random.Random(f"{seed}/{number}"))] += 1
            except (
                Exception
            ):  # is what a campaign looks for: counted and shown, and whoever called asserts there is none
                counts["escaped"] += 1
                escapes += [f"case {number}: {traceback.format_exc(limit=-6)}"] if len(escapes) < ESCAPES_SHOWN else []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(json.dumps({"counts": counts, "escapes": escapes, "peak_mb": peak}) + "\n")


def _memory() -> int:
    """Bytes of address space in use."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def check_lines(message: str, begin: str = "", place: str | re.Pattern[str] = "") -> None:
    """Every line is printable, begins as it should and names a place; there are 20 and a count at most."""
    lines = message.split("\n")
    assert 0 < len(lines) <= 21, f"{len(lines)} lines"
    for number, line in enumerate(lines):
        assert line.isprintable(), f"not printable: {line!a}"
        named = line.startswith(begin) and re.search(place, line)
        assert named or (number == 20 and line.startswith("and ")), f"names no place: {line!a}"


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
