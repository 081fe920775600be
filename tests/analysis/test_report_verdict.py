"""Who wins, who is tied, and when nothing is claimed."""

from pathlib import Path

import numpy as np
from reports import Outline, one_model, plain, two, whole

from densenets.analysis.compare.scoring import rank
from densenets.analysis.report import write_report
from densenets.analysis.report.page import build_page
from densenets.analysis.report.ranking import groups_of, shared_by, verdict
from densenets.analysis.uncertainty import Samples


def test_a_winner_is_named_with_its_lead() -> None:
    words = plain(verdict(two(0.5, 0.4, tie=False)))
    assert words == "a is best: AP 0.500 (0.470 to 0.520), ahead of b by 0.100 (0.070 to 0.120)."


def test_a_tie_has_no_winner() -> None:
    words = plain(verdict(two(0.5, 0.49, tie=True)))
    assert words == "No winner: a is highest with AP 0.500 (0.470 to 0.520), but both models are tied."


def test_those_tied_with_the_best_are_named() -> None:
    models = [
        one_model("a", 0.5, 1, ["b", "c"]),
        one_model("b", 0.49, 2, ["a"]),
        one_model("c", 0.48, 3, []),
        one_model("d", 0.1, 4, []),
    ]
    assert plain(verdict(whole(models, []))) == "a is best: AP 0.500 (0.470 to 0.520); b and c are tied with it."
    assert groups_of(whole(models, [])) == {"a": "A B", "b": "A", "c": "B"}


def test_equal_numbers_are_equal_and_the_cheaper_is_first() -> None:
    models = [one_model("a", 0.5, None, []), one_model("b", 0.5, None, []), one_model("c", 0.3, None, [])]
    for model, madds in zip(models, (4e8, 1e8, 1e7), strict=True):
        model.costs = {"madds": madds}
    draws = {"a": [0.4, 0.5, 0.6], "b": [0.4, 0.5, 0.6], "c": [0.2, 0.3, 0.35]}
    basis = (3, 3, "")
    means = {
        one.name: Samples({"AP": one.scores["AP"].value}, {"AP": np.array(draws[one.name])}, basis) for one in models
    }
    differences = rank(models, means, "AP", 0.95)
    assert {model.name: model.rank for model in models} == {"b": 1, "a": 2, "c": 3}
    words = "No winner: b and a are equal with AP 0.500 (0.470 to 0.520); b needs the fewest MAdds"
    assert plain(verdict(whole(models, differences))) == f"{words}."
    models[2].ties = ["b", "a"]
    assert plain(verdict(whole(models, differences))) == f"{words}; c is tied with them."
    models[0].costs = models[1].costs
    assert "MAdds" not in verdict(whole(models, differences))


def test_seeds_that_lie_further_apart_than_the_lead_are_told() -> None:
    found = two(0.5, 0.49, tie=False)
    found.models[1].spread = {"AP": (0.486, 0.494)}
    assert "seeds" not in plain(verdict(found))
    found.models[1].spread = {"AP": (0.48, 0.5)}
    words = "The seeds of b alone lie further apart (AP 0.480 to 0.500) than first and second do (0.010)"
    assert plain(verdict(found)).endswith(f". {words}: other seeds may lead to another order.")


def test_without_numbers_nothing_is_claimed(tmp_path: Path) -> None:
    nobody = whole([one_model("a", None, None, [])], [])
    assert verdict(nobody) == "No model has a number yet."
    assert plain(verdict(whole([one_model("a", 0.0, 1, [])], []))).startswith(
        "a is the only model with a number: AP 0.000"
    )
    files = write_report(nobody, tmp_path)
    assert [file.name for file in files] == ["report.html", "results.csv"]
    Outline(files[0].read_text())
    Outline(build_page(whole([], []), tmp_path))


def test_what_all_models_share_is_said_once() -> None:
    models = [one_model("a", 0.5, 1, []), one_model("b", 0.4, 2, [])]
    net, rules = ["ssdlite", "width 1", "320 × 320 px", "from scratch"], ["padding torch", "normalize imagenet"]
    assert [plain(word) for word in shared_by(models)] == [*net, *rules]
    assert shared_by(models[:1]) == []
