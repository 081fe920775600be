"""The verdict in words, the ranking, and the cells that have no number."""

from collections.abc import Mapping, Sequence

from densenets.analysis.comparison import EXACT, Cell, Comparison, Interval, Model
from densenets.analysis.report.front import tie_groups
from densenets.analysis.report.heat import score_cell, scores_of
from densenets.analysis.report.tables import Column, number, row_head, sortable
from densenets.analysis.report.words import (
    BY_KEY,
    MISSING,
    Measure,
    doubtful,
    duration,
    finite,
    in_order,
    in_px,
    interval_of,
    measured,
    name,
    names,
    plural,
    said,
    score,
    shortened,
    signed,
    three,
    title_of,
    with_span,
)
from densenets.page import as_text

NOT_RANKED = ("APs", "APm", "APl", "ARs", "ARm", "ARl", "AR1", "AR10")  # they stand with the other scores
MEASURED = [BY_KEY[key] for key in ("parameters", "madds", "file_bytes", "peak_bytes")]
SHOWN_APART = ("padding", "normalize")
FEW = 4  # settings that differ, beside a model's name
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def verdict(comparison: Comparison) -> str:
    """The winner in a sentence that tells who is tied with it, and how far seeds lead away; HTML."""
    ranked = [model for model in in_order(comparison) if model.rank is not None]
    if not ranked:
        return "No model has a number yet."
    return _winner(comparison, ranked) + _by_seeds(ranked, comparison.ranked_by)


def _winner(comparison: Comparison, ranked: Sequence[Model]) -> str:
    best = ranked[0]
    tied = [model for model in ranked[1:] if model.name in best.ties or best.name in model.ties]
    equal = [model for model in ranked[1:] if _is_equal(best, model, comparison.ranked_by)]
    figure = f"{as_text(title_of(comparison.ranked_by))} {with_span(interval_of(best, comparison.ranked_by))}"
    if len(ranked) == 1:
        return f"{name(best.name)} is the only model with a number: {figure}."
    if equal:
        return _equal([best, *equal], figure, [model for model in tied if model not in equal])
    if len(tied) == len(ranked) - 1:
        who = "both models" if len(ranked) == 2 else f"all {len(ranked)} models"
        return f"No winner: {name(best.name)} is highest with {figure}, but {who} are tied."
    if tied:
        return f"{name(best.name)} is best: {figure}; {_tied(tied)} with it."
    return f"{name(best.name)} is best: {figure}, {_ahead(comparison, best, ranked[1])}"


def _by_seeds(ranked: Sequence[Model], key: str) -> str:
    """Where the seeds of one model lie further apart than the first two models, that of those furthest apart."""
    several = [model for model in ranked if key in model.spread]
    values = [finite(interval_of(model, key).value) for model in ranked[:2]]
    if len(values) < 2 or not several or values[0] is None or values[1] is None:
        return ""
    widest = max(several, key=lambda model: model.spread[key][1] - model.spread[key][0])
    (low, high), lead = widest.spread[key], values[0] - values[1]
    if high - low <= lead:
        return ""
    seeds = f"{as_text(title_of(key))} {score(low)} to {score(high)}"
    return (
        f" The seeds of {name(widest.name)} alone lie further apart ({seeds}) than first and second do "
        f"({signed(lead).lstrip('+')}): other seeds may lead to another order."
    )


def _is_equal(one: Model, other: Model, key: str) -> bool:
    first, second = (finite(interval_of(model, key).value) for model in (one, other))
    return first is not None and second is not None and round(first, EXACT) == round(second, EXACT)


def _equal(models: Sequence[Model], figure: str, tied: Sequence[Model]) -> str:
    """models: of the best number, the cheapest first. tied: with them, but lower."""
    first, *others = (model.costs.get("madds") for model in models)
    cheaper = first is not None and all(madds is not None and first < madds for madds in others)
    words = f"No winner: {names([model.name for model in models])} are equal with {figure}"
    words += f"; {name(models[0].name)} needs the fewest MAdds" if cheaper else ""
    return f"{words}; {_tied(tied)} with them." if tied else f"{words}."


def _tied(models: Sequence[Model]) -> str:
    return f"{names([model.name for model in models])} {'is' if len(models) == 1 else 'are'} tied"


def _ahead(comparison: Comparison, best: Model, second: Model) -> str:
    for row in comparison.differences:
        if {row.first, row.second} == {best.name, second.name} and row.difference.value is not None:
            sign = 1 if row.first == best.name else -1
            ends = sorted(sign * end for end in (row.difference.low, row.difference.high) if end is not None)
            shown = [signed(end).lstrip("+") for end in (sign * row.difference.value, *ends)]
            between = f" ({shown[1]} to {shown[2]})" if len(ends) == 2 else ""
            return f"ahead of {name(second.name)} by {shown[0]}{between}."
    return f"ahead of {name(second.name)}."


