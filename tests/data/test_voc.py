"""VOC's layout: what is taken as written, what is ignored, and what ends the command in one line."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noise import speckled
from PIL import Image

from densenets.config import ReadingRules
from densenets.data import open_split
from densenets.errors import InputError

Write = Callable[..., Path]

OBJECT = "<object><name>{}</name><difficult>{}</difficult>{}</object>"
CORNERS = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def item(name: str, *corners: object, difficult: object = 0) -> str:
    return OBJECT.format(name, difficult, CORNERS.format(*corners))


def annotation(*items: str, size: str = "<size><width>100</width><height>80</height><depth>3</depth></size>") -> str:
    return f"<annotation><folder>x</folder>{size}{''.join(items)}</annotation>"


@pytest.fixture
def voc(tmp_path: Path) -> Write:
    """Writes annotations by ID and ID lists by split, with pictures of two suffixes."""

    def write(annotations: dict[str, str], splits: dict[str, str]) -> Path:
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (tmp_path / folder).mkdir(parents=True)
        for number, (name, text) in enumerate(annotations.items()):
            (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
            Image.fromarray(speckled(80, 100)).save(tmp_path / "JPEGImages" / f"{name}{('.jpg', '.PNG')[number % 2]}")
        for split, text in splits.items():
            (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def root(voc: Write) -> Path:
    annotations = {
        "c": annotation(item("dog", 0, 0, 100, 80), item("cat", 10.5, 20, 30, 40, difficult=1)),
        "a.b": annotation(item("cat", 1, 2, 3, 4), item("dog", 5, 5, 5, 9)),
        "b b": annotation(),
    }
    return voc(annotations, {"train": "c\na.b\n", "val": "\nb b\n"})


def test_what_is_read(root: Path, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        split = open_split(root, "train")
    assert split.classes == ("cat", "dog")
    assert split.category_ids.tolist() == [1, 2]
    assert split.image_ids.tolist() == [3, 1]  # of the sorted a.b, b b, c
    assert [Path(file).name for file in split.files] == ["c.jpg", "a.b.PNG"]
    assert split.boxes.tolist() == [[0, 0, 100, 80], [10.5, 20, 30, 40], [1, 2, 3, 4]]
    assert split.labels.tolist() == [1, 0, 0]
    assert split.crowd.tolist() == [False, True, False]
    assert split.area.tolist() == [8000, 390, 4]
    assert split.skipped == {"zero-area": 1}
    assert not caplog.records
    assert split.skips == ((str(root / "Annotations" / "a.b.xml"), 'object[1] ("dog")', "zero-area", "D07"),)
    assert split.ground_truth()["annotations"][1] == {
        "id": 2, "image_id": 3, "category_id": 1, "bbox": [10.5, 20, 19.5, 20], "iscrowd": 1, "area": 390,
    }  # fmt: skip


def test_a_box_cut_at_the_edge_is_judged_as_written(voc: Write) -> None:
    split = open_split(voc({"x": annotation(item("a", -0.5, 2, 100.5, 80))}, {"train": "x"}), "train")
    assert split.boxes.tolist() == [[0, 2, 100, 80]]
    (judged,) = split.ground_truth()["annotations"]
    assert (judged["bbox"], judged["area"]) == ([-0.5, 2, 101, 78], 101 * 78)


def test_classes_come_from_train(root: Path) -> None:
    split = open_split(root, "val")
    assert (split.classes, split.image_ids.tolist(), len(split.boxes)) == (("cat", "dog"), [2], 0)
    assert open_split(root, "train", classes=["dog", "cow", "cat"]).labels.tolist() == [0, 2, 2]
    with pytest.raises(InputError, match=r"c.xml: object\[1\] \(\"cat\"\): unknown class; known are dog"):
        open_split(root, "train", classes=["dog"])
    (root / "ImageSets" / "Main" / "train.txt").rename(root / "ImageSets" / "Main" / "fit.txt")
    assert open_split(root, "val").classes == ("cat", "dog")


def test_classes_without_train_are_those_of_all_annotations(voc: Write) -> None:
    annotations = {"1": annotation(item("dog", 1, 2, 3, 4)), "2": annotation(item("cat", 1, 2, 3, 4))}
    root = voc(annotations, {"test": "1", "dog_test": "1  1\n2 -1", "cat_test": "1 -1\n2  1"})
    assert open_split(root, "test").classes == ("cat", "dog")


def test_trainval_has_the_classes_of_its_own(voc: Write) -> None:
    annotations = {"1": annotation(item("dog", 1, 2, 3, 4)), "2": annotation(item("cat", 1, 2, 3, 4))}
    root = voc(annotations, {"train": "1", "val": "2", "trainval": "1\n2"})
    assert open_split(root, "trainval").classes == open_split(root, "val").classes == ("cat", "dog")
    assert open_split(root, "train").classes == ("dog",)


FAULTS = {
    "negative": (annotation(item("a", 5, 5, 4, 9)), r"x.xml: object\[0\] \(\"a\"\): box .* negative .*D08"),
    "not finite": (annotation(item("a", 5, 5, "nan", 9)), r"object\[0\].*not a finite number.*D09"),
    "infinite": (annotation(item("a", 5, 5, "1e999", 9)), r"object\[0\].*not a finite number.*D09"),
    "no number": (annotation(item("a", 5, 5, "six", 9)), r"object\[0\].*xmax is \"six\".*D37"),
    "outside": (annotation(item("a", 5, 5, 6, 9), item("b", 100, 0, 101, 1)), r"object\[1\].*no part inside.*D10"),
    "partly outside": (annotation(item("a", 5, 5, 101.5, 9)), r"object\[0\].*outside.*D11"),
    "no corners": (annotation("<object><name>a</name></object>"), r"object\[0\].*xmin is null.*D37"),
    "no name": (annotation(item(" ", 5, 5, 6, 9)), r"object\[0\].*has no name.*D22"),
    "no size": (annotation(size=""), r"x.xml: size: height is null.*D37"),
    "size of zero": (annotation(size="<size><width>0</width><height>0</height></size>"), r"0x0 is not the size.*D26"),
    "endless size": (annotation(size="<size><width>inf</width><height>9</height></size>"), r"is not the size.*D26"),
    "cut short": (annotation()[:-5], r"x.xml: not valid XML.*D37"),
    "empty": ("", r"x.xml: not valid XML.*D37"),
    "unknown encoding": ('<?xml version="1.0" encoding="none"?><a/>', r"x.xml: not valid XML.*D37"),
    "entities": ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', r"x.xml: declares XML entities"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_one_line_that_names_the_object(name: str, voc: Write) -> None:
    text, words = FAULTS[name]
    root = voc({"x": text}, {"train": "x"})
    with pytest.raises(InputError, match=words) as caught:
        open_split(root, "train")
    assert str(caught.value).isprintable()


def test_files_that_are_not_there(root: Path) -> None:
    with pytest.raises(InputError, match=r"test.txt: no such split; there are train, val"):
        open_split(root, "test")
    (root / "JPEGImages" / "c.jpg").rename(root / "JPEGImages" / "c.json")
    with pytest.raises(InputError, match=r"JPEGImages: \"c\": no such picture \[D23\]"):
        open_split(root, "train")
    (root / "Annotations" / "c.xml").unlink()
    with pytest.raises(InputError, match=r"Annotations: \"c.xml\": no such annotation \[D22\]"):
        open_split(root, "train")
    lists = root / "ImageSets" / "Main"
    for text, words in (("\n", r"no images.*D36"), ("c\nc\n", r"line 2: \"c\" stands in line 1 too.*D19")):
        (lists / "train.txt").write_text(text)
        with pytest.raises(InputError, match=words):
            open_split(root, "train")
    (lists / "train.txt").write_text("c\n../../secret")
    for rules in (ReadingRules(), ReadingRules(follow_symlinks=True)):
        with pytest.raises(InputError, match=r"train.txt: line 2: \"../../secret\" is not inside the data set \[D24\]"):
            open_split(root, "train", rules=rules)


@pytest.mark.parametrize("name", ["ä ö", "🚲", "back\\slash", "x" * 251, "\udcff", "..a", "a\x1cb"], ids=ascii)
def test_any_name_the_system_permits(name: str, voc: Write) -> None:
    root = voc({name: annotation(item("a", 1, 2, 3, 4)), "b": annotation()}, {})
    for mark, end in ((b"", b"\n"), (b"\xef\xbb\xbf", b"\r\n")):
        (root / "ImageSets" / "Main" / "train.txt").write_bytes(mark + os.fsencode(name) + end + b"b")
        split = open_split(root, "train")
        assert (len(split), split.classes, split.picture(0).shape) == (2, ("a",), (80, 100, 3))


def test_all_faults_are_told_in_the_order_of_the_list(voc: Write) -> None:
    bad = annotation(item("a", 9, 9, 5, 20), item("b", 1, 2, 3, 4), item("c", 200, 9, 210, 20))
    root = voc({"2": bad, "1": bad, "3": annotation()}, {"train": "2\n1\n3"})
    with pytest.raises(InputError) as caught:
        open_split(root, "train", classes=["a", "c"])
    lines = str(caught.value).splitlines()
    assert [line[len(str(root)) :].split(" ")[:2] for line in lines] == [
        [f"/Annotations/{name}.xml:", f"object[{number}]"] for name in "21" for number in range(3)
    ]
    assert [line[-5:] for line in lines] == ["[D08]", "[D22]", "[D10]"] * 2


def test_objects_outside_are_left_out_where_allowed(voc: Write) -> None:
    texts = {"1": annotation(item("a", 200, 9, 210, 20), item("a", 1, 2, 3, 4)), "2": annotation(item("a", 5, 5, 5, 9))}
    root = voc(texts, {"train": "1\n2"})
    rules = ReadingRules(skip_invalid=True, max_skip=1)
    split = open_split(root, "train", rules=rules)
    assert split.skipped == {"zero-area": 1, "outside the image": 1}
    assert split.boxes.tolist() == [[1, 2, 3, 4]]
    with pytest.raises(InputError, match=r"Annotations: 2 of 3 annotations .*--max-skip 0.667 accepts it.*\[D07\]$"):
        open_split(root, "train", rules=ReadingRules(skip_invalid=True))
    with pytest.raises(InputError, match=r"(?s)object\[0\].*\[D10\]\n.*object\[0\].* has zero width \[D07\]$"):
        open_split(root, "train", rules=ReadingRules(strict=True))


def test_entities_are_refused_in_any_encoding(voc: Write) -> None:
    root = voc({"1": ""}, {"train": "1"})
    text = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    (root / "Annotations" / "1.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(InputError, match="declares XML entities"):
        open_split(root, "train")


def test_links_lead_out_where_allowed_only(voc: Write, tmp_path: Path) -> None:
    root = voc({"1": annotation(item("a", 1, 2, 3, 4))}, {"train": "1"})
    outside = tmp_path.parent / f"{tmp_path.name}.xml"
    (root / "Annotations" / "1.xml").rename(outside)
    (root / "Annotations" / "1.xml").symlink_to(outside)
    with pytest.raises(InputError, match=r"1.xml: a link leads out of the folder; --follow-symlinks.*\[D24\]"):
        open_split(root, "train")
    assert len(open_split(root, "train", rules=ReadingRules(follow_symlinks=True))) == 1


def test_real_voc(real_data: Path) -> None:
    counts = {"train": (205, 2804, 1), "val": (87, 1137, 1), "test": (72, 945, 0)}  # images, boxes, without area
    seen: set[int] = set()
    for name, (images, boxes, empty) in counts.items():
        split = open_split(real_data / "bccd", name)
        assert split.classes == ("Platelets", "RBC", "WBC")
        assert (len(split), len(split.boxes), split.skipped.get("zero-area", 0)) == (images, boxes, empty)
        assert not seen & set(split.image_ids.tolist())
        seen |= set(split.image_ids.tolist())
    assert seen == set(range(1, 365))
