"""kill -9 at random times: a training that is resumed until it is done must equal, bit for bit, one that never stopped.

    python tests/run/kills.py --kills 50 --seed 0

Every try is a fork of this process, which has the heavy imports behind it; the killed one gets no chance to clean up.
Prints the seed and the counts; ends with 1 where a bit differs.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from shapes import write_split

import densenets.run  # noqa: F401  (heavy: once, before the forks)
from densenets.cli import main as command
from densenets.training.durable import read_checkpoint
from densenets.training.records import read_rows

LONGEST = 120.0  # seconds of one training
SMALL = {"backbone": "v3-small", "width": 0.35, "size": 64, "batch_size": 2, "epochs": 3, "warmup": 2, "lr": 0.01}
VARIANTS: dict[str, dict[str, Any]] = {
    "cosine": {"workers": 0, "save_every": 1},
    "poly, 2 workers, EMA": {"workers": 2, "save_every": 2, "ema": 0.9, "schedule": "poly", "augment": "ssdlite"},
    "step, accumulation": {"workers": 0, "save_every": 1, "accumulate": 2, "schedule": "step", "optimizer": "adamw"},
    "constant, both": {"workers": 2, "accumulate": 3, "ema": 0.99, "schedule": "constant", "optimizer": "rmsprop"},
    "two stages": {"workers": 1, "save_every": 1, "head": "faster-rcnn-fpn", "rcnn.fpn": "light"},
    "judged every second epoch": {"workers": 0, "save_every": 3, "validate_every": 2, "epochs": 4},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="*", choices=[*VARIANTS], default=[*VARIANTS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    faults, kills, runs = [], 0, 0
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(Path(scratch))
        whole = {name: unbroken(name, data, Path(scratch)) for name in options.variants}
        while kills < options.kills and not faults:
            name = options.variants[runs % len(options.variants)]
            folder, seconds = whole[name]
            parts = Path(scratch) / f"parts-{runs}"
            kills += broken(flags_of(name, data, parts), parts, seconds, rng)
            faults += [f"{name}: {fault}" for fault in differences(folder, parts)]
            runs += 1
    counts = f"{kills} kills in {runs} runs of {len(options.variants)} variants, {len(faults)} differ"
    sys.stdout.write(f"seed {options.seed}: {counts}\n" + "".join(f"  {fault}\n" for fault in faults[:20]))
    return 1 if faults else 0


def make_data(scratch: Path) -> Path:
    root = scratch / "shapes"
    (root / "annotations").mkdir(parents=True)
    write_split(root, "train", range(11))
    write_split(root, "val", range(11, 15))
    return root


def flags_of(name: str, data: Path, out: Path) -> list[str]:
    rest = {"data": data, "out": out, "augment": "ssd", "accelerator": "cpu", "resume": "auto"}
    return [f"--{key}={value}" for key, value in {**SMALL, **rest, **VARIANTS[name]}.items()]


def unbroken(name: str, data: Path, scratch: Path) -> tuple[Path, float]:
    """The folder of the run that nobody kills, and its seconds."""
    folder = scratch / name.replace(" ", "-")
    started = time.monotonic()
    code = wait(start(flags_of(name, data, folder), folder), LONGEST)
    assert code == 0, (folder / "log").read_text()[-3000:]
    return folder, time.monotonic() - started


def broken(flags: list[str], folder: Path, seconds: float, rng: random.Random) -> int:
    """Start it again and again, each time with less of a chance to be killed, until it is done: the number of kills."""
    kills = 0
    while True:
        child = start(flags, folder)
        code = wait(child, rng.uniform(0.05, 1.3) * seconds if kills < 8 else LONGEST)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        elif code == 0:
            return kills
        else:
            raise AssertionError((folder / "log").read_text()[-3000:])


def start(flags: list[str], folder: Path) -> int:
    """The process id of a training; what it prints goes to `log` in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = command(["train-det", *flags])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, seconds: float) -> int | None:
    """Its exit code, or None where it still runs after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def differences(whole: Path, parts: Path) -> list[str]:
    """What of two runs is not equal to the last bit; only times may differ."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        both = [plain(read_checkpoint(folder / "checkpoints" / name)) for folder in (whole, parts)]
        found += [f"{name}: {fault}" for fault in unequal(*both)]
    rows = [[{**row, "seconds": 0} for row in read_rows(folder / "metrics.csv")] for folder in (whole, parts)]
    found += [f"metrics.csv: {fault}" for fault in unequal(*rows)]
    results = [json.loads((folder / "results.json").read_text()) for folder in (whole, parts)]
    numbers = [{k: v for k, v in result.items() if k[0] == "A" or k == "per_class"} for result in results]
    found += [f"results.json: {fault}" for fault in unequal(*numbers)]
    if (whole / "predictions.json").read_bytes() != (parts / "predictions.json").read_bytes():
        found.append("predictions.json")
    return found


def plain(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Without what names the folder or the time."""
    checkpoint["callbacks"] = {
        name: {key: value for key, value in state.items() if not ("path" in key or key in ("dirpath", "seconds"))}
        for name, state in checkpoint["callbacks"].items()
        if "best_k_models" not in name
    }
    for state in checkpoint["callbacks"].values():
        if "best_k_models" in state:
            state["best_k_models"] = [*state["best_k_models"].values()]
    return checkpoint


def unequal(one: Any, other: Any, place: str = "") -> list[str]:
    """The places in which two nested values differ."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [place]
    if type(one) is not type(other):
        return [f"{place}: {one!r} and {other!r}"]
    if isinstance(one, dict):
        lost = [f"{place}.{key}: only in one" for key in one.keys() ^ other.keys()]
        return lost + [f for key in one.keys() & other.keys() for f in unequal(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, list | tuple):
        lost = [] if len(one) == len(other) else [f"{place}: {len(one)} and {len(other)} long"]
        pairs = zip(one, other, strict=False)
        return lost + [f for i, (a, b) in enumerate(pairs) for f in unequal(a, b, f"{place}[{i}]")]
    return [] if one == other else [f"{place}: {one!r} and {other!r}"]


if __name__ == "__main__":
    sys.exit(main())
