"""A comparison travels as JSON."""

import json

from densenets.analysis.comparison import Cell, Comparison, Difference, Interval, Model, Picture


def test_a_comparison_comes_back_from_json_as_it_was() -> None:
    cell = Cell("v2-s0", "v2", 0, "cells/v2-s0", "done", 12.5, None, {"AP": 0.4}, [{"epoch": 0}], [["train-det"]])
    model = Model("v2", "detection", "v2", "ssdlite", 1.0, (320, 320), None, [cell], rank=1, ties=["v1"])
    model.scores["AP"], model.spread["AP"] = Interval(0.4, 0.3, 0.5), (0.38, 0.42)
    model.per_class["cat"] = Interval(None)
    assert model.measured is None
    model.measured = (320, 320)
    differences = [Difference("v2", "v1", Interval(0.01, -0.02, 0.03), True)]
    pictures = [Picture("1.jpg", "pictures/1.jpg", {"v2": "pictures/1-v2.jpg"})]
    whole = Comparison(
        "detection", "DATA", "val", 3, ["cat"], "AP", 0.95, 1000, [model], differences, pictures, {"epochs": 2},
        {"processor": "a"}, [["compare"]], {"torch": "2"},
    )  # fmt: skip
    assert Comparison.from_plain(json.loads(json.dumps(whole.to_plain()))) == whole
    older = {**whole.to_plain(), "command": ["compare"]}
    del older["commands"]
    for model in older["models"]:
        for name in ("stands_in", "differs", "padding", "normalize", "measured"):
            del model[name]
    whole.models[0].measured = None
    assert Comparison.from_plain(json.loads(json.dumps(older))) == whole
