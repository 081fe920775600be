"""A tree of Cityscapes on disk, read by our reader and by the official evaluation, gets the same scores from both."""

from pathlib import Path

import cityscapes_pairs as pairs
import numpy as np
import pytest
import torch
from cityscapes_pairs import Pair
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from PIL import Image

from densenets.contract import ImageInfo
from densenets.data import open_segmentation
from densenets.data.samples import info_of
from densenets.metrics.prediction_masks import judge_folder, write_prediction
from densenets.metrics.segmentation_judge import SegmentationJudge
from densenets.metrics.segmentation_rules import rules_of

MEANS = {
    "mIoU": "averageScoreClasses",
    "category_mIoU": "averageScoreCategories",
    "iIoU": "averageScoreInstClasses",
    "category_iIoU": "averageScoreInstCategories",
}
COUNT, SHAPE = 6, (20, 40)


def random_pair(rng: np.random.Generator) -> Pair:
    truth = rng.integers(0, 34, (5, 10)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    prediction = np.where(rng.random(SHAPE) < 0.6, truth, rng.integers(0, 34, SHAPE)).astype(np.uint8)
    return Pair(prediction, truth, pairs.numbered(truth, rng))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """leftImg8bit, gtFine and predictions of a few pictures in two cities."""
    rng = np.random.default_rng(11)
    for k in range(COUNT):
        city = ("aachen", "ulm")[k % 2]
        core = f"{city}_{k:06}_000019"
        pair = random_pair(rng)
        files = {
            f"leftImg8bit/val/{city}/{core}_leftImg8bit.png": np.zeros((*SHAPE, 3), dtype=np.uint8),
            f"gtFine/val/{city}/{core}_gtFine_labelIds.png": pair.truth,
            f"gtFine/val/{city}/{core}_gtFine_instanceIds.png": pair.instances.astype(np.uint16),
            f"predictions/{core}_any.png": pair.prediction,
        }
        for name, pixels in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def theirs(tree: Path, monkeypatch: pytest.MonkeyPatch):
    """The official scores of a folder of predictions."""
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    for name, value in {"quiet": True, "JSONOutput": False}.items():
        monkeypatch.setattr(official.args, name, value)

    def score(folder: Path) -> dict[str, float]:
        truths = sorted(str(path) for path in tree.rglob("*_labelIds.png") if "gtFine" in path.parts)
        monkeypatch.setattr(official.args, "predictionPath", str(folder))
        monkeypatch.setattr(official.args, "predictionWalk", None)
        found = [official.getPrediction(official.args, truth) for truth in truths]
        result = official.evaluateImgLists(found, truths, official.args)
        return {name: result[word] for name, word in MEANS.items()}

    return score


def test_a_folder_of_predictions_with_void_scores_as_officially(tree: Path, theirs) -> None:
    found = judge_folder(tree / "predictions", open_segmentation(tree, "val"))
    assert {name: found[name] for name in MEANS} == pytest.approx(theirs(tree / "predictions"), abs=1e-12)
    assert found["counts"]["images"] == COUNT
    assert found["counts"]["objects"] > 20


def test_what_a_model_scores_is_what_its_submission_scores(tree: Path, theirs) -> None:
    """From logits here, from the files that were written for the server there."""
    split = open_segmentation(tree, "val")
    (tree / "submission").mkdir()

    def write(info: ImageInfo, classes: torch.Tensor) -> None:
        write_prediction(tree / "submission", info.file, classes, split.category_ids)

    judge = SegmentationJudge(rules_of(split), split.image_ids.tolist(), each=write)
    judge.reset()
    for index in range(len(split)):
        logits = torch.randn(1, 19, *SHAPE, generator=torch.Generator().manual_seed(index))
        judge.add(logits, [info_of(split, index, SHAPE)], [split.truth(index, instances=True)])
    found = judge.result()
    assert {name: found[name] for name in MEANS} == pytest.approx(theirs(tree / "submission"), abs=1e-12)
    again = judge_folder(tree / "submission", split)
    assert {name: again[name] for name in MEANS} == {name: found[name] for name in MEANS}


@pytest.mark.parametrize("more", [[], ["boat"]], ids=["another order", "a class more"])
def test_the_order_of_the_classes_changes_no_score(tree: Path, theirs, more: list[str]) -> None:
    """A model may have learnt them in its own, and others besides."""
    own = open_segmentation(tree, "val")
    split = open_segmentation(tree, "val", sorted([*own.classes, *more]))
    found = judge_folder(tree / "predictions", split)
    assert {name: found[name] for name in MEANS} == pytest.approx(theirs(tree / "predictions"), abs=1e-12)
