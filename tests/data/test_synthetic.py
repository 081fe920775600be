"""The street scenes: the same everywhere, labelled by what is seen, and written whole or not at all."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from densenets.data.synthetic import Scene, render, write_cityscapes_streets, write_streets

SIZE = (128, 192)
FEW = {"train": 40, "val": 20}
IDS = {"person": 1, "bicycle": 2, "car": 3, "bus": 6, "traffic light": 10, "traffic sign": 13}
LABELS = {"person": {24, 25}, "bicycle": {33}, "car": {26}, "bus": {28}, "traffic light": {19}, "traffic sign": {20}}
COUNTED = {24, 25, 26, 28, 33}
CITYSCAPES = {1, 7, 8, 11, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 28, 33}


def digest(scene: Scene) -> str:
    parts = [scene.image.tobytes(), scene.label_ids.tobytes(), scene.instance_ids.tobytes()]
    parts += [repr(item[:4]).encode() for item in scene.objects]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render(11, index, 320, 480) for index in range(120)]


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    return write_streets(tmp_path_factory.mktemp("coco") / "streets", images=FEW, size=SIZE, workers=2, progress=False)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("city") / "streets"
    return write_cityscapes_streets(root, images={"train": 7, "val": 3}, size=SIZE, workers=2, progress=False)


# What a scene is


def test_scene_depends_on_seed_and_index_alone():
    first = [digest(render(5, index, *SIZE)) for index in range(6)]
    assert [digest(render(5, index, *SIZE)) for index in reversed(range(6))] == first[::-1]
    assert len(set(first)) == 6
    assert digest(render(6, 0, *SIZE)) != first[0]


def test_another_process_draws_the_same_scene():
    code = "import test_synthetic as t; print(t.digest(t.render(5, 3, 128, 192)))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    ).stdout
    assert out.strip() == digest(render(5, 3, 128, 192))


@pytest.mark.parametrize("size", [(64, 64), (65, 131), (320, 480), (200, 100), (512, 1024)])
def test_any_size(size):
    scene = render(0, 1, *size)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert (scene.label_ids.shape, scene.label_ids.dtype) == (size, np.uint8)
    assert (scene.instance_ids.shape, scene.instance_ids.dtype) == (size, np.uint16)


def test_labels_and_instances_are_cityscapes(scenes):
    seen = set()
    for scene in scenes:
        labels, instances = scene.label_ids, scene.instance_ids
        seen |= set(np.unique(labels).tolist())
        told_apart = instances >= 1000
        assert (instances[told_apart] // 1000 == labels[told_apart]).all()
        assert (instances[~told_apart] == labels[~told_apart]).all()
        assert set(np.unique(instances[told_apart] // 1000).tolist()) <= COUNTED
    assert seen == CITYSCAPES


def test_objects_are_what_is_seen_of_them(scenes):
    """Box, area, labels and instance numbers all tell of the same pixels, and no instance is without its object."""
    for scene in scenes:
        numbers, taken = set(), np.zeros(scene.label_ids.shape, bool)
        for item in scene.objects:
            rows, columns = np.nonzero(item.mask)
            assert item.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.area == len(rows) >= 20
            assert set(np.unique(scene.label_ids[item.mask]).tolist()) <= LABELS[item.category]
            assert not (taken & item.mask).any()
            taken |= item.mask
            values = np.unique(scene.instance_ids[item.mask])
            assert len(values) == 1
            if item.crowd or item.category.startswith("traffic"):
                assert values[0] < 1000
            else:
                numbers.add(int(values[0]))
                assert (scene.instance_ids == values[0]).sum() == item.area
        assert numbers == set(np.unique(scene.instance_ids[scene.instance_ids >= 1000]).tolist())


def test_the_set_is_neither_bare_nor_overfull(scenes):
    """What a small detector needs: a handful of things an image, few tiny ones, all classes, crowds, empty streets."""
    items = [item for scene in scenes for item in scene.objects]
    things = [item for item in items if not item.crowd]
    assert {item.category for item in things} == set(IDS)
    assert any(item.crowd for item in items)
    assert 0 < sum(not scene.objects for scene in scenes) < 0.15 * len(scenes)
    assert 3.5 < len(things) / len(scenes) < 6.5
    sides = [max((x1 - x0) * 192 / 480, (y1 - y0) * 192 / 320) for _, (x0, y0, x1, y1), *_ in things]
    assert np.mean(np.array(sides) >= 16) > 0.95
    assert np.mean(np.array(sides) < 10) < 0.02
    areas = np.array([item.area for item in things])
    for share in (areas < 32**2, (areas >= 32**2) & (areas < 96**2), areas >= 96**2):
        assert share.mean() > 0.02


def test_pictures_are_neither_flat_nor_clipped(scenes):
    for scene in scenes:
        assert 30 < scene.image.mean() < 220
        assert scene.image.std() > 15
        assert (scene.image == 255).mean() < 0.2


# COCO's layout


def test_pycocotools_reads_it(coco):
    for split, count in FEW.items():
        data = COCO(coco / "annotations" / f"instances_{split}.json")
        assert len(data.getImgIds()) == count
        assert {c["name"]: c["id"] for c in data.loadCats(data.getCatIds())} == IDS
        for image in data.loadImgs(data.getImgIds()):
            with Image.open(coco / split / image["file_name"]) as picture:
                assert (picture.format, picture.size) == ("JPEG", (image["width"], image["height"]))
        for item in data.loadAnns(data.getAnnIds()):
            mask = data.annToMask(item)
            rows, columns = np.nonzero(mask)
            x, y, w, h = item["bbox"]
            assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item["area"] == mask.sum()
            assert isinstance(item["segmentation"]["counts"], list if item["iscrowd"] else str)


def test_annotations_are_numbered_and_belong(coco):
    content = json.loads((coco / "annotations" / "instances_train.json").read_text())
    assert [item["id"] for item in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    assert {item["image_id"] for item in content["annotations"]} <= {image["id"] for image in content["images"]}
    assert sorted(image["file_name"] for image in content["images"]) == sorted(
        path.name for path in (coco / "train").iterdir()
    )


def test_no_scene_is_in_two_splits(coco):
    contents = [path.read_bytes() for path in coco.glob("*/*.jpg")]
    assert len(set(contents)) == len(contents) == sum(FEW.values())
    numbers = [i["id"] for path in coco.glob("annotations/*.json") for i in json.loads(path.read_text())["images"]]
    assert len(set(numbers)) == len(numbers)


def test_number_of_workers_changes_nothing(coco, tmp_path):
    alone = write_streets(tmp_path / "alone", images=FEW, size=SIZE, workers=1, progress=False)
    for path in coco.rglob("*"):
        if path.is_file():
            assert (alone / path.relative_to(coco)).read_bytes() == path.read_bytes(), path.name


# Cityscapes' layout


def test_names_and_values_are_cityscapes(tree):
    for split, count in (("train", 7), ("val", 3)):
        pictures = sorted((tree / "leftImg8bit" / split).glob("*/*.png"))
        assert len(pictures) == count
        for picture in pictures:
            city, sequence, frame, kind = picture.name.split("_")
            assert (city, kind) == (picture.parent.name, "leftImg8bit.png")
            assert len(sequence) == len(frame) == 6
            truth = tree / "gtFine" / split / city / f"{city}_{sequence}_{frame}_gtFine"
            with Image.open(f"{truth}_labelIds.png") as image:
                assert image.mode == "L"
                labels = np.asarray(image)
            with Image.open(f"{truth}_instanceIds.png") as image:
                assert image.mode == "I;16"
                instances = np.asarray(image).astype(int)
            assert labels.shape == instances.shape == SIZE
            assert set(np.unique(labels).tolist()) <= CITYSCAPES
            assert (np.where(instances >= 1000, instances // 1000, instances) == labels).all()
    cities = [{path.name for path in (tree / "gtFine" / split).iterdir()} for split in ("train", "val")]
    assert not cities[0] & cities[1]


def test_both_layouts_show_the_same_scenes(coco, tree):
    with (
        Image.open(coco / "val" / "000001000001.jpg") as lossy,
        Image.open(next(tree.glob("leftImg8bit/val/*/*0000_*"))) as exact,
    ):
        assert np.abs(np.asarray(lossy, int) - np.asarray(exact, int)).mean() < 6
