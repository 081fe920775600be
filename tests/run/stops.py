"""SIGTERM and SIGINT at random times: exit code 143 or 130 within 30 s, the last finished step saved, nothing lost.

    python tests/run/stops.py --signals 50 --seed 0

Each training is resumed until it is done, and then has to equal, bit for bit, one that was never stopped. A signal may
fall into a step, a save, a validation or the judging at the end; half of them are followed by a second one.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from kills import LONGEST, VARIANTS, differences, flags_of, make_data, start, unbroken, wait

from densenets.training.durable import read_checkpoint

WITHIN = 30.0  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--signals", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="*", choices=[*VARIANTS], default=[*VARIANTS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, faults, sent, runs = random.Random(options.seed), [], 0, 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(Path(scratch))
        whole = {name: unbroken(name, data, Path(scratch)) for name in options.variants}
        while sent < options.signals and not faults:
            name = options.variants[runs % len(options.variants)]
            folder, seconds = whole[name]
            parts = Path(scratch) / f"parts-{runs}"
            waits, wrong = stopped(flags_of(name, data, parts), parts, seconds, rng)
            faults += [f"{name}: {fault}" for fault in [*wrong, *differences(folder, parts)]]
            sent, runs, slowest = sent + len(waits), runs + 1, max([slowest, *waits])
    counts = f"{sent} signals in {runs} runs of {len(options.variants)} variants, {len(faults)} faults"
    sys.stdout.write(f"seed {options.seed}: {counts}; the slowest end took {slowest:.1f} s\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in faults[:20])
    return 1 if faults else 0


def stopped(flags: list[str], folder: Path, seconds: float, rng: random.Random) -> tuple[list[float], list[str]]:
    """Start it again and again, stopping it each time, until it is done: seconds to each end, and what was wrong."""
    waits: list[float] = []
    faults: list[str] = []
    while not faults:
        child = start(flags, folder)
        code = wait(child, rng.uniform(0.2, 1.2) * seconds if len(waits) < 6 else LONGEST)
        if code is not None:
            return waits, faults + ([] if code == 0 else [f"ended with {code} by itself: {tail(folder)}"])
        number = rng.choice([signal.SIGTERM, signal.SIGINT])
        sent = time.monotonic()
        os.kill(child, number)
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 0.05))
            os.kill(child, number)
        code = wait(child, WITHIN)
        waits.append(time.monotonic() - sent)
        faults += wrong_with(child, code, number, folder)
    return waits, faults


def wrong_with(child: int, code: int | None, number: int, folder: Path) -> list[str]:
    """0: it had just ended by itself. Minus the number: the signal came before there was a training to save."""
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [f"still there {WITHIN} s after signal {number}"]
    if code not in (128 + number, 0, -number):
        return [f"signal {number} gave {code}: {tail(folder)}"]
    told = re.findall(r"stopped after step (\d+)", (folder / "log").read_text())
    if code == 128 + number and told:
        saved = read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"]
        return [] if saved == int(told[-1]) else [f"stopped after step {told[-1]}, saved {saved}"]
    return []


def tail(folder: Path) -> str:
    return (folder / "log").read_text()[-1500:]


if __name__ == "__main__":
    sys.exit(main())
