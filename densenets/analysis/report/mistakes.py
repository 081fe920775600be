"""What the errors of a detector are, and what each kind costs it."""

from collections.abc import Sequence

from densenets.analysis.comparison import Comparison, Model
from densenets.analysis.report.words import finite, in_order, name, score
from densenets.page import as_text

KINDS = {
    "classification": "Placed well on an object, but named as another class.",
    "localisation": "Named rightly, but the box fits its object too loosely.",
    "both": "Touches an object, yet is neither named rightly nor placed well.",
    "duplicate": "A second box on an object that a better box already found.",
    "background": "A box where no object is.",
    "missed": "An object that no box found, not even a poor one.",
    "false positives": "All wrong boxes together.",
    "false negatives": "All objects without a right box together.",
}


def section(comparison: Comparison) -> str:
    """A chart for each kind, with its meaning in a sentence; "" where no model has such numbers."""
    models = [model for model in in_order(comparison) if model.error_types]
    if not models:
        return ""
    found = dict.fromkeys(key for model in models for key in model.error_types)
    kinds = [key for key in KINDS if key in found] + [key for key in found if key not in KINDS]
    values = [finite(model.error_types.get(key)) or 0.0 for model in models for key in kinds]
    top = max([*values, 1e-9])
    cards = "".join(_card(key, models, top) for key in kinds)
    return (
        f'<section id="errors"><h2>Error types</h2><p class="quiet">AP50 that a model would gain if its errors of this '
        f"one kind were mended and all else stayed; all charts have one scale, up to {score(top)}. The kinds do not "
        f'add up: a mended error often uncovers another.</p><div class="kinds">{cards}</div></section>'
    )


def _card(key: str, models: Sequence[Model], top: float) -> str:
    bars = "".join(_bar(model, finite(model.error_types.get(key)), top) for model in models)
    return (
        f'<figure><h3>{as_text(key.capitalize())}</h3><figcaption class="quiet">{as_text(KINDS.get(key, ""))}'
        f'</figcaption><table class="bars"><tbody>{bars}</tbody></table></figure>'
    )


def _bar(model: Model, value: float | None, top: float) -> str:
    width = 100 * min(1.0, max(0.0, value or 0.0) / top)
    shape = f'<svg viewBox="0 0 100 10" preserveAspectRatio="none"><rect width="{width:.1f}" height="10"/></svg>'
    return (
        f'<tr><th scope="row">{name(model.name, 24)}</th><td class="bar" aria-hidden="true">{shape}</td>'
        f'<td class="number">{score(value)}</td></tr>'
    )
