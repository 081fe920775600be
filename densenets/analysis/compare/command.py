"""`densenets compare`: look at everything, write the protocol, run the cells, judge, rank, report."""

import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from densenets.analysis.compare import protocol
from densenets.analysis.compare.cells import Work, state_of
from densenets.analysis.compare.engines import Stop, engine_of
from densenets.analysis.compare.finish import finish, timed_on
from densenets.analysis.compare.grid import Plan, parse_training, plan_grid, task_of_grid
from densenets.analysis.compare.ground import (
    StandIn,
    open_ground,
    plan_stand_ins,
    read_stand_ins,
    refuse_other_classes,
    with_digests,
    words_of_data,
)
from densenets.analysis.compare.progress import Progress
from densenets.analysis.compare.supervisor import Job, Step, read_state
from densenets.config import Compare
from densenets.data.cores import cores
from densenets.errors import InputError, Stopped, WorkerError, printable
from densenets.files import file_name
from densenets.heads import task_of
from densenets.run.folder import Outcome, find_checkpoint, new_folder, only_one

SIGNALS = (128 + signal.SIGTERM, 128 + signal.SIGINT)  # exit codes of a training that was asked to stop, and saved
log = logging.getLogger(__name__)


def compare(settings: Compare, words: Sequence[str] = ()) -> Outcome:
    """Train and judge every cell that is not done yet, and rank the models. words: flags of the trainings.

    Raises InputError before any cell begins; WorkerError (exit code 1) at the end where a cell failed, with what the
    others gave; Stopped where it was asked to stop: the same call then goes on.
    """
    others = read_stand_ins(settings.checkpoints)
    task, grid = _task(settings, others), bool(settings.heads)
    if not grid:
        words = words_of_data(words, others)
    training = parse_training(task, words)
    timed_on(settings, training.accelerator)  # told now, not when all is trained
    out = Path(settings.out) if settings.out is not None else Path("comparisons") / _name(settings, training, others)
    threads = _threads(settings, out)
    engine = engine_of(settings.engine, settings.jobs, settings.cpus or threads, settings.gpus)
    plans = plan_grid(settings, training, words) if grid else []
    plans += plan_stand_ins(settings, training, others, {name for plan in plans for name in (plan.name, plan.model)})
    ground = open_ground(settings, training, plans, others, task)
    refuse_other_classes(ground, training, others)
    equal = protocol.alike(training, settings.split or training.val_split, threads, ground.digests, grid)
    with new_folder(out), only_one(out):
        with protocol.unless_refused(out):  # by the engine, which may have too little for a cell
            agreed = protocol.agree(out, task, equal, with_digests(plans), command_of(settings, words, threads))
            _tell_missing(agreed)
            if any(state_of(plan, out) != "done" for plan in agreed.asked):
                ground.refuse_damaged()
                _run(agreed.asked, out, engine, threads, settings.jobs)
        work = Work(settings, training, task, ground, agreed, out)
        try:
            return _told(work, finish(work) if work.done else None)
        except KeyboardInterrupt as end:
            raise Stopped("stopped while the report was made; the same command goes on", signal.SIGINT) from end


def _tell_missing(agreed: protocol.Agreed) -> None:
    """Checkpoints of earlier commands that moved: told now, not when all is trained."""
    for plan in agreed.cells:
        if plan.checkpoint is not None and plan not in agreed.asked:
            try:
                find_checkpoint(plan.checkpoint)
            except InputError as fault:
                log.warning("%s: %s; name it with --checkpoints where it lies now", plan.name, fault)


