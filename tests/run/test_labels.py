"""Masks are looked at before a training or a judging spends hours on them."""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from densenets.config import TrainSegmentation
from densenets.contract import Mask
from densenets.data import open_segmentation
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import InputError
from densenets.run import train_segmentation
from densenets.run.labels import SAMPLED, look_at_masks, sampled
from densenets.run.segmentation import Segmentation

sys.path.append(str(Path(__file__).parent.parent / "data"))
from mask_sets import ids, save, shot, write_cityscapes, write_folder


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 1000])
def test_the_first_and_the_last_and_some_between(count: int) -> None:
    places = sampled(count)
    assert (places[0], places[-1], len(places)) == (0, count - 1, min(count, SAMPLED))
    assert places == sorted(set(places))
    assert max(np.diff(places), default=0) <= -(-count // (SAMPLED - 1))


def opened(data: Path, **changes: Any) -> tuple[SegmentationSplit, SegmentationSplit]:
    return Segmentation().open_training(TrainSegmentation(data=str(data), **changes))


def folder(root: Path, count: int = 5) -> Path:
    for split in ("train", "val"):
        write_folder(root, split, count, size=(16, 16))
    return root


@pytest.mark.parametrize(("split", "place"), [("val", "04"), ("val", "00"), ("train", "02")])
def test_an_unknown_id_is_told_before_the_training(tmp_path: Path, split: str, place: str) -> None:
    data = folder(tmp_path / "set")
    save(data / "masks" / split / f"{place}.png", np.full((16, 16), 77, np.uint8))
    settings = TrainSegmentation(data=str(data), out=str(tmp_path / "run"), accelerator="cpu", size=32, workers=0)
    with pytest.raises(
        InputError, match=rf"masks/{split}/{place}.png: .*id 77 on 256 pixels; --ignore-ids 77 .* \[D31\]"
    ):
        train_segmentation(settings)
    assert not (tmp_path / "run").exists()


def test_all_of_the_sample_is_told_at_once(tmp_path: Path) -> None:
    data = folder(tmp_path)
    for place in ("01", "03"):
        broken = data / f"masks/val/{place}.png"
        broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(InputError) as fault:
        opened(data)
    assert [line.partition(":")[0][-6:] for line in str(fault.value).splitlines()] == ["01.png", "03.png"]


def test_too_few_names_are_one_line(tmp_path: Path) -> None:
    data = folder(tmp_path)
    (data / "classes.txt").unlink()
    for place, number in (("01", 77), ("03", 78), ("04", 77)):
        save(data / f"masks/val/{place}.png", np.full((16, 16), number, np.uint8))
    with pytest.raises(InputError) as fault:
        opened(data, classes=["sky", "road", "car"])
    assert str(fault.value) == (
        f"{data}/masks/val/01.png: not of the class list: id 77 on 256 pixels; 2 more masks hold such too, "
        "in all 77 78; --ignore-ids 77 78 takes them as of no class, else --classes lacks a name [D31]"
    )
    opened(data, classes=["sky", "road", "car"], ignore_ids=[77, 78])


def test_ids_that_no_flag_can_take(tmp_path: Path) -> None:
    """Of 16 bits; and so many that their list would help nobody."""
    data = folder(tmp_path)
    save(data / "masks/val/02.png", np.full((16, 16), 300, np.uint16))
    with pytest.raises(InputError, match=r"02\.png: not of the class list: id 300 on 256 pixels \[D31\]$"):
        opened(data)
    save(data / "masks/val/02.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    with pytest.raises(InputError, match=r"and 247 more; --ignore-ids ID \.\.\. takes them as of no class \[D31\]$"):
        opened(data)


@pytest.mark.parametrize("flag", ["train_split", "val_split"])
def test_a_split_that_is_not_there_is_told_with_its_flag(tmp_path: Path, flag: str) -> None:
    with pytest.raises(InputError) as fault:
        opened(folder(tmp_path), **{flag: "x"})
    name = flag.replace("_", "-")
    assert str(fault.value) == f'--{name}: {tmp_path}/images: no split "x"; there are train, val'


def test_no_more_masks_are_read_than_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, original = folder(tmp_path, count=100), SegmentationSplit.truth
    read = []

    def truth(split: SegmentationSplit, index: int, instances: bool = False) -> Mask:
        read.append(index)
        return original(split, index, instances)

    monkeypatch.setattr(SegmentationSplit, "truth", truth)
    opened(data)
    assert len(read) == 2 * SAMPLED


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    """In training another picture takes its place, unless it is strict; a validation would end with it."""
    data = folder(tmp_path)
    spoilt = data / "masks/train/02.png"
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    opened(data)
    with pytest.raises(InputError, match=r"train/02.png: .*\[D01\]"):
        opened(data, strict=True)
    spoilt = data / "masks/val/02.png"
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"val/02.png: .*\[D01\]"):
        opened(data)


def test_objects_that_a_validation_would_read(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_cityscapes(tmp_path, split)
    save(shot(tmp_path, 1, "gtFine", "gtFine_instanceIds", "val"), np.full((32, 64), 26001, np.uint16))
    with pytest.raises(InputError, match=r"instanceIds.png: .* another class than in the mask \[D34\]"):
        opened(tmp_path)


def test_one_pixel_of_a_class_between_the_sampled_is_enough(tmp_path: Path) -> None:
    data = folder(tmp_path, count=40)
    for mask in (data / "masks/train").iterdir():
        save(mask, np.full((16, 16), 255, np.uint8))
    with pytest.raises(InputError, match=r"split train: no pixel of a class in any mask \[D36\]"):
        opened(data)
    lonely = next(place for place in range(40) if place not in sampled(40))
    save(data / f"masks/train/{lonely:02d}.png", ids(16, 16, (1, 255)))
    opened(data)


# Train ids under the name of labelIds

STREET = {"road": (7, 0), "building": (11, 2), "pole": (17, 5), "vegetation": (21, 8), "sky": (23, 10), "car": (26, 13)}
SHARES = [0.4, 0.3, 0.02, 0.16, 0.04, 0.08]


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ([real for real, _ in STREET.values()], False),
        ([mapped for _, mapped in STREET.values()], True),
        ([7, 11, 17, 4, 8, 3], False),  # a road and walls alone, with a little of no class
        ([4, 5, 17, 23, 1, 3], False),  # mostly of no class, with sky
    ],
    ids=["as downloaded", "mapped", "nothing above 18", "mostly void"],
)
def test_train_ids_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: list[int], warned: bool
) -> None:
    write_cityscapes(tmp_path, count=4)
    for number in range(4):
        street = np.random.default_rng(number).choice(np.array(values, np.uint8), (32, 64), p=SHARES)
        save(shot(tmp_path, number, "gtFine", "gtFine_labelIds"), street)
        shot(tmp_path, number, "gtFine", "gtFine_instanceIds").unlink()
    with caplog.at_level(logging.WARNING):
        look_at_masks(open_segmentation(tmp_path, "train"), "set, split train", training=True)
    assert ("look like train ids" in caplog.text) == warned


def test_ids_of_other_sets_are_never_train_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = folder(tmp_path)
    save(data / "masks/train/00.png", np.full((16, 16), 255, np.uint8))
    opened(data)
    assert not caplog.text
