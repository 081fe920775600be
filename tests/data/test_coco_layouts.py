"""Where the files of a COCO set are looked for: folders, splits, names and links."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from densenets.config import ReadingRules
from densenets.data import open_split
from densenets.data.coco import load_coco
from densenets.errors import InputError

Document = dict[str, Any]
Write = Callable[..., Path]


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


def test_links_are_followed_where_allowed(coco: Write, document: Document, tmp_path: Path) -> None:
    root = coco(document)
    (root / "train" / "a.png").rename(tmp_path / "a.png")
    (root / "train" / "a.png").symlink_to(tmp_path / "a.png")
    assert open_split(root, "train", rules=ReadingRules(follow_symlinks=True)).picture(1).shape == (80, 100, 3)


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
