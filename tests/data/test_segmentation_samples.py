"""Samples and batches of pictures with masks: what they hold, what stands in for what, and sizes that differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mask_sets import ids, save, write_cityscapes, write_folder
from noise import speckled

from densenets.config import ReadingRules
from densenets.contract import IGNORED, Batch
from densenets.data import open_segmentation
from densenets.data.decode import PictureError
from densenets.data.mask_transforms import MaskAugmentation
from densenets.data.module import DataModule
from densenets.data.samples import Sample
from densenets.data.segmentation import SegmentationDataset, SegmentationSplit
from densenets.errors import InputError

CANVAS = (24, 32)


def samples(split: SegmentationSplit, seed: int = 3, substitute: bool = True) -> SegmentationDataset:
    return SegmentationDataset(split, MaskAugmentation("seg", CANVAS), None, seed, substitute)


def parts(sample: Sample[Any]) -> tuple[Any, ...]:
    return sample.image.contiguous().numpy().tobytes(), sample.target.ids.numpy().tobytes(), sample.info, sample.skipped


def test_a_sample_to_train_on(tmp_path: Path) -> None:
    split = open_segmentation(write_cityscapes(tmp_path), "train")
    for index in range(3):
        sample = samples(split)[0, index]
        assert (sample.image.shape, sample.image.dtype) == ((3, *CANVAS), torch.uint8)
        assert (sample.target.ids.shape, sample.target.ids.dtype) == (CANVAS, torch.uint8)
        assert sample.target.ids.untyped_storage().nbytes() == 24 * 32  # what goes from process to process
        assert sample.target.instances is None
        assert sample.info.image_id == index + 1


def test_a_sample_to_judge_by(tmp_path: Path) -> None:
    split = open_segmentation(write_cityscapes(tmp_path), "train")
    own, small = (SegmentationDataset(split, canvas=canvas)[0, 1] for canvas in (None, (16, 16)))
    assert (own.image.permute(1, 2, 0).numpy() == split.picture(1)).all()
    assert own.info.scale == (1.0, 1.0)
    assert small.image.shape == (3, 16, 16)
    assert small.info.scale == (0.25, 0.5)
    truth = split.truth(1, instances=True)
    for sample in (own, small):
        assert (sample.target.ids == truth.ids).all()
        assert (sample.target.instances == truth.instances).all()


def test_what_is_drawn_depends_on_seed_epoch_and_image(tmp_path: Path) -> None:
    split = open_segmentation(write_folder(tmp_path), "train")
    keys = [(seed, epoch, index) for seed in range(2) for epoch in range(4) for index in range(3)]
    drawn = [parts(samples(split, seed)[epoch, index]) for seed, epoch, index in keys]
    assert len({picture for picture, *_ in drawn}) == len(keys)
    assert drawn == [parts(samples(split, seed)[epoch, index]) for seed, epoch, index in keys]


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_another_picture_stands_in_for_a_broken_one_or_one_with_a_broken_mask(kind: str, tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    path = root / kind / "train" / "01.png"
    path.write_bytes(path.read_bytes()[:200])
    split = open_segmentation(root, "train")
    sample = samples(split)[0, 1]
    (line,) = sample.skipped
    assert line.startswith(f"{path}: cut short or damaged")
    assert sample.info.image_id != 2
    with pytest.raises(PictureError, match=r"01\.png: cut short .*\[D01\]"):
        samples(split, substitute=False)[0, 1]
    strict = open_segmentation(root, "train", rules=ReadingRules(strict=True))
    with pytest.raises(PictureError, match=r"01\.png: cut short .*\[D01\]"):
        samples(strict)[0, 1]
    none = open_segmentation(root, "train", rules=ReadingRules(max_skip=0))
    with pytest.raises(InputError, match=r"01\.png: .*1 of 3 pictures would be skipped.*\[D41\]"):
        samples(none)[0, 1]


def test_nothing_stands_in_for_a_mask_with_an_unknown_id(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    save(root / "masks" / "train" / "01.png", ids(40, 60, (0, 33)))
    with pytest.raises(InputError, match=r"masks/train/01\.png: .*id 33 on \d+ pixels \[D31\]"):
        samples(open_segmentation(root, "train"))[0, 1]


def test_a_mask_without_any_class_is_trained_on(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    save(root / "masks" / "train" / "01.png", np.full((40, 60), IGNORED, np.uint8))
    sample = samples(open_segmentation(root, "train"))[0, 1]
    assert sample.skipped == ()
    assert (sample.target.ids == IGNORED).all()


def several_sizes(root: Path, sizes: Sequence[tuple[int, int]]) -> SegmentationSplit:
    for i, size in enumerate(sizes):
        save(root / "images" / "val" / f"{i:02d}.png", speckled(*size, seed=i))
        save(root / "masks" / "val" / f"{i:02d}.png", ids(*size, (0, 1), seed=i))
    (root / "classes.txt").write_text("a\nb\n")
    return open_segmentation(root, "val")


SIZES = [(40, 60), (30, 50), (40, 60), (40, 60), (50, 30), (30, 50), (40, 60)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_to_judge_holds_images_of_one_size(workers: int, tmp_path: Path) -> None:
    split = several_sizes(tmp_path, SIZES)
    data = DataModule(None, SegmentationDataset(split), 1, workers, 0, eval_batch=3)
    batches: list[Batch[Any]] = list(data.val_dataloader())
    assert [tuple(batch.images.shape) for batch in batches] == [
        (3, 3, 40, 60), (3, 3, 40, 60), (2, 3, 30, 50), (1, 3, 50, 30),
    ]  # fmt: skip
    assert [[info.image_id for info in batch.infos] for batch in batches] == [[1, 3, 4], [7], [2, 6], [5]]
    for batch in batches:
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for image, target, info in zip(batch.images, batch.targets, batch.infos, strict=False):
            assert (image.permute(1, 2, 0).numpy() == split.picture(info.image_id - 1)).all()
            assert (target.ids == split.truth(info.image_id - 1).ids).all()


def test_shapes_of_batches_do_not_depend_on_the_processes(tmp_path: Path) -> None:
    split = several_sizes(tmp_path, SIZES)
    shape_of: dict[int, set[tuple[int, ...]]] = {}
    for world in (1, 2, 3):
        data = [DataModule(None, SegmentationDataset(split), 2, 0, 0) for _ in range(world)]
        for rank, part in enumerate(data):
            part._place = lambda rank=rank, world=world: (rank, world)  # type: ignore[method-assign, misc]
        loaded = [list(part.val_dataloader()) for part in data]
        assert len({len(batches) for batches in loaded}) == 1
        seen = [info.image_id for batches in loaded for batch in batches for info in batch.infos]
        assert sorted(seen) == [1, 2, 3, 4, 5, 6, 7]
        for batch in (batch for batches in loaded for batch in batches):
            for info in batch.infos:
                shape_of.setdefault(info.image_id, set()).add(tuple(batch.images.shape))
    assert all(len(shapes) == 1 for shapes in shape_of.values())


def test_all_pictures_at_one_size_make_whole_batches(tmp_path: Path) -> None:
    split = several_sizes(tmp_path, SIZES)
    data = DataModule(None, SegmentationDataset(split, canvas=(20, 20)), 4, 0, 0)
    data.leave_out = [2]
    batches = list(data.val_dataloader())
    assert [tuple(batch.images.shape) for batch in batches] == [(4, 3, 20, 20)] * 2
    assert [[info.image_id for info in batch.infos] for batch in batches] == [[1, 2, 4, 5], [6, 7]]
    assert [tuple(target.ids.shape) for target in batches[0].targets] == [SIZES[i] for i in (0, 1, 3, 4)]


def test_training_batches(tmp_path: Path) -> None:
    split = several_sizes(tmp_path, SIZES)
    data = DataModule(samples(split), SegmentationDataset(split), 3, 0, 0)
    batches = list(data.train_dataloader())
    assert (
        [tuple(batch.images.shape) for batch in batches] == [(3, 3, *CANVAS)] * 2 == [(3, 3, 24, 32)] * data.batches(1)
    )
    assert all(target.ids.shape == CANVAS for batch in batches for target in batch.targets)