def _threads(settings: Compare, out: Path) -> int:
    """Of a cell: as said, as the comparison had them, as many as a cell asks Ray for, or its part of this machine."""
    asked = int(settings.cpus or 0) if settings.engine == "ray" else 0
    return settings.cell_threads or protocol.threads_of(out) or asked or max(1, cores() // settings.jobs)


def command_of(settings: Compare, words: Sequence[str], threads: int) -> list[str]:
    """The words that ask for the same comparison, wherever these settings came from. threads: of a cell, which else
    follow from the machine."""
    given = {**asdict(settings), "cell_threads": threads}
    own: list[str] = []
    for one in fields(Compare):
        usual = one.default if one.default_factory is MISSING else one.default_factory()
        if given[one.name] != usual:
            own += [f"--{one.name.replace('_', '-')}", *_texts(given[one.name])]
    return ["densenets", "compare", *own, *words]


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(part) for part in value]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _task(settings: Compare, others: Sequence[StandIn]) -> str:
    tasks = [task_of_grid(settings)] if settings.heads else []
    for other in others:
        tasks.append(task_of(other.description.head))
        if tasks[-1] != tasks[0]:
            raise InputError(f"--checkpoints: {printable(other.given)}: is of {tasks[-1]}, the others of {tasks[0]}")
    return tasks[0]


def _name(settings: Compare, training: Any, others: Sequence[StandIn]) -> str:
    """Follows from what is compared, so that the same command goes on in the same folder."""
    data = Path(getattr(training, "train_annotations", None) or training.data).resolve().stem
    heads = dict.fromkeys(settings.heads or [other.description.head for other in others])
    return file_name("-".join([data, *heads]))


def _run(plans: Sequence[Plan], out: Path, engine: Any, threads: int, at_once: int) -> None:
    """Every cell that is not done. Raises Stopped."""
    todo = [plan for plan in plans if state_of(plan, out) != "done"]
    session = f"{os.getpid()}-{time.time_ns()}"
    jobs = [_job(plan, out, session, threads, engine.at_once) for plan in todo]
    with Stop() as stop, Progress(plans, out, session, at_once) as progress:
        engine.run(jobs, stop, progress.look)
    if stop.asked:
        done = sum(state_of(plan, out) == "done" for plan in plans)
        raise Stopped(f"stopped; {done} of {len(plans)} cells are done; the same command goes on", stop.asked)


def _job(plan: Plan, out: Path, session: str, threads: int, at_once: int) -> Job:
    steps = [Step(words=words, leaves=[str(file.resolve()) for file in files]) for words, files in plan.steps(out)]
    kept = {name: value for name, value in os.environ.items() if name.startswith("DENSENETS_")}
    kept.pop("DENSENETS_RUN_FOLDER", None)  # of a training in this process
    environment = {**kept, "OMP_NUM_THREADS": str(threads)}
    return Job(plan.name, str(plan.folder(out).resolve()), session, steps, str(Path.cwd()), environment, at_once)


def _told(work: Work, outcome: Outcome | None) -> Outcome:
    """Raises WorkerError, which carries the outcome, where a cell failed or has lost its files."""
    lines = [_failure(plan, work.out) for plan in work.agreed.asked if state_of(plan, work.out) != "done"]
    again = ["the same command tries again and repeats nothing that is done"] if lines else []
    lines += [_loss(work, plan) for plan in work.agreed.cells if plan.name in work.lost]
    if lines or outcome is None:
        fault = WorkerError("\n".join([*lines, *again]))
        fault.outcome = outcome
        raise fault
    return outcome


def _loss(work: Work, plan: Plan) -> str:
    """A checkpoint that lies elsewhere cannot be had again by the same command."""
    remedy = f"delete {printable(plan.folder(work.out))} to have it done anew" if plan.checkpoint is None else ""
    return "; ".join(part for part in (f"{plan.name}: {work.lost[plan.name]}", remedy) if part)


def _failure(plan: Plan, out: Path) -> str:
    folder = plan.folder(out)
    return f"{plan.name}: {printable(_fault(folder))}; see {printable(folder / 'log.txt')}"


def _fault(folder: Path) -> str:
    state = read_state(folder)
    if state.get("fault"):
        return str(state["fault"])
    if state.get("code") in SIGNALS:  # by someone else: where the comparison was stopped itself, this is not told
        return f"was asked to stop ({state['code']})"
    return "not begun" if folder.is_dir() or not os.path.lexists(folder) else f"{folder}: is no folder"
