"""A comparison of segmenters over two sizes of crops, trained in this process."""

import json
from pathlib import Path

import pytest
from comparisons import compare_here

from densenets.data.synthetic import write_cityscapes_streets


def test_segmenters_are_ranked_by_mean_iou(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tree = write_cityscapes_streets(
        tmp_path / "tree", images={"train": 4, "val": 3}, size=(64, 96), workers=1, progress=False
    )
    grid = {"backbones": ["v3-small"], "heads": ["lraspp"], "sizes": ["64", "64x96"]}
    outcome, ran = compare_here(monkeypatch, tmp_path / "out", f"--data={tree}", **grid)
    assert ran == ["v3-small-0.35-lraspp-64-seed0", "v3-small-0.35-lraspp-64x96-seed0"]
    found = outcome.results
    assert (found["task"], found["ranked_by"], found["images"]) == ("segmentation", "mIoU", 3)
    assert sorted(model["rank"] for model in found["models"]) == [1, 2]
    assert found["split_use"] == "chosen"
    assert "Judged on val, by which each training's best checkpoint was chosen" in str(outcome)
    assert "Only 3 images: " in str(outcome)
    for model in found["models"]:
        results = json.loads((tmp_path / "out" / model["cells"][0]["folder"] / "results.json").read_text())
        assert model["scores"]["mIoU"]["value"] == pytest.approx(results["mIoU"], abs=1e-12)
        assert {*model["per_class"]} == {*found["classes"]}
        assert model["error_types"] == {}
        assert model["costs"]["madds"] > 1e5
    madds = {model["costs"]["madds"] for model in found["models"]}
    assert len(madds) == 1  # both see the pictures at the same size when they are judged
    assert [tuple(model["canvas"]) for model in found["models"]] == [(64, 64), (64, 96)]
    assert [tuple(model["measured"]) for model in found["models"]] == [(64, 96), (64, 96)]
    assert len(found["colours"]) == len(found["classes"])
    assert found["colours"][found["classes"].index("road")] == "#804080"
    assert found["boxes_from"] is None
    for picture in found["pictures"]:
        assert all((tmp_path / "out" / file).is_file() for file in [picture["truth"], *picture["predictions"].values()])
    assert "mIoU" in str(outcome)
    assert compare_here(monkeypatch, tmp_path / "out", f"--data={tree}", **grid)[1] == []
