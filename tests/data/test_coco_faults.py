"""Faults of COCO files: each ends the command in one line, unless a rule of reading allows it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from densenets.config import ReadingRules
from densenets.data import open_split
from densenets.data.dataset import DetectionSplit
from densenets.data.document import floats
from densenets.errors import InputError

Document = dict[str, Any]
Write = Callable[..., Path]
ABSENT = object()


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


def test_corners_are_recognised(coco: Write, document: Document) -> None:
    document["annotations"] = [
        {"id": i, "image_id": 7, "category_id": 3, "bbox": [40 + i, 30, 90, 75]} for i in range(1, 9)
    ]
    with pytest.raises(
        InputError, match=r"looks like x0 y0 x1 y1: 0 of 8 boxes .* 8 as x y width height.*annotations\[0\].*D12"
    ):
        open_split(coco(document), "train")


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


@pytest.mark.parametrize("numbers", [(0, 0, 1e-200, 1e-200), (0, 0, 1e-300, 1e-30)])
def test_a_box_whose_area_vanishes_is_one_without_area(
    numbers: tuple[float, ...], coco: Write, document: Document
) -> None:
    """The judge would refuse it, when a whole epoch is over."""
    document["annotations"][0].update(bbox=list(numbers))
    assert open_split(coco(document), "train").skipped == {"zero-area": 1}
    with pytest.raises(InputError, match=r"has zero area \[D07\]$"):
        open_split(coco(document), "train", rules=ReadingRules(strict=True))
