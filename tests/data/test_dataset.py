"""Samples and batches: what they hold, who may decide what is drawn, and pictures that cannot be read."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noise import speckled
from PIL import Image
from torch.utils.data import DataLoader

from densenets.config import ReadingRules
from densenets.contract import Batch
from densenets.data import open_split
from densenets.data.dataset import DetectionDataset, DetectionSplit, Objects
from densenets.data.decode import PictureError
from densenets.data.samples import Sample, collate
from densenets.data.sampling import KeyedBatchSampler, keyed_hash
from densenets.data.transforms import build_augmentation
from densenets.errors import InputError

CANVAS = (48, 64)


@pytest.fixture
def split(tmp_path: Path, coco: Callable[..., Path]) -> DetectionSplit:
    """13 pictures with 0 to 3 objects, one in four of them a crowd; ids that no float32 can hold."""
    rng = np.random.default_rng(0)
    images = [{"id": 900100581904 + i, "file_name": f"{i}.png", "height": 80, "width": 100} for i in range(13)]
    counts = [i % 4 for i in range(13)]
    annotations = [
        {"id": 900100581904 + k, "image_id": images[i]["id"], "category_id": 10 + k % 3, "iscrowd": int(k % 4 == 0)}
        | {"bbox": [*rng.uniform(0, 50, 2).round(1), 40, 25.5]}
        for k, i in enumerate(i for i in range(13) for _ in range(counts[i]))
    ]
    categories = [{"id": 10 + i, "name": f"class {i}"} for i in range(3)]
    root = coco({"images": images, "annotations": annotations, "categories": categories})
    for i in range(13):
        Image.fromarray(speckled(80, 100, seed=i)).save(root / "train" / f"{i}.png")
    return open_split(root, "train")


def dataset(split: DetectionSplit, recipe: str = "ssd", seed: int = 3, substitute: bool = True) -> DetectionDataset:
    return DetectionDataset(split, build_augmentation(recipe, CANVAS), CANVAS, seed, substitute)


def parts(sample: Sample) -> tuple[Any, ...]:
    """All of a sample as plain values."""
    ignore = None if sample.target.ignore is None else sample.target.ignore.tolist()
    target = (sample.target.boxes.tolist(), sample.target.labels.tolist(), ignore)
    return sample.image.contiguous().numpy().tobytes(), target, sample.info, sample.skipped


def test_a_sample(split: DetectionSplit) -> None:
    found = 0
    for index in range(len(split)):
        sample = dataset(split, "none", substitute=False)[0, index]
        boxes, labels, crowd = split.target(index)
        scale = np.array([0.64, 0.6, 0.64, 0.6])
        assert (sample.image.shape, sample.image.dtype) == ((3, *CANVAS), torch.uint8)
        np.testing.assert_allclose(sample.target.boxes, (boxes * scale)[~crowd], rtol=1e-6)
        assert sample.target.labels.tolist() == labels[~crowd].tolist()
        assert sample.target.labels.dtype == torch.int64
        assert sample.target.boxes.dtype == torch.float32
        assert sample.target.scores is None
        if crowd.any():
            np.testing.assert_allclose(sample.target.ignore, (boxes * scale)[crowd], rtol=1e-6)
            found += 1
        else:
            assert sample.target.ignore is None
        assert sample.info.image_id == 900100581904 + index
        np.testing.assert_allclose(sample.info.scale, (0.64, 0.6))
        np.testing.assert_allclose(sample.info.to_file(sample.target.boxes), boxes[~crowd], rtol=1e-6)
        assert sample.skipped == ()
    assert found > 2


def test_a_batch_is_channels_last(split: DetectionSplit) -> None:
    samples = [dataset(split)[0, index] for index in range(5)]
    batch = collate(samples)
    assert isinstance(batch, Batch)
    assert (batch.images.shape, batch.images.dtype) == ((5, 3, *CANVAS), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert all((image == sample.image).all() for image, sample in zip(batch.images, samples, strict=True))
    assert [info.image_id for info in batch.infos] == [900100581904 + index for index in range(5)]
    assert len(batch.targets) == 5
    assert batch.skipped == ()


def all_samples(split: DetectionSplit, workers: int, epochs: int = 2) -> list[tuple[Any, ...]]:
    epoch = 0
    sampler = KeyedBatchSampler(len(split), 3, 3, lambda: (epoch, 0))
    options = {"multiprocessing_context": "fork", "persistent_workers": True, "timeout": 60} if workers else {}
    loader = DataLoader(dataset(split), batch_sampler=sampler, num_workers=workers, collate_fn=list, **options)
    found = []
    for epoch in range(epochs):  # noqa: B007  (read by the sampler)
        found += [parts(sample) for batch in loader for sample in batch]
    return found


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # 4 workers on a machine of 2 cores
def test_samples_do_not_depend_on_workers_and_never_repeat(split: DetectionSplit) -> None:
    alone = all_samples(split, 0)
    assert len(alone) == 24
    for workers in (1, 2, 4):
        assert all_samples(split, workers) == alone
    pictures = [sample[0] for sample in all_samples(split, 0, epochs=6)]
    assert len(set(pictures)) == len(pictures) == 72


@pytest.mark.slow
def test_samples_are_the_same_in_processes_started_afresh(split: DetectionSplit) -> None:
    keys = [(0, index) for index in range(4)]
    loader = DataLoader(
        dataset(split), sampler=keys, batch_size=2, num_workers=1, collate_fn=list, multiprocessing_context="spawn"
    )
    assert [parts(s) for batch in loader for s in batch] == [parts(dataset(split)[key]) for key in keys]


def test_draws_depend_on_seed_epoch_and_image(split: DetectionSplit) -> None:
    seeds: list[int] = []
    spy = lambda image, boxes, seed, crowd: seeds.append(seed) or build_augmentation("none", CANVAS)(image, boxes, seed)  # noqa: E731
    for seed, epoch, index in itertools.product(range(2), range(3), range(4)):
        DetectionDataset(split, spy, CANVAS, seed)[epoch, index]
        assert seeds[-1] == keyed_hash(seed, epoch, 900100581904 + index)
    assert len(set(seeds)) == 24


def cut_short(split: DetectionSplit, *indices: int) -> None:
    for index in indices:
        path = Path(str(split.files[index]))
        path.write_bytes(path.read_bytes()[:2000])


def test_another_picture_stands_in_for_one_cut_short(split: DetectionSplit) -> None:
    before = [parts(dataset(split)[0, index]) for index in range(13)]
    cut_short(split, 4)
    stand_ins = set()
    for epoch in range(8):
        sample = dataset(split)[epoch, 4]
        (line,) = sample.skipped
        assert line.startswith(str(split.files[4]))
        assert line.endswith("[D01]")
        assert sample.info.image_id != split.image_ids[4]
        assert sample.info.file != split.files[4]
        assert parts(sample) == parts(dataset(split)[epoch, 4])
        stand_ins.add(sample.info.image_id)
    assert len(stand_ins) > 3
    assert [parts(dataset(split)[0, i]) for i in range(13) if i != 4] == before[:4] + before[5:]
    batch = collate([dataset(split)[0, index] for index in (3, 4, 5)])
    assert len(batch.skipped) == 1


def test_evaluation_refuses_a_picture_cut_short(split: DetectionSplit) -> None:
    cut_short(split, 4)
    with pytest.raises(InputError, match=r"4\.png: cut short or damaged: .*\[D01\]"):
        dataset(split, "none", substitute=False)[0, 4]


def test_nothing_stands_in_for_a_picture_of_another_size(split: DetectionSplit) -> None:
    split.sizes[4] = (80, 101)
    with pytest.raises(InputError, match=r"4\.png: the picture is 100x80, the annotations say 101x80 \[D27\]"):
        dataset(split)[0, 4]


def test_a_picture_that_vanished_is_stood_in_for(split: DetectionSplit) -> None:
    Path(str(split.files[4])).unlink()
    (line,) = dataset(split)[0, 4].skipped
    assert line.endswith("4.png: no such file [D41]")


def test_a_worker_s_fault_is_raised_here(split: DetectionSplit) -> None:
    cut_short(split, 4)
    loader = DataLoader(dataset(split, "none", substitute=False), sampler=[(0, 4)], num_workers=1, collate_fn=list)
    with pytest.raises(PictureError, match=r"4\.png: cut short or damaged: .*\[D01\]"):
        list(loader)


def read_by(split: DetectionSplit, **rules: Any) -> DetectionSplit:
    return replace(split, rules=ReadingRules(**rules))


def test_nothing_to_stand_in(split: DetectionSplit) -> None:
    cut_short(split, *range(13))
    split = read_by(split, max_skip=1.0)
    with pytest.raises(InputError, match=r"4\.png: cut short .* \(and 8 pictures tried in its place\)"):
        dataset(split)[0, 4]


def test_one_picture_may_always_be_skipped_and_more_up_to_max_skip(split: DetectionSplit) -> None:
    cut_short(split, 4)
    few = dataset(read_by(split, max_skip=0.01))
    for epoch in range(5):  # the same one again does not count again
        assert few[epoch, 4].skipped
    with pytest.raises(PictureError, match=r"4\.png: cut short"):
        dataset(read_by(split, strict=True))[0, 4]
    with pytest.raises(InputError, match=r"4\.png: .*1 of 13 pictures would be skipped, more than --max-skip 0 allows"):
        dataset(read_by(split, max_skip=0.0))[0, 4]
    cut_short(split, 5, 6)
    some = dataset(read_by(split, max_skip=0.16))
    assert some[0, 4].skipped
    assert some[0, 5].skipped
    with pytest.raises(
        InputError, match=r"6\.png: .* 3 of 13 .*; --max-skip 0\.231 accepts it, if no more follow \[D41\]$"
    ):
        some[0, 6]
    enough = dataset(read_by(split, max_skip=0.231))
    assert all(enough[0, index].skipped for index in (4, 5, 6))


def test_all_loading_processes_count_together(split: DetectionSplit) -> None:
    """Two processes that see one unreadable picture each, of which one is allowed."""
    cut_short(split, 4, 5)
    keys = [(epoch, index) for epoch in range(4) for index in (4, 5)]
    loader = DataLoader(dataset(split), sampler=keys, batch_size=1, num_workers=2, collate_fn=list, timeout=60)
    with pytest.raises(InputError, match=r"2 of 13 pictures would be skipped.*\[D41\]"):
        list(loader)


def test_nothing_stands_in_for_an_animation(split: DetectionSplit) -> None:
    frames = [Image.new("RGB", (100, 80), colour) for colour in ("red", "blue")]
    for form in ("PNG", "GIF"):
        frames[0].save(str(split.files[4]), form, save_all=True, append_images=frames[1:])
        with pytest.raises(PictureError, match=r"4\.png: a.*\[D30\]"):
            dataset(split)[0, 4]


def test_the_cap_on_pixels_is_the_split_s(split: DetectionSplit) -> None:
    assert dataset(read_by(split, max_pixels=0.008), substitute=False)[0, 4].skipped == ()
    with pytest.raises(PictureError, match=r"4\.png: .*more than 0\.0079 million pixels \[D25\]"):
        dataset(read_by(split, max_pixels=0.0079), substitute=False)[0, 4]


class Resident(torch.utils.data.Dataset[int]):
    """The memory that a loading process holds for itself, in bytes: asked at every 40th sample, 0 at the others."""

    def __init__(self, samples: DetectionDataset) -> None:
        self.samples = samples

    def __getitem__(self, key: tuple[int, int]) -> int:
        assert len(self.samples[key].target.boxes) > 0
        if key[1] % 40:
            return 0
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        own = [int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean"))]
        return sum(own) * 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells what a process holds")
def test_loading_processes_do_not_grow_with_the_annotations(tmp_path: Path) -> None:
    """200,000 objects as dictionaries would be copied page by page as a process counts references to them."""
    pictures, each = 2000, 100
    Image.fromarray(speckled(80, 100)).save(tmp_path / "x.png")
    rows = np.repeat(np.arange(pictures), each)
    boxes = np.tile(np.array([[10.0, 10, 60, 70]]), (len(rows), 1))
    labels, ids = np.zeros(len(rows), dtype=np.int64), np.arange(pictures)
    objects = Objects(rows, boxes, boxes, labels, labels.astype(bool), boxes[:, 0], np.arange(len(rows)))
    files, sizes = np.array([str(tmp_path / "x.png")] * pictures), np.tile(np.array([[80, 100]]), (pictures, 1))
    split = DetectionSplit.build(("a",), np.array([1]), ids, files, sizes, objects)
    order = [(0, index) for index in np.random.default_rng(0).permutation(pictures).tolist()]
    samples = Resident(dataset(split, "none", substitute=False))
    loader = DataLoader(samples, sampler=order, batch_size=1, num_workers=1, collate_fn=list, timeout=60)
    held = [own for (own,) in loader if own]
    assert len(held) == pictures // 40
    assert max(held[-10:]) < 1.2 * np.median(held[2:8])


def test_real_pictures(real_data: Path) -> None:
    for folder, recipe in itertools.product(("coco_mini", "bccd"), ("none", "ssd", "ssdlite")):
        split = open_split(real_data / folder, "train")
        for index in range(0, len(split), 5):
            sample = DetectionDataset(split, build_augmentation(recipe, (300, 300)), (300, 300))[1, index]
            assert sample.image.shape == (3, 300, 300)
            boxes = sample.target.boxes
            assert ((boxes[:, :2] >= 0) & (boxes[:, :2] < boxes[:, 2:]) & (boxes[:, 2:] <= 300)).all()
            assert (sample.target.labels >= 0).all()
            assert (sample.target.labels < len(split.classes)).all()
            ignored = 0 if sample.target.ignore is None else len(sample.target.ignore)
            assert recipe != "none" or len(boxes) + ignored == len(split.target(index).boxes)
