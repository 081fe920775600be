"""kill -9 during saves: whatever the moment, and wherever $TMPDIR lies, a sound checkpoint has to be left.

    python tests/training/saves.py --kills 500 --seed 0

Each try forks a process that saves one checkpoint after the other as a training does, and kills it. Half of the tries
have their temporary directory on the file system of the checkpoints, half on another one, where the machine has one.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from densenets.errors import InputError
from densenets.storage import remove_stale
from densenets.training.durable import LAST, PREVIOUS, DurableCheckpointIO, newest_sound, read_checkpoint

ELSEWHERE = Path("/dev/shm")
FIRST_SAVE = 60.0  # seconds until the first checkpoint has to be there
NUMBERS = 2_000_000  # floats of a checkpoint: 8 MB


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a fork takes no threads along, and would wait for them
    rng = random.Random(options.seed)
    places = [None, *([ELSEWHERE] if other_file_system(ELSEWHERE) else [])]
    faults: list[str] = []
    left = 0
    for turn in range(options.kills):
        with tempfile.TemporaryDirectory() as folder:
            place = places[turn % len(places)]
            seconds = rng.uniform(0.0, 0.15)
            faults += [f"kill {turn}: {fault}" for fault in killed(Path(folder), place, seconds)]
            left += bool([*Path(folder).glob(".*.tmp")])
            remove_stale(Path(folder))
            if [*Path(folder).glob(".*.tmp")]:
                faults.append(f"kill {turn}: a temporary file is left")
    systems = "the same and another file system" if len(places) > 1 else "the same file system only"
    counts = f"{options.kills} kills during saves, $TMPDIR on {systems}: {len(faults)} faults"
    sys.stdout.write(f"seed {options.seed}: {counts}; {left} left a temporary file, removed at the next start\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in faults[:20])
    return 1 if faults else 0


def other_file_system(place: Path) -> bool:
    return place.is_dir() and place.stat().st_dev != Path(tempfile.gettempdir()).stat().st_dev


def killed(folder: Path, temporary: Path | None, seconds: float) -> list[str]:
    """What is wrong with the folder of a process that was killed some time after its first save."""
    child = os.fork()
    if not child:
        save_for_ever(folder, temporary)
    end = time.monotonic() + FIRST_SAVE
    while not (folder / LAST).is_file():
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return ["no checkpoint came"]
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return wrong_with(folder)


def save_for_ever(folder: Path, temporary: Path | None) -> None:
    if temporary:
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    writer = DurableCheckpointIO()
    for number in range(1_000_000):
        state = {"weight": torch.full((NUMBERS,), float(number))}
        writer.save_checkpoint({"state_dict": state, "number": number}, folder / LAST)


def wrong_with(folder: Path) -> list[str]:
    try:
        last = read_checkpoint(folder / LAST)
    except InputError as fault:
        return [str(fault)]
    if not bool((last["state_dict"]["weight"] == last["number"]).all()):
        return ["mixed content"]
    newest_sound(folder)
    if (folder / PREVIOUS).is_file() and read_checkpoint(folder / PREVIOUS)["number"] not in (
        last["number"] - 1,
        last["number"],
    ):
        return ["more than one save is lost"]
    return []


if __name__ == "__main__":
    sys.exit(main())
