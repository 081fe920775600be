"""A folder of PNG files scores as the official evaluation has it, or is refused by name."""

import json
import os
from pathlib import Path

import cityscapes_pairs as masks
import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from PIL import Image

from densenets.contract import IGNORED, Mask
from densenets.errors import InputError, StorageError
from densenets.metrics.prediction_masks import judge_folder, prediction_name, write_prediction
from densenets.metrics.segmentation_iou import MEANS, added, count, scores
from densenets.metrics.segmentation_rules import columns_of, rules_of

CORES = ["aachen_000000_000019", "bad-honnef_000001_000019", "bad-honnef_000010_000019"]


def city(count_: int = 3) -> tuple[masks.Cityscapes, list[masks.Pair]]:
    rng = np.random.default_rng(4)
    pairs = [masks.pair(rng) for _ in range(count_)]
    files = [f"/data/leftImg8bit/val/city/{core}_leftImg8bit.png" for core in CORES[:count_]]
    return masks.Cityscapes(files, [p.truth.shape for p in pairs], [masks.mask(p) for p in pairs]), pairs


def save(path: Path, ids: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids, mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sound predictions of `city`, under three of the names the server takes."""
    for core, name, pair in zip(CORES, ("", "_gtFine_labelIds", "_pred"), city()[1], strict=True):
        save(tmp_path / core.split("_")[0] / f"{core}{name}.png", pair.prediction)
    return tmp_path


def refusal(folder: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        judge_folder(folder, city()[0])
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_a_folder_scores_as_its_pairs(folder: Path) -> None:
    split, pairs = city()
    rules = rules_of(split, of_files=True)
    columns = torch.from_numpy(columns_of(split, rules).astype(np.uint8))
    parts = [count(columns[torch.from_numpy(p.prediction).long()], masks.mask(p), rules) for p in pairs]
    seen = {}
    found = judge_folder(folder, split, seen.__setitem__)
    expected = scores(added(parts, rules), rules)
    assert {name: found[name] for name in expected} == expected
    assert found["counts"]["images"] == 3
    assert [seen[i].shape for i in range(3)] == [p.truth.shape for p in pairs]


def test_the_official_evaluation_finds_what_we_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, _ = city()
    written = []
    for file, (height, width) in zip(split.files, split.sizes, strict=True):
        classes = np.random.default_rng(0).integers(0, 19, (height, width)).astype(np.uint8)
        written.append(write_prediction(tmp_path, file, torch.from_numpy(classes), split.category_ids))
        with Image.open(written[-1]) as image:
            assert (image.mode, image.format, image.size) == ("L", "PNG", (width, height))
            assert np.array_equal(np.array(image), split.category_ids[classes])
    monkeypatch.setattr(official.args, "predictionPath", str(tmp_path))
    monkeypatch.setattr(official.args, "predictionWalk", None)
    truths = [f"/data/gtFine/val/city/{core}_gtFine_labelIds.png" for core in CORES]
    assert [official.getPrediction(official.args, truth) for truth in truths] == [str(path) for path in written]
    assert judge_folder(tmp_path, split)["counts"]["images"] == 3


class Plain:
    """Two images of a folder of pictures and masks, whose void is 11 in files."""

    classes, category_ids, groups = ["sky", "road", "tree"], np.array([0, 1, 4]), None
    counted, instances = np.zeros(3, dtype=bool), None
    files, image_ids, sizes = np.array(["x/img1.jpg", "x/img10.jpg"]), np.array([1, 2]), np.array([[2, 3], [2, 3]])
    train_ids = np.full(256, -1, dtype=np.int16)
    train_ids[[0, 1, 4, 11]] = [0, 1, 2, 255]

    def truth(self, index: int, instances: bool) -> Mask:
        return Mask(torch.tensor([[0, 1, 2], [0, 1, IGNORED]], dtype=torch.uint8))


def test_a_picture_of_any_other_data_set_has_the_prediction_of_its_name(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 4], [1, 11, 4]], dtype=np.uint8)
    save(tmp_path / "img1.png", ids)
    palette = Image.fromarray(ids, "P")
    palette.putpalette([9] * 768)
    palette.save(tmp_path / "img10.png")
    save(tmp_path / "img1_colour.png", np.zeros((9, 9, 3), dtype=np.uint8))  # of no picture
    found = judge_folder(tmp_path, Plain())
    assert found["confusion"] == [[2, 2, 0, 0], [0, 2, 0, 2], [0, 0, 2, 0]]
    assert [found[name] for name in MEANS[1:4]] == [None] * 3
    path = write_prediction(tmp_path, "x/img10.jpg", np.array([[0, 1, 2]] * 2), Plain.category_ids)
    assert (path.name, np.array(Image.open(path)).tolist()) == ("img10.png", [[0, 1, 4]] * 2)
    assert prediction_name("a/aachen_000000_000019_leftImg8bit.png") == "aachen_000000_000019_labelIds.png"


def test_what_predict_wrote_is_read_by_its_list(tmp_path: Path) -> None:
    """Where NAME.png is a drawing; a list that is not of its making does not count."""
    masks = {"img1": [[0, 1, 4], [1, 11, 4]], "img10": [[0, 1, 4], [0, 1, 11]]}
    images = [{"file": f"x/{name}.jpg", "mask": f"{name}-2_ids.png"} for name in masks]
    for name, ids in masks.items():
        save(tmp_path / f"{name}.png", np.zeros((2, 3, 3), dtype=np.uint8))
        save(tmp_path / f"{name}-2_ids.png", np.array(ids, dtype=np.uint8))
    for content in ("{", "[]", '{"images": [5]}', '{"images": [{"file": "img1.jpg"}]}'):
        (tmp_path / "segmentations.json").write_text(content)
        with pytest.raises(InputError, match="3 channels"):
            judge_folder(tmp_path, Plain())
    (tmp_path / "segmentations.json").write_text(json.dumps({"images": images}))
    first = judge_folder(tmp_path, Plain())
    for name in masks:
        (tmp_path / f"{name}-2_ids.png").replace(tmp_path / f"{name}.png")
    (tmp_path / "segmentations.json").unlink()
    assert judge_folder(tmp_path, Plain()) == first

    for bad, said in (([images[0]], "no mask of it in segmentations.json"), ([{**images[0], "mask": "../a"}], "X09")):
        (tmp_path / "segmentations.json").write_text(json.dumps({"images": bad}))
        with pytest.raises(InputError, match=said):
            judge_folder(tmp_path, Plain())


# What is refused


def test_missing_and_double_predictions_are_named(folder: Path) -> None:
    """[V19]"""
    next(folder.rglob(f"{CORES[0]}*")).unlink()
    save(folder / f"{CORES[1]}_color.png", city()[1][1].prediction)
    first, second = refusal(folder)
    assert first.startswith(f"{folder}: no {CORES[0]}*.png: no prediction for /data/")
    both = f"bad-honnef/{CORES[1]}_gtFine_labelIds.png and {CORES[1]}_color.png"
    assert second == f"{both}: 2 predictions for /data/leftImg8bit/val/city/{CORES[1]}_leftImg8bit.png [V19]"


def test_another_size_or_more_channels_are_named(folder: Path) -> None:
    """[V19]"""
    paths = [next(folder.rglob(f"{core}*")) for core in CORES]
    height, width = city()[1][0].truth.shape
    save(paths[0], np.zeros((height, width + 1), dtype=np.uint8))
    for path, channels in zip(paths[1:], (3, 4), strict=True):
        save(path, np.zeros((*np.array(Image.open(path)).shape, channels), dtype=np.uint8))
    told = refusal(folder)
    assert f"{width + 1} x {height} px, but {width} x {height} px has /data/" in told[0]
    assert "3 channels (RGB); a prediction has one [V19]" in told[1]
    assert "4 channels (RGBA); a prediction has one [V19]" in told[2]


@pytest.mark.parametrize("value", [34, 255])
def test_a_value_that_is_no_id_is_named(folder: Path, value: int) -> None:
    """[V18]"""
    path = next(folder.rglob(f"{CORES[2]}*"))
    ids = np.array(Image.open(path))
    ids[0, 0] = value
    save(path, ids)
    assert refusal(folder) == [f"bad-honnef/{path.name}: holds {value}: no id of the data set's files [V18]"]


def test_train_ids_in_place_of_ids_are_refused(folder: Path) -> None:
    """[V18] As a model of 19 classes gives them: no value of theirs is unknown, and the score would be near 0."""
    for path, pair in zip((next(folder.rglob(f"{core}*")) for core in CORES), city()[1], strict=True):
        save(path, np.random.default_rng(0).integers(0, 19, pair.truth.shape).astype(np.uint8))
    (line,) = refusal(folder)
    assert line.startswith(f"{folder}: no file has an id above 18, and most px are of no class (id 0, 1, 2, 3, 4); ")
    assert line.endswith("train ids 0..18, not like ids of files [V18]")


def test_few_classes_of_low_ids_are_no_train_ids(folder: Path) -> None:
    for path, pair in zip((next(folder.rglob(f"{core}*")) for core in CORES), city()[1], strict=True):
        save(path, np.full(pair.truth.shape, 7, dtype=np.uint8))
    assert judge_folder(folder, city()[0])["mIoU"] is not None


def test_files_that_are_no_8_bit_png_are_refused(folder: Path) -> None:
    paths = [next(folder.rglob(f"{core}*")) for core in CORES]
    shapes = [pair.truth.shape for pair in city()[1]]
    save(paths[0], np.full(shapes[0], 7, dtype=np.uint16))
    Image.fromarray(np.ones(shapes[1], dtype=bool)).save(paths[1])
    paths[2].write_bytes(paths[2].read_bytes()[:-30])
    told = refusal(folder)
    assert ["16 bits a px; a prediction has 8 [V19]" in told[0], "1 bits a px" in told[1]] == [True, True]
    assert "no PNG that can be read" in told[2]
    Image.new("L", (3, 3)).save(paths[2], "JPEG")
    assert "no PNG that can be read" in refusal(folder)[2]
    paths[2].unlink()
    os.mkfifo(paths[2])
    assert "is a pipe" in refusal(folder)[2]


def test_damaged_files_are_refused_whatever_they_hold(folder: Path) -> None:
    """Flipped, cut or doubled bytes: a score, where only px are hit, or a line."""
    path, rng = next(folder.rglob(f"{CORES[2]}*")), np.random.default_rng(5)
    whole = path.read_bytes()
    told = []
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        start, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        path.write_bytes(data[:start] + data[end:] if rng.random() < 0.3 else data)
        try:
            judge_folder(folder, city()[0])
        except InputError as fault:
            told.append(str(fault))
    assert len(told) > 200
    assert all(path.name in line for line in told)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder$"):
        judge_folder(tmp_path / "none", city()[0])


def test_two_pictures_of_one_name_cannot_share_a_prediction(tmp_path: Path) -> None:
    split = Plain()
    split.files = np.array(["x/img1.jpg", "y/img1.jpg"])
    save(tmp_path / "img1.png", np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"^y/img1\.jpg: has the name of x/img1\.jpg"):
        judge_folder(tmp_path, split)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_prediction(tmp_path / "none", "a.png", np.zeros((2, 2), dtype=np.uint8), [0])
    with pytest.raises(ValueError, match="8 bits"):
        write_prediction(tmp_path, "a.png", np.zeros((2, 2), dtype=np.uint8), [256])
