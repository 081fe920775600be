"""Small comparisons for tests: cells that train in this process, and commands that stand for trainings."""

import hashlib
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from densenets.analysis.compare import command, finish
from densenets.analysis.compare.engines import Stop
from densenets.analysis.compare.supervisor import Job, write_state
from densenets.cli import main
from densenets.config import Compare
from densenets.run.folder import Outcome
from densenets.training.task import Task

SMALL = ["--batch-size=4", "--epochs=1", "--warmup=2", "--workers=0", "--accelerator=cpu"]
CELLS = ["v3-small-0.35-ssdlite-64-seed0", "v2-0.35-ssdlite-64-seed0"]
GRID = {"backbones": ["v3-small", "v2"], "heads": ["ssdlite"], "split": "test"}
TRUSTED = finish._trusted
FAKE = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[-1])
(place / "pid.new").write_text(str(os.getpid()))
(place / "pid.new").rename(place / "pid")  # whole as soon as it is there
(place / "folder").write_text(str(os.environ.get("DENSENETS_RUN_FOLDER")))
def save(*_):
    (place / "saved").write_text("")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(place / "tries").open("a").write("x")
what = sys.argv[1]
if what == "sleep":
    time.sleep(60)
if what == "once" and len((place / "tries").read_text()) == 1:
    time.sleep(60)
if what == "together":
    end = time.monotonic() + 30
    while len(list(place.parent.glob("*/pid"))) < 2:
        if time.monotonic() > end:
            sys.exit(3)
        time.sleep(0.01)
if what == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "refuse":
    print("densenets: error: nothing to learn from [D36]", file=sys.stderr)
    sys.exit(2)
(place / "results.json").write_text("{}")
"""


class Done(NamedTuple):
    """What the fixture `done` gives. data: the flag of it. batches: the digests that each cell's training has seen."""

    outcome: Outcome
    out: Path
    data: str
    ran: list[str]
    batches: list[list[str]]


class Here:
    """An engine whose cells train in this process, one after the other. failing: names of cells that do not."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.failing, self.ran, self.at_once = failing, [], 1

    def run(self, jobs: Sequence[Job], stop: Stop, look: Callable[[], None]) -> None:
        for job in jobs:
            self.ran.append(job.name)
            Path(job.folder).mkdir(parents=True, exist_ok=True)
            code = 2 if job.name in self.failing else max(main(step["words"]) for step in job.steps)
            ended = {"state": "failed", "fault": "no data [D36]"} if code else {"state": "done"}
            write_state(
                Path(job.folder), {**ended, "session": job.session, "code": code, "seconds": 1.0, "where": "here"}
            )
            look()


def compare_here(
    patch: pytest.MonkeyPatch,
    out: Path,
    *words: str,
    failing: Sequence[str] = (),
    trusting: bool = True,
    **changes: object,
) -> tuple[Outcome, list[str]]:
    """A comparison at 64 px, and the names of the cells that were run for it. No process is started for its peaks.

    trusting: what was measured is not doubted: a machine that runs tests is busy.
    """
    engine = Here(failing)
    patch.setattr(command, "engine_of", lambda *_: engine)
    patch.setattr(sys.modules["densenets.analysis.profile.costs"], "peak_bytes", lambda *_: None)
    patch.setattr(finish, "_trusted", (lambda found: True) if trusting else TRUSTED)
    small = {"widths": [0.35], "sizes": ["64"], "draws": 20, "rounds": 2, "pictures": 2, "cell_threads": 1}
    settings = Compare(**{**small, "out": str(out), **changes})  # type: ignore[arg-type]
    try:
        return command.compare(settings, [*SMALL, *words]), engine.ran
    except Exception as fault:
        fault.ran = engine.ran  # type: ignore[attr-defined]
        raise


def record_batches(patch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Fills in, for each net that trains from now on, the digest of every batch that it sees, targets included."""
    seen: dict[str, list[str]] = {}
    original = Task.training_step

    def step(self: Task, batch, index):  # type: ignore[no-untyped-def]
        digest = hashlib.sha256(batch.images.contiguous().numpy().tobytes())
        for target in batch.targets:
            for part in target:
                if part is not None:
                    digest.update(part.numpy().tobytes())
        name = f"{type(self.model.backbone).__name__}-{self.trainer.default_root_dir}"
        seen.setdefault(name, []).append(digest.hexdigest())
        return original(self, batch, index)

    patch.setattr(Task, "training_step", step)
    return seen


def fake_job(tmp_path: Path, name: str, what: str, session: str = "1") -> Job:
    """A job whose command is no training, but does `what`: see FAKE."""
    package = tmp_path / "fake" / "densenets"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(textwrap.dedent(FAKE))
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    steps = [{"words": [what, str(folder)], "leaves": [str(folder / "results.json")]}]
    return Job(name, str(folder), session, steps, str(tmp_path), {"PYTHONPATH": str(package.parent)})  # type: ignore[arg-type]
