"""The cells of a comparison as they were left, and the models they are of."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from densenets.analysis.compare import protocol
from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.ground import Ground
from densenets.analysis.compare.supervisor import LOG, SOME, read_state, warnings_in
from densenets.analysis.comparison import Cell, Model, State
from densenets.build import canvas_of
from densenets.config import Compare
from densenets.errors import DensenetsError, InputError, printable
from densenets.run.evaluation import RESULTS, read_results
from densenets.run.folder import find_checkpoint, run_of
from densenets.training.records import read_rows

AGAIN = Path("again")  # where the commands that the report shows put what they repeat


@dataclass
class Work:
    """What an end is about: the flags, the trainings' settings, and what was agreed on: every cell, done or not.

    lost: why a cell that was done cannot be shown as that, by its name.
    """

    settings: Compare
    training: Any
    task: str
    ground: Ground
    agreed: protocol.Agreed
    out: Path
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> list[Plan]:
        return [plan for plan in self.agreed.cells if self.state(plan) == "done"]

    def state(self, plan: Plan) -> str:
        return "failed" if plan.name in self.lost else state_of(plan, self.out)

    def checkpoint(self, plan: Plan) -> Path:
        return find_checkpoint(plan.checkpoint or str(plan.folder(self.out)))

    def lose(self, plan: Plan, fault: Exception) -> None:
        """A file of this cell is gone or is another one: it has failed, and the others are compared without it."""
        if isinstance(fault, OSError) and fault.filename is not None:
            self.lost[plan.name] = f"{printable(fault.filename)}: cannot be read: {fault.strerror}"
        else:
            self.lost[plan.name] = (str(fault) or type(fault).__name__).splitlines()[0]


def state_of(plan: Plan, out: Path) -> str:
    """How a cell was left; one that is done without its results or predictions waits to be judged again."""
    found = str(read_state(plan.folder(out)).get("state", "waiting"))
    return found if found != "done" or all(file.is_file() for file in plan.proofs(out)) else "waiting"


def models_of(work: Work) -> list[Model]:
    """In the order of the plans, each with all of its cells."""
    found: dict[str, Model] = {}
    differs = _differing(work)
    for plan in work.agreed.cells:
        if plan.model not in found:
            found[plan.model] = _model(work, plan)
            found[plan.model].differs = differs[plan.model]
        found[plan.model].cells.append(_cell(work, plan))
    return list(found.values())


def _model(work: Work, plan: Plan) -> Model:
    return Model(
        name=plan.model,
        task=work.task,
        backbone=plan.backbone,
        head=plan.head,
        width=plan.width,
        canvas=canvas_of(plan.size),
        weights=Path(plan.weights).name if plan.weights else None,
        cells=[],
        stands_in=plan.checkpoint is not None,
        padding=plan.padding,
        normalize=plan.normalize,
    )


def _cell(work: Work, plan: Plan) -> Cell:
    state, word = read_state(plan.folder(work.out)), work.state(plan)
    run = _run_folder(work, plan)
    results, trained = read_results(plan.results(work.out) / RESULTS), read_results(run / RESULTS) if run else {}
    fault, seconds = work.lost.get(plan.name) or str(state.get("fault", "")), trained.get("seconds")
    known, environment = cast(State, word), f"OMP_NUM_THREADS={work.agreed.alike['cell_threads']}"
    return Cell(
        name=plan.name,
        model=plan.model,
        seed=plan.seed,
        folder=str(plan.folder(work.out).relative_to(work.out)),
        state=known,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        fault=fault or None if word == "failed" else None,
        scores={name: value for name, value in results.items() if _is_score(name, value)} if word == "done" else {},
        curves=_curves(run),
        commands=[["env", environment, "densenets", *words] for words in plan.commands(AGAIN)],
        where=where_of(plan, state, trained),
        warnings=warnings_in(plan.folder(work.out) / LOG),
    )


def _run_folder(work: Work, plan: Plan) -> Path | None:
    """Of its training; None where the checkpoint is gone, or lies in none."""
    try:
        return plan.folder(work.out) if plan.checkpoint is None else run_of(work.checkpoint(plan))
    except DensenetsError:
        return None


def _curves(run: Path | None) -> list[dict[str, Any]]:
    try:
        return [] if run is None else read_rows(run / "metrics.csv")
    except (InputError, OSError):
        return []


def _is_score(name: str, value: object) -> bool:
    return (value is None or type(value) is float) and (
        name.startswith("A") or "IoU" in name or name.endswith("accuracy")
    )


def where_of(plan: Plan, state: dict[str, Any], trained: dict[str, Any]) -> str:
    """On what a cell was trained, as far as its seconds depend on it; nothing where another comparison trained it, and
    where nobody knows what else the machine did."""
    host, device = str(state.get("where") or ""), _device(trained)
    return f"{host}, {device}" if plan.checkpoint is None and host and SOME not in host and device else ""


def _device(trained: dict[str, Any]) -> str:
    produced = trained.get("produced_by")
    return str(produced.get("device", "")) if isinstance(produced, dict) else ""


# What differs from the protocol


def _differing(work: Work) -> dict[str, dict[str, Any]]:
    """By model: each entry of its recipe that is not as the protocol has it; of what the protocol leaves open each that
    is not the same for all."""
    equal = work.agreed.alike
    recipes = {plan.model: _recipe(work, plan) for plan in reversed(work.agreed.cells)}
    names = {name for recipe in recipes.values() for name in recipe} - protocol.LOOSE
    open_ = {name for name in names if name not in equal and len({*map(repr, _values(recipes, name))}) > 1}
    return {
        model: {
            name: recipe[name]
            for name in sorted(names & recipe.keys())
            if name in open_ or (name in equal and equal[name] != recipe[name])
        }
        for model, recipe in recipes.items()
    }


def _values(recipes: dict[str, dict[str, Any]], name: str) -> list[Any]:
    return [recipe[name] for recipe in recipes.values() if name in recipe]


def _recipe(work: Work, plan: Plan) -> dict[str, Any]:
    """What is known of how a cell was trained and sees; only what may differ, where the comparison trained it."""
    run = _run_folder(work, plan)
    device = _device(read_results(run / RESULTS)) if run else ""
    known = {**plan.recipe, "padding": plan.padding, "normalize": plan.normalize}
    threads = known.pop("threads", None)
    if threads is not None and "epochs" in work.agreed.alike:  # where nothing is trained here they are the judging's
        known["cell_threads"] = threads
    if "torch" in known:
        known["torch"] = str(known["torch"]).partition("+")[0]  # without the build, as the protocol has it
    return {**known, "device": device} if device else known
