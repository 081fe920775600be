"""Cityscapes' layout: its labels, its maps of instances, and masks that others have mapped."""

import re
from pathlib import Path

import numpy as np
import pytest
from mask_sets import raw, save, shot, told, write_cityscapes

from densenets.contract import IGNORED
from densenets.data import open_segmentation
from densenets.data.cityscapes import CLASSES, LABELS
from densenets.data.synthetic import write_cityscapes_streets


def test_cityscapes(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    split = open_segmentation(root, "train")
    assert len(split) == 3
    assert len(split.classes) == 19
    assert split.category_ids.tolist() == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    labels = raw(split.masks[1])
    mask = split.truth(1, instances=True)
    expected = np.full_like(labels, 255)
    for train_id, number in enumerate(split.category_ids):
        expected[labels == number] = train_id
    assert (mask.ids.numpy() == expected).all()
    assert mask.instances is not None
    numbers = raw(shot(root, 1, "gtFine", "gtFine_instanceIds"))
    assert (mask.instances.numpy() == np.where(numbers >= 1000, numbers, 0)).all()
    assert {split.classes[label] for label in np.unique(expected[mask.instances.numpy() > 0])} == {"person", "car"}
    assert split.truth(1).instances is None
    names, group = split.groups or ((), np.empty(0))
    assert [names[i] for i in group] == [label.group for label in LABELS if label.judged]
    assert [name for name, counted in zip(split.classes, split.counted, strict=True) if counted] == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ]  # fmt: skip


def test_the_labels_of_cityscapes_are_the_official_ones() -> None:
    official = pytest.importorskip("cityscapesscripts.helpers.labels")
    theirs = [
        (row.name, row.id, row.category, row.hasInstances, row.trainId not in (255, -1), row.color)
        for row in official.labels
        if row.id >= 0
    ]
    assert theirs == [tuple(label) for label in LABELS]


def rename(root: Path, ending: str) -> None:
    for path in sorted(root.glob("gtFine/train/*/*_gtFine_labelIds.png")):
        path.rename(str(path).replace("_gtFine_labelIds", ending))


@pytest.mark.parametrize(
    ("ending", "what"), [("_gtFine_labelTrainIds", "train ids"), ("_gtFine_color", "colours")]
)  # fmt: skip
def test_masks_that_others_have_mapped_are_refused_by_name(ending: str, what: str, tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    rename(root, ending)
    lines = told(root)
    assert len(lines) == 3
    start = "leftImg8bit/train/lindenau/lindenau_000000_000019_leftImg8bit.png: of its masks there is only "
    assert lines[0].startswith(f"{start}gtFine/train/lindenau/lindenau_000000_000019{ending}.png, which holds {what};")
    assert lines[0].endswith("[D32]")


def test_train_ids_under_the_name_of_label_ids_are_refused(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    path = shot(root, 0, "gtFine", "gtFine_labelIds")
    save(path, np.array(CLASSES.table(), dtype=np.uint8)[raw(path)])
    (line,) = told(root)
    assert re.search(r"_labelIds\.png: not of the class list: id 255 on \d+ pixels \[D31\]", line)


def test_the_street_scenes_are_a_set(tmp_path: Path) -> None:
    root = write_cityscapes_streets(
        tmp_path / "streets", images={"train": 3, "val": 1}, size=(96, 128), workers=1, progress=False
    )
    split = open_segmentation(root, "train")
    for index in range(3):
        mask = split.truth(index, instances=True)
        assert mask.instances is not None
        assert split.counted[mask.ids.numpy()[mask.instances.numpy() > 0]].all()
        assert {"road", "sky"} <= {split.classes[label] for label in np.unique(mask.ids) if label != IGNORED}


def test_maps_of_instances_are_all_there_or_none(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    shot(root, 1, "gtFine", "gtFine_instanceIds").unlink()
    (line,) = told(root)
    assert "lindenau_000001_000019_gtFine_instanceIds.png" in line
    for number in (0, 2):
        shot(root, number, "gtFine", "gtFine_instanceIds").unlink()
    assert open_segmentation(root, "train").instances is None


def test_instances_of_another_class_than_the_mask_s(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    path = shot(root, 1, "gtFine", "gtFine_instanceIds")
    numbers = raw(path).copy()
    numbers[0, 0] = 26003 if raw(shot(root, 1, "gtFine", "gtFine_labelIds"))[0, 0] != 26 else 24003
    save(path, numbers)
    (line,) = told(root)
    assert line.endswith("instanceIds.png: 1 pixels are of an instance of another class than in the mask [D34]")
