"""COCO files: what is read exactly, and what is put right and counted."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from densenets.data import open_split
from densenets.data.samples import info_of
from densenets.errors import InputError

Document = dict[str, Any]
Write = Callable[..., Path]


def test_ids_order_and_boxes(coco: Write, document: Document) -> None:
    split = open_split(coco(document), "train")
    assert split.classes == ("car", "toothbrush")
    assert split.category_ids.tolist() == [3, 90]
    assert split.image_ids.tolist() == [42, 7]
    assert [Path(file).name for file in split.files] == ["b.png", "a.png"]
    assert split.sizes.tolist() == [[80, 100], [80, 100]]
    assert split.first.tolist() == [0, 1, 3]
    assert split.annotation_ids.tolist() == [5, 918, 6]
    assert split.boxes.tolist() == [[0, 0, 100, 80], [10, 20, 40.5, 60], [1, 2, 4, 6]]
    assert split.labels.tolist() == [0, 1, 0]
    assert split.crowd.tolist() == [True, False, False]
    assert split.area.tolist() == [8000, 700.25, 12]
    assert split.skipped == {}
    boxes, labels, crowd = split.target(1)
    assert (len(boxes), labels.tolist(), crowd.tolist()) == (2, [1, 0], [False, False])
    info = info_of(split, 1, (160, 300))
    assert (info.image_id, info.height, info.width, info.scale) == (7, 80, 100, (3.0, 2.0))


def test_ground_truth_is_what_pycocotools_reads(coco: Write, document: Document, capsys: Any) -> None:
    judged = COCO()
    judged.dataset = open_split(coco(document), "train").ground_truth()
    judged.createIndex()
    assert sorted(judged.getImgIds()) == [7, 42]
    assert sorted(judged.getCatIds()) == [3, 90]
    assert sorted(judged.getAnnIds()) == [1, 2, 3]
    first = judged.loadAnns(judged.getAnnIds(imgIds=[7], catIds=[90]))[0]
    assert first["bbox"] == [10, 20, 30.5, 40]
    assert (first["area"], first["iscrowd"]) == (700.25, 0)
    assert judged.loadAnns(judged.getAnnIds(imgIds=[42]))[0]["iscrowd"] == 1
    json.dumps(judged.dataset)


def test_ground_truth_is_the_file_s_own_to_the_bit(coco: Write, document: Document) -> None:
    written = [[0.1, 0.2, 0.7, 0.1], [-0.5, 70.3, 101.1, 10.4]]  # 0.1 + 0.7 - 0.1 is not 0.7; the other is cut
    document["annotations"][1]["bbox"] = written[1]
    document["annotations"][2]["bbox"] = written[0]
    split = open_split(coco(document), "train")
    assert split.boxes[0].tolist() == [0, 70.3, 100, 80]
    assert [a["bbox"] for a in split.ground_truth()["annotations"]] == [written[1], [10, 20, 30.5, 40], written[0]]


def test_sparse_ids_come_back_exactly(coco: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for trial in range(20):
        categories = rng.choice(2**52, size=rng.integers(1, 30), replace=False).tolist()
        images = rng.choice(2**52, size=rng.integers(1, 10), replace=False).tolist()
        annotations = [
            {"id": i, "image_id": int(rng.choice(images)), "category_id": int(rng.choice(categories))}
            | {"bbox": [*rng.uniform(0, 40, 4).round(2).tolist()], "iscrowd": int(rng.integers(2))}
            for i in rng.choice(2**52, size=rng.integers(0, 60), replace=False).tolist()
        ]
        document = {
            "images": [{"id": i, "file_name": "x.png", "height": 80, "width": 100} for i in images],
            "annotations": annotations,
            "categories": [{"id": i, "name": f"name {i}"} for i in categories],
        }
        split = open_split(coco(document, tmp_path / str(trial)), "train")
        assert split.category_ids.tolist() == sorted(categories)
        assert [split.classes[k] for k in split.labels] == [f"name {k}" for k in split.category_ids[split.labels]]
        truth = split.ground_truth()
        key = lambda a: (a["image_id"], a["category_id"], a["iscrowd"], *np.round(a["bbox"], 6))  # noqa: E731
        assert sorted(map(key, truth["annotations"])) == sorted(map(key, annotations))
        assert [a["id"] for a in truth["annotations"]] == list(range(1, len(annotations) + 1))


def test_put_right_and_counted(coco: Write, document: Document, caplog: Any) -> None:
    first, second, third = document["annotations"]
    first["bbox"] = [50, 30, 0, 12.5]
    second.pop("iscrowd")
    second.pop("area")
    second["bbox"] = [-1, -0.5, 101.9, 81]
    third["id"] = 0
    root = coco(document)
    with caplog.at_level(logging.WARNING):
        split = open_split(root, "train")
    assert not caplog.records
    assert split.skipped == {"zero-area": 1}
    file = str(root / "annotations" / "instances_train.json")
    assert split.skips == ((file, 'annotations[0] (id 918, image 7 "a.png")', "zero-area", "D07"),)
    assert split.notes == {
        "boxes cut at the edge of their image [D11]": 1,
        "annotations without iscrowd, taken as 0 [D15]": 1,
        "areas taken from the box [D15]": 1,
    }
    assert split.boxes.tolist() == [[0, 0, 100, 80], [1, 2, 4, 6]]
    assert split.area.tolist() == [101.9 * 81, 12]
    assert split.crowd.tolist() == [False, False]
    assert split.annotation_ids.tolist() == [5, 0]
    assert [a["id"] for a in split.ground_truth()["annotations"]] == [1, 2]


def test_tolerance_is_the_larger_of_a_pixel_and_a_hundredth(coco: Write, document: Document) -> None:
    for item in document["images"]:
        item.update(width=1000)
    document["annotations"][0]["bbox"] = [990, 20, 19.9, 4]
    split = open_split(coco(document), "train")
    assert split.boxes[split.annotation_ids == 918].tolist() == [[990, 20, 1000, 24]]


def test_image_without_boxes_is_kept(coco: Write, document: Document) -> None:
    document["annotations"] = []
    split = open_split(coco(document), "train")
    assert (len(split), split.boxes.shape, split.target(0).boxes.shape) == (2, (0, 4), (0, 4))
    assert split.ground_truth()["annotations"] == []


def test_classes_by_name(coco: Write, document: Document) -> None:
    root = coco(document)
    split = open_split(root, "train", classes=["toothbrush", "dog", "car"])
    assert split.classes == ("toothbrush", "dog", "car")
    assert split.category_ids.tolist() == [90, 91, 3]
    assert split.labels.tolist() == [2, 0, 2]
    assert [a["category_id"] for a in split.ground_truth()["annotations"]] == [3, 90, 3]
    with pytest.raises(InputError, match=r"categories\[0\] \(id 90, \"toothbrush\"\): not among the classes.*car, dog"):
        open_split(root, "train", classes=["car", "dog"])


def test_a_category_may_be_called_background_and_have_the_id_0(coco: Write, document: Document) -> None:
    document["categories"][1].update(id=0, name="background")
    for item in document["annotations"][1:]:
        item["category_id"] = 0
    split = open_split(coco(document), "train")
    assert (split.classes, split.category_ids.tolist(), split.labels.tolist()) == (
        ("background", "toothbrush"),
        [0, 90],
        [0, 1, 0],
    )


def test_importing_the_package_is_cheap() -> None:
    heavy = "{'torch', 'cv2', 'albumentations', 'numpy', 'PIL'}"
    code = f"import sys, densenets.data as d; assert d.RECIPES and d.DATASETS; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_real_coco(real_data: Path, caplog: Any) -> None:
    counts = {"train": (50, 470, 5), "val": (50, 382, 5)}
    with caplog.at_level(logging.WARNING):
        for name, (images, boxes, crowds) in counts.items():
            split = open_split(real_data / "coco_mini", name)
            assert (len(split), len(split.boxes), int(split.crowd.sum()), len(split.classes)) == (
                images,
                boxes,
                crowds,
                80,
            )
            assert split.category_ids.tolist()[-1] == 90
            assert (split.classes[0], split.classes[-1]) == ("person", "toothbrush")
            path = real_data / "coco_mini" / "annotations" / f"instances_{name}2017.json"
            written = {a["id"]: a for a in json.loads(path.read_text())["annotations"]}
            for number, box, area, label in zip(
                split.annotation_ids.tolist(), split.boxes, split.area, split.labels, strict=True
            ):
                item = written[number]
                x, y, width, height = item["bbox"]
                np.testing.assert_allclose(box, [x, y, x + width, y + height], atol=1e-9)
                assert (area, split.category_ids[label]) == (item["area"], item["category_id"])
            truth = split.ground_truth()["annotations"]
            for number, judged in zip(split.annotation_ids.tolist(), truth, strict=True):
                assert judged["bbox"] == written[number]["bbox"]
    assert not caplog.records


def test_a_large_file_is_read_fast_and_kept_small(tmp_path: Path, coco: Write) -> None:
    import time

    rng = np.random.default_rng(0)
    count = 20_000
    boxes = np.concatenate([rng.uniform(0, 50, (count, 2)), rng.uniform(1, 20, (count, 2))], axis=1).round(2)
    document = {
        "images": [{"id": i, "file_name": "a.png", "height": 80, "width": 100} for i in range(count // 7)],
        "annotations": [
            {"id": i, "image_id": i % (count // 7), "category_id": 1 + i % 80, "bbox": box, "area": 1.5, "iscrowd": 0}
            | {"segmentation": [[0.5] * 60]}
            for i, box in enumerate(boxes.tolist())
        ],
        "categories": [{"id": 1 + i, "name": str(i)} for i in range(80)],
    }
    root = coco(document)
    start = time.perf_counter()
    split = open_split(root, "train")
    assert time.perf_counter() - start < 3  # 0.15 s here; the real train2017 (43 times this) takes 7 s
    assert len(split.boxes) == count
    arrays = [value for value in vars(split).values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 11
    assert all(array.dtype != object for array in arrays)
