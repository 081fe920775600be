"""COCO files: what is read exactly, what is put right and counted, and what ends the command in one line."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from densenets.config import ReadingRules
from densenets.data import open_split
from densenets.data.coco import load_coco
from densenets.data.dataset import DetectionSplit
from densenets.data.document import floats
from densenets.errors import InputError

Document = dict[str, Any]
Write = Callable[..., Path]
ABSENT = object()


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
    info = split.info(1, (160, 300))
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


def change(item: str, key: str, value: Any) -> Callable[[Document], None]:
    """Sets a key of the first item of a list, or takes it away."""

    def apply(document: Document) -> None:
        if value is ABSENT:
            del document[item][0][key]
        else:
            document[item][0][key] = value

    return apply


def again(item: str) -> Callable[[Document], None]:
    return lambda document: document[item].append(dict(document[item][0]))


def box(*numbers: Any) -> Callable[[Document], None]:
    return change("annotations", "bbox", list(numbers))


FIRST = r"annotations\[0\] \(id 918, image 7 \"a.png\"\)"
FAULTS: dict[str, tuple[Callable[[Document], Any], str]] = {
    "negative width": (box(10, 20, -3, 4), FIRST + r": bbox \[10, 20, -3, 4\] has a negative .*D08"),
    "infinite coordinate": (box(10, 20, 3, 10**400), r"annotations\[0\].*not a finite number.*D09"),
    "whole number too large": (change("annotations", "area", 10**400), r"annotations\[0\].*area.*D09"),
    "negative area": (change("annotations", "area", -1), r"annotations\[0\].*area is -1.*D09"),
    "wholly outside": (box(100, 20, 1, 4), r"annotations\[0\].*no part inside.*D10"),
    "partly outside": (box(90, 20, 11.5, 4), r"annotations\[0\].*outside.*D11"),
    "partly above": (box(9, -1.5, 11, 9), r"annotations\[0\].*outside.*D11"),
    "three numbers": (box(1, 2, 3), r"annotations\[0\].*bbox is \[1, 2, 3\]; it must be 4 numbers.*D43"),
    "five numbers": (box(1, 2, 3, 4, 5), r"annotations\[0\].*4 numbers.*D43"),
    "a text in a box": (box(1, 2, "3", 4), r"annotations\[0\].*4 numbers.*D43"),
    "a bool in a box": (box(1, 2, True, 4), r"annotations\[0\].*4 numbers.*D43"),
    "no box": (change("annotations", "bbox", ABSENT), r"annotations\[0\].*bbox is missing.*D37"),
    "unknown category": (change("annotations", "category_id", 4), r"annotations\[0\].*category_id 4 is unknown.*D22"),
    "unknown image": (change("annotations", "image_id", 8), r"\[0\] \(id 918, image 8\).*image_id 8 is.*D22"),
    "a bool as id": (change("annotations", "image_id", True), r"annotations\[0\].*image_id is true.*D37"),
    "a float as id": (change("annotations", "id", 1.0), r"annotations\[0\].*id is 1.0.*D37"),
    "an id beyond 2^53": (change("annotations", "id", 2**53), r"annotations\[0\].*2\^53.*D37"),
    "no id": (change("annotations", "id", ABSENT), r"annotations\[0\].*id is missing.*D37"),
    "crowd 2": (change("annotations", "iscrowd", 2), r"annotations\[0\].*iscrowd is 2.*D15"),
    "annotation twice": (again("annotations"), r"annotations\[3\].*annotations\[0\].*D20"),
    "image twice": (again("images"), r"images\[2\].*images\[0\].*D19"),
    "category twice": (again("categories"), r"categories\[2\].*categories\[0\].*D18"),
    "name twice": (change("categories", "name", "car"), r"categories\[1\].*its name.*categories\[0\].*D18"),
    "no name": (change("categories", "name", None), r"categories\[0\].*name is null.*D37"),
    "no images": (lambda d: d.update(images=[]), r"no images.*D36"),
    "no categories": (lambda d: d.update(categories=[]), r"no categories.*D36"),
    "no annotations": (lambda d: d.pop("annotations"), r"annotations.*D37"),
    "an item that is a list": (lambda d: d["images"].append([]), r"images\[2\] .*: is not an object.*D37"),
    "image without height": (change("images", "height", ABSENT), r"images\[0\] \(id 42, \"b.png\"\): height.*D37"),
    "image of no width": (change("images", "width", 0), r"images\[0\].*0x80.*D26"),
    "absolute name": (change("images", "file_name", "/etc/passwd"), r"images\[0\].*D24"),
    "climbing name": (change("images", "file_name", "x/../../y.png"), r"images\[0\].*D24"),
    "NUL in a name": (change("images", "file_name", "a\0b.png"), r"images\[0\].*D24"),
    "a name that is a folder": (change("images", "file_name", "."), r"images\[0\].*D24"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_one_line_that_names_the_item(name: str, coco: Write, document: Document) -> None:
    spoil, words = FAULTS[name]
    spoil(document)
    root = coco(document)
    with pytest.raises(InputError, match=words) as caught:
        open_split(root, "train")
    assert str(caught.value).isprintable()
    assert "instances_train.json" in str(caught.value)


TEXTS = {
    "NaN": (
        '{"images": [], "annotations": [{}, {"bbox": [1, 2, NaN, 4]}], "categories": []}',
        r"annotations\[1\].bbox\[2\] is NaN, which is no number \[D09\]",
    ),
    "NaN in what boxes do not need": (
        '{"images": [{"segmentation": [[0, NaN]]}]}',
        r"images\[0\].segmentation\[0\]\[1\] is NaN.*D09",
    ),
    "Infinity": ('{"images": -Infinity}', r"images is -Infinity, .*D09"),
    "nothing but NaN": ("NaN", r"the document is NaN.*D09"),
    "cut short": ('{"images": [{"id": 1', r"not valid JSON.*D37"),
    "byte order mark": ("\ufeff{}", r"BOM.*D37"),
    "deep": ("[" * 100_000, r"nested too deeply.*D37"),
    "number of 5,000 digits": ('{"images": ' + "1" * 5000 + "}", r"not valid JSON.*D37"),
    "key twice": ('{"images": [{"id": 1, "id": 2}]}', r"key \"id\" stands twice in \{\"id\": 2\}.*D37"),
    "a list": ("[]", r"no list \"images\".*D37"),
    "empty": ("", r"not valid JSON.*D37"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_broken_json(name: str, coco: Write) -> None:
    text, words = TEXTS[name]
    with pytest.raises(InputError, match=words) as caught:
        open_split(coco(text), "train")
    assert str(caught.value).isprintable()


def test_float_overflow_is_not_finite(coco: Write, document: Document) -> None:
    text = json.dumps(document).replace("30.5", "1e999")
    root = coco(document)
    (root / "annotations" / "instances_train.json").write_text(text)
    with pytest.raises(InputError, match=r"not a finite number.*D09"):
        open_split(root, "train")


def test_a_number_without_a_float_spoils_no_other() -> None:
    assert floats([10**400, -(10**400), 1e308, 2]).tolist() == [np.inf, -np.inf, 1e308, 2]


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


def test_corners_are_recognised(coco: Write, document: Document) -> None:
    document["annotations"] = [
        {"id": i, "image_id": 7, "category_id": 3, "bbox": [40 + i, 30, 90, 75]} for i in range(1, 9)
    ]
    with pytest.raises(
        InputError, match=r"looks like x0 y0 x1 y1: 0 of 8 boxes .* 8 as x y width height.*annotations\[0\].*D12"
    ):
        open_split(coco(document), "train")


def test_image_without_boxes_is_kept(coco: Write, document: Document) -> None:
    document["annotations"] = []
    split = open_split(coco(document), "train")
    assert (len(split), split.boxes.shape, split.target(0).boxes.shape) == (2, (0, 4), (0, 4))
    assert split.ground_truth()["annotations"] == []


def test_missing_images_are_counted(coco: Write, document: Document) -> None:
    root = coco(document)
    (root / "train" / "a.png").unlink()
    with pytest.raises(InputError, match=r"images\[1\] \(id 7, \"a.png\"\): no such file in .*train \[D23\]"):
        open_split(root, "train")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_stay_inside(kind: str, coco: Write, document: Document, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(b"secret")
    root = coco(document)
    (root / "train" / "a.png").unlink()
    if kind == "file":
        (root / "train" / "a.png").symlink_to(outside / "a.png")
    else:
        (root / "train" / "linked").symlink_to(outside)
        document["images"][1]["file_name"] = "linked/a.png"
        root = coco(document)
    with pytest.raises(InputError, match=r"leads out of the images folder.*D24"):
        open_split(root, "train")


def test_the_folder_itself_may_be_a_link_and_have_folders(coco: Write, document: Document, tmp_path: Path) -> None:
    root = coco(document)
    (root / "train" / "deep").mkdir()
    (root / "train" / "a.png").rename(root / "train" / "deep" / "a.png")
    document["images"][1]["file_name"] = "deep/a.png"
    (root / "annotations" / "instances_train.json").write_text(json.dumps(document))
    (root / "train").rename(tmp_path / "elsewhere")
    (root / "train").symlink_to(tmp_path / "elsewhere")
    assert open_split(root, "train").files[1].endswith("deep/a.png")


NAMES = ["ä ö.png", "line\nend.png", "🚲.png", "back\\slash.png", "x" * 251 + ".png", "\udcff.png", "..double.png"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_the_system_permits(name: str, coco: Write, document: Document) -> None:
    from densenets.data.decode import read_image

    document["images"][0]["file_name"] = name
    split = open_split(coco(document), "train")
    assert read_image(str(split.files[0]), split.sizes[0]).shape == (80, 100, 3)
    with pytest.raises(InputError) as caught:
        read_image(str(split.files[0]), (80, 101))
    assert str(caught.value).isprintable()


def test_classes_by_name(coco: Write, document: Document) -> None:
    root = coco(document)
    split = open_split(root, "train", classes=["toothbrush", "dog", "car"])
    assert split.classes == ("toothbrush", "dog", "car")
    assert split.category_ids.tolist() == [90, 91, 3]
    assert split.labels.tolist() == [2, 0, 2]
    assert [a["category_id"] for a in split.ground_truth()["annotations"]] == [3, 90, 3]
    with pytest.raises(InputError, match=r"categories\[0\] \(id 90, \"toothbrush\"\): not among the classes.*car, dog"):
        open_split(root, "train", classes=["car", "dog"])


LAYOUTS = {
    "annotations/instances_train.json": ["train", "images", "images/train", "images/instances_train"],
    "annotations/instances_train2017.json": ["train2017", "images/train2017", "train", "images"],
}


@pytest.mark.parametrize("file", LAYOUTS)
def test_where_images_are_looked_for(file: str, document: Document, tmp_path: Path) -> None:
    for number, folder in enumerate(LAYOUTS[file]):
        if "instances" in folder:
            continue
        root = tmp_path / str(number)
        (root / folder).mkdir(parents=True)
        (root / "annotations").mkdir()
        (root / file).write_text(json.dumps(document))
        for item in document["images"]:
            Image.new("RGB", (100, 80)).save(root / folder / item["file_name"])
        assert len(open_split(root, "train")) == 2
    with pytest.raises(InputError, match=r"no split \"test\"; looked for instances_test.json"):
        open_split(root, "test")


def read_by(root: Path, **rules: Any) -> DetectionSplit:
    return open_split(root, "train", rules=ReadingRules(**rules))


def test_corners_are_read_where_they_are_said_to_be(coco: Write, document: Document) -> None:
    plain = open_split(coco(document), "train")
    for item in document["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]
    split = read_by(coco(document), box_format="xyxy")
    assert split.boxes.tolist() == plain.boxes.tolist()
    assert split.xywh.tolist() == plain.xywh.tolist()
    assert split.ground_truth() == plain.ground_truth()


def test_other_boxes_are_recognised_where_corners_were_promised(coco: Write, document: Document) -> None:
    document["annotations"][1]["bbox"] = [50, 60, 10, 10]
    with pytest.raises(InputError, match=r"looks like x y width height: 0 of 3 .* --box-format xywh reads it.*D12"):
        read_by(coco(document), box_format="xyxy")


def test_one_box_in_twenty_may_leave_before_the_form_is_doubted(coco: Write, document: Document) -> None:
    """A single box that would fit as corners is a fault of its own in a large file."""
    row = {"image_id": 7, "category_id": 3, "iscrowd": 0}
    document["annotations"] = [{"id": i, "bbox": [i, i, i + 40, i + 20], **row} for i in range(1, 20)]
    document["annotations"].append({"id": 20, "bbox": [60, 50, 70, 60], **row})
    with pytest.raises(InputError, match=r"annotations\[19\].* has more than rounding outside the image \[D11\]$"):
        open_split(coco(document), "train")
    del document["annotations"][0]
    with pytest.raises(InputError, match="D12"):
        open_split(coco(document), "train")


def test_ids_that_stand_twice_are_renumbered_where_allowed(coco: Write, document: Document) -> None:
    for item in document["annotations"]:
        item["id"] = 5
    with pytest.raises(InputError, match=r"(?s)annotations\[1\].*D20.*annotations\[2\].*D20"):
        open_split(coco(document), "train")
    split = read_by(coco(document), renumber=True)
    assert sorted(split.annotation_ids.tolist()) == [5, 6, 7]
    assert split.notes == {"annotations with a new id [D20]": 2}


def test_boxes_outside_are_left_out_where_allowed(coco: Write, document: Document) -> None:
    document["annotations"][0]["bbox"] = [100, 0, 5, 5]
    document["annotations"][2]["bbox"] = [10, 10, 5, 0]
    root = coco(document)
    with pytest.raises(InputError, match=r"\[100, 0, 5, 5\] has no part inside .*--skip-invalid.*\[D10\]$"):
        open_split(root, "train")
    with pytest.raises(
        InputError, match=r"2 of 3 annotations .*: 1 zero-area \[D07\], 1 outside the image \[D10\]; .*\[D07\]$"
    ):
        read_by(root, skip_invalid=True)
    split = read_by(root, skip_invalid=True, max_skip=0.667)
    assert split.skipped == {"zero-area": 1, "outside the image": 1}
    assert [skip.code for skip in split.skips] == ["D07", "D10"]
    assert split.annotation_ids.tolist() == [5]
    with pytest.raises(InputError) as caught:
        read_by(root, skip_invalid=True, strict=True)
    lines = str(caught.value).splitlines()
    assert [line[-31:] for line in lines] == [
        "as no part inside the image [D10]"[-31:],
        "[10, 10, 5, 0] has zero height [D07]"[-31:],
    ]


def test_links_are_followed_where_allowed(coco: Write, document: Document, tmp_path: Path) -> None:
    root = coco(document)
    (root / "train" / "a.png").rename(tmp_path / "a.png")
    (root / "train" / "a.png").symlink_to(tmp_path / "a.png")
    assert read_by(root, follow_symlinks=True).picture(1).shape == (80, 100, 3)


def test_links_that_nothing_names_do_not_matter(coco: Write, document: Document, tmp_path: Path) -> None:
    """A link out of the folder, and one that leads round in a circle, beside the pictures of the split."""
    root = coco(document)
    (root / "train" / "other.png").symlink_to(tmp_path)
    (root / "train" / "circle.png").symlink_to(root / "train" / "circle.png")
    assert len(open_split(root, "train")) == 2
    document["images"][0]["file_name"] = "circle.png"
    (root / "annotations" / "instances_train.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"circle.png\"\): no such file in .*D23"):
        open_split(root, "train")


def test_a_fault_hides_no_other_and_causes_none(coco: Write, document: Document) -> None:
    """What depends on a faulty item is not told too; what does not is."""
    document["images"][0]["id"] = "x"  # annotations[1] is of it
    document["categories"][1]["id"] = None  # annotations[1] and [2] are of it
    document["annotations"][0]["bbox"] = [1, 2]
    document["annotations"][2] = None
    with pytest.raises(InputError) as caught:
        open_split(coco(document), "train")
    places = [line.split(": ")[1].split(" ")[0] for line in str(caught.value).splitlines()]
    assert places == ["categories[1]", "images[0]", "annotations[0]", "annotations[2]"]


def test_values_as_deep_as_the_reader_takes_are_still_one_line(coco: Write, document: Document) -> None:
    text = json.dumps(document)
    for depth in range(700, 1000, 3):
        root = coco(document)
        deep = text.replace('"bbox": [10, 20, 30.5, 40]', f'"bbox": {"[" * depth}{"]" * depth}')
        (root / "annotations" / "instances_train.json").write_text(deep)
        with pytest.raises(InputError, match=r"\[(D43|D37)\]$") as caught:
            open_split(root, "train")
        assert str(caught.value).isprintable()


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


def test_ambiguous_split_and_no_images(coco: Write, document: Document, tmp_path: Path) -> None:
    root = coco(document, split="train2014")
    coco(document, split="train2017")
    with pytest.raises(InputError, match=r"could be any of instances_train2014.json, instances_train2017.json"):
        open_split(root, "train")
    (tmp_path / "other" / "annotations").mkdir(parents=True)
    (tmp_path / "other" / "annotations" / "instances_val.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="no folder of images; looked for"):
        open_split(tmp_path / "other", "val")


@pytest.mark.parametrize("split", ["t", "val20", "", "train2017_extra"])
def test_a_part_of_a_name_is_no_split(split: str, coco: Write, document: Document) -> None:
    root = coco(document)
    for name in ("train2017_extra_old", "trainer", "val2017"):
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(document))
    (root / "_annotations.coco.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="the split is empty" if not split else rf"no split \"{split}\"; looked for"):
        open_split(root, split)
    assert len(open_split(root, "train")) == 2


def test_what_the_system_refuses_is_one_line(coco: Write, document: Document) -> None:
    root = coco(document)
    for place, split in ((root, "x" * 300), (root / ("y" * 300), "train")):
        with pytest.raises(InputError, match="cannot be read: File name too long") as caught:
            open_split(place, split)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("number", [[1], {}, None, "0"], ids=str)
def test_roboflow_with_an_id_that_is_no_number(number: Any, document: Document, tmp_path: Path) -> None:
    document["categories"].insert(0, {"id": number, "name": "things", "supercategory": "none"})
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "_annotations.coco.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"categories\[0\] .*: id is .*; it must be a whole number \[D37\]"):
        open_split(tmp_path, "train")


def test_roboflow(document: Document, tmp_path: Path) -> None:
    for category in document["categories"]:
        category["supercategory"] = "things"
    document["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid" / "_annotations.coco.json").write_text(json.dumps(document))
    for item in document["images"]:
        Image.new("RGB", (100, 80)).save(tmp_path / "valid" / item["file_name"])
    split = open_split(tmp_path, "val")
    assert split.classes == ("car", "toothbrush")
    assert open_split(tmp_path, "valid").classes == ("car", "toothbrush")


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no data set found; looked for annotations/instances_\*.json"):
        open_split(tmp_path, "train")
    with pytest.raises(InputError, match="no such folder"):
        open_split(tmp_path / "absent", "train")
    with pytest.raises(InputError, match=r"absent.json: no such file"):
        load_coco(tmp_path / "absent.json", tmp_path)


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


@pytest.mark.parametrize("numbers", [(0, 0, 1e-200, 1e-200), (0, 0, 1e-300, 1e-30)])
def test_a_box_whose_area_vanishes_is_one_without_area(
    numbers: tuple[float, ...], coco: Write, document: Document
) -> None:
    """The judge would refuse it, when a whole epoch is over."""
    document["annotations"][0].update(bbox=list(numbers))
    assert open_split(coco(document), "train").skipped == {"zero-area": 1}
    with pytest.raises(InputError, match=r"has zero area \[D07\]$"):
        open_split(coco(document), "train", rules=ReadingRules(strict=True))