def groups_of(comparison: Comparison) -> dict[str, str]:
    """The letters of each model: models that share one are tied with each other. None have any where the groups are too
    many to be told apart by letters."""
    order = [model.name for model in in_order(comparison)]
    pairs = [(model.name, other) for model in comparison.models for other in model.ties]
    letters: dict[str, str] = {}
    for at, group in enumerate(tie_groups(order, pairs) or []):
        letter = LETTERS[at % len(LETTERS)] + (str(at // len(LETTERS) + 1) if at >= len(LETTERS) else "")
        for member in group:
            letters[member] = f"{letters.get(member, '')} {letter}".strip()
    return letters


def section(comparison: Comparison) -> str:
    """The table, sorted by rank; every heading sorts."""
    letters = groups_of(comparison)
    scores, shared = _scores(comparison), shared_by(comparison.models)
    timed = comparison.seconds_compare
    columns = _columns(scores, timed)
    rows = [_row(model, letters.get(model.name, ""), scores, shared, timed) for model in in_order(comparison)]
    doubts = " Some latencies are doubtful (?), see Cost." if doubtful(comparison.models) else ""
    alike = f" All models: {', '.join(shared)}." if shared else ""
    return (
        f'<section id="ranking"><h2>Ranking</h2><p class="quiet">Scores are means over seeds, below the first its '
        f"{comparison.level:.0%} interval over images ({comparison.draws:,} draws).{_ties(comparison, letters)}"
        f"{_seeds(comparison)} "
        f"Click a heading to sort; {MISSING} is what was not measured.{alike}{doubts}{_times(comparison)}</p>"
        f"{_budget(comparison.models, columns)}"
        f'<p class="narrow quiet">More columns to the right: the table scrolls sideways.</p>'
        f"{sortable('Ranking', columns, rows, first=0)}</section>"
    )


def _budget(models: Sequence[Model], columns: Sequence[Column]) -> str:
    """What a model may cost at most: the page's script shows it, dims what costs more, names the best of the rest."""
    titles = [column.title for column in columns]
    known = [BY_KEY["p50"], *MEASURED]
    costs = [measure for measure in known if any(measure.of(model) is not None for model in models)]
    if len(models) < 2 or not costs:
        return ""
    choices = "".join(
        f'<option value="{titles.index(cost.words)}">{as_text(f"{cost.unit} {cost.words}")}</option>' for cost in costs
    )
    return (
        '<p class="budget" hidden><label>At most <input type="number" min="0" step="any"></label> '
        f'<select aria-label="cost">{choices}</select> <output></output></p>'
    )


def _times(comparison: Comparison) -> str:
    if comparison.seconds_compare or all(cell.seconds is None for model in comparison.models for cell in model.cells):
        return ""
    return " How long a training took is not ranked: not all are known to have had one machine with one load."


def _ties(comparison: Comparison, letters: Mapping[str, str]) -> str:
    if letters:
        return " Models with the same letter are tied: the interval of their paired difference holds 0."
    if len([model for model in comparison.models if model.rank is not None]) < 2:
        return ""
    if any(model.ties for model in comparison.models):
        return " More groups of models are tied than letters could tell apart: see Differences."
    return " No two models are tied."


def _seeds(comparison: Comparison) -> str:
    if any(model.spread for model in comparison.models):
        return " Seeds: least and most of the seeds' numbers. Where a model has several, its interval is over them too."
    return ""


def _scores(comparison: Comparison) -> list[str]:
    """The ranking's first, even where nobody has it."""
    rest = [key for key in scores_of(comparison) if key not in (comparison.ranked_by, *NOT_RANKED)]
    return [comparison.ranked_by, *rest]


def _columns(scores: Sequence[str], timed: bool) -> list[Column]:
    """timed: how long the trainings took can be compared."""
    ranked, *others = scores
    costs = [Column(measure.words, unit=measure.unit) for measure in MEASURED]
    return [
        Column("rank", "first"),
        Column("model", "name"),
        Column(title_of(ranked), falling=True),
        Column("seeds"),
        *(Column(title_of(key), falling=True) for key in others),
        Column(BY_KEY["p50"].words, unit="ms"),
        *costs,
        *([Column("training")] if timed else []),
    ]


def _row(model: Model, letters: str, scores: Sequence[str], shared: Sequence[str], timed: bool) -> list[str]:
    ranked, *others = scores
    trained = [cell.seconds for cell in model.cells if cell.seconds is not None]
    mean = sum(trained) / len(trained) if trained else None
    return [
        _rank(model, letters),
        row_head(f"{name(model.name)}{_about(model, shared)}", model.name),
        score_cell(interval_of(model, ranked), "strong"),
        _spread(model, ranked),
        *(_plain(interval_of(model, key)) for key in others),
        _latency(model),
        *(cost_cell(model, measure) for measure in MEASURED),
        *([number(mean, duration(mean))] if timed else []),
    ]


def _rank(model: Model, letters: str) -> str:
    if model.rank is None:
        return number(None, MISSING, "first")
    badge = f'<small class="tie">tie {letters}</small>' if letters else ""
    return number(float(model.rank), f"<b>{model.rank}</b>{badge}", "first")


def settings_of(model: Model) -> list[str]:
    """What a model is, in a fixed order, "" where one of the settings needs no word; HTML."""
    start = f"from {name(model.weights, 40)}" if model.weights else "from scratch"
    nets = [name(model.backbone, 30), name(model.head, 30)]
    rules = [f"padding {name(model.padding, 30)}", f"normalize {name(model.normalize, 30)}"]
    return [*nets, f"width {model.width:g}", in_px(model.canvas), _measured(model), start, *rules]


def _measured(model: Model) -> str:
    if model.measured in (None, model.canvas):
        return ""
    return f"costs and latency at {in_px(model.measured)}"


def shared_by(models: Sequence[Model]) -> list[str]:
    """The settings that are the same in all of several models."""
    if len(models) < 2:
        return []
    columns = zip(*map(settings_of, models), strict=True)
    return [column[0] for column in columns if len(set(column)) == 1 and column[0]]


def _about(model: Model, shared: Sequence[str]) -> str:
    """What tells this model from the others, and how many of its cells have a number where some have none."""
    words = [word for word in settings_of(model) if word not in ("", name(model.name), *shared)]
    words += _unequal(model)
    done = sum(cell.state == "done" for cell in model.cells)
    if done < len(model.cells):
        words.append(f"{done} of {plural(len(model.cells), 'cell')} done")
    return f"<small>{', '.join(words)}</small>" if words else ""


def _unequal(model: Model) -> list[str]:
    """That its checkpoints come from elsewhere, and what is known to be other about its training; HTML."""
    differs = {key: value for key, value in model.differs.items() if key not in SHOWN_APART}
    known = [as_text(shortened(f"{key} {said(value)}", 60)) for key, value in differs.items()]
    more = [f"and {plural(len(known) - FEW, 'setting')} more"] if len(known) > FEW else []
    same = f": the very checkpoint of {names(model.same_as)}" if model.same_as else ""
    here = [f"<b>not trained here</b>{same}"] if model.stands_in else []
    return [*here, *([f"unlike the protocol: {', '.join([*known[:FEW], *more])}"] if known else [])]


def _plain(interval: Interval) -> str:
    """Its interval stands with the other scores."""
    return number(finite(interval.value), score(interval.value))


def _spread(model: Model, key: str) -> str:
    if key not in model.spread:
        return number(None, MISSING)
    low, high = model.spread[key]
    seeds = sum(cell.scores.get(key) is not None for cell in model.cells)
    return number(high - low, f"{score(low)} to {score(high)}<small>{plural(seeds, 'seed')}</small>")


def _latency(model: Model) -> str:
    middle, *rest = (BY_KEY[key] for key in ("p50", "p90", "p99"))
    small = "".join(
        f"<small>{measure.key} {three(value)}</small>" for measure in rest if (value := measure.of(model)) is not None
    )
    return number(middle.of(model), measured(model, middle) + small)


def cost_cell(model: Model, measure: Measure) -> str:
    """One cost of one model."""
    return number(measure.of(model), measured(model, measure))


# Cells without a number


def unfinished(comparison: Comparison) -> str:
    """What failed, with its line, and what has not run to its end; "" where all is done."""
    cells = [cell for model in in_order(comparison) for cell in model.cells]
    failed = [cell for cell in cells if cell.state == "failed"]
    open_cells = [cell for cell in cells if cell.state in ("waiting", "running")]
    if not failed and not open_cells:
        return ""
    rows = "".join(map(_failed, failed))
    table = f'<dl class="faults">{rows}</dl>' if failed else ""
    left = f"<p>Not finished: {names([cell.name for cell in open_cells])}.</p>" if open_cells else ""
    title = f"{plural(len(failed), 'cell')} failed" if failed else "Not finished"
    return f'<section id="failed"><h2>{title}</h2>{table}{left}</section>'


def _failed(cell: Cell) -> str:
    fault = as_text(shortened(cell.fault, 600)) if cell.fault else "no reason was written down"
    return f"<dt>{name(cell.name)}</dt><dd>{fault}</dd>"
