"""The street scenes: the same everywhere, labelled by what is seen, and written whole or not at all."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from densenets.data.streets import many
from densenets.data.synthetic import Scene, render, write_cityscapes_streets, write_streets
from densenets.errors import DensenetsError, InputError

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


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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
    assert sorted(image["file_name"] for image in content["images"]) == listing(coco / "train")


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


# A folder that is whole or not there


def made(root: Path, **changes) -> Path:
    settings = {"images": {"train": 3}, "size": (64, 96), "workers": 1, "progress": False} | changes
    return write_streets(root, **settings)


def state(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_whole_set_is_used_as_it_is(tmp_path):
    before = state(made(tmp_path / "s"))
    assert state(made(tmp_path / "s", workers=2)) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": (64, 128)}, {"images": {"train": 4}}, {"images": {"val": 3}}])
def test_another_order_replaces_it(tmp_path, change):
    before = (made(tmp_path / "s") / "annotations").stat().st_ino
    assert (made(tmp_path / "s", **change) / "annotations").stat().st_ino != before
    assert listing(tmp_path) == ["s"]


@pytest.mark.parametrize("lost", ["train/000000000002.jpg", "annotations/instances_train.json", "streets.json"])
def test_a_damaged_set_is_drawn_again(tmp_path, lost):
    root = made(tmp_path / "s")
    kept = (root / "train" / "000000000001.jpg").read_bytes()
    (root / lost).unlink()
    made(root)
    assert (root / lost).is_file()
    assert (root / "train" / "000000000001.jpg").read_bytes() == kept


def test_a_damaged_tree_is_drawn_again(tmp_path):
    order = {"images": {"val": 2}, "size": (64, 96), "workers": 1, "progress": False}
    root = write_cityscapes_streets(tmp_path / "s", **order)
    lost = next(root.rglob("*_instanceIds.png"))
    lost.unlink()
    assert write_cityscapes_streets(root, **order) == root
    assert lost.is_file()


def test_nothing_of_others_is_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="mine: holds something else"):
        made(tmp_path / "mine")
    city = write_cityscapes_streets(tmp_path / "c", images={"val": 1}, size=(64, 96), workers=1, progress=False)
    with pytest.raises(InputError, match="holds something else"):
        made(city)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: holds something else"):
        made(tmp_path / "file")
    assert listing(tmp_path / "mine") == ["thesis.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "s").mkdir()
    assert (made(tmp_path / "s") / "streets.json").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": {"../up": 1}}, {"images": {"annotations": 1}}, {"images": {"train": 0}}, {"size": (32, 96)},
        {"size": (64, 9999)}, {"seed": -1},
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_an_input_error(tmp_path, wrong):
    with pytest.raises(InputError):
        made(tmp_path / "s", **wrong)
    assert not listing(tmp_path)


def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        made(tmp_path / "file" / "s")


PROGRAM = """
import sys
from densenets.data.synthetic import write_streets
write_streets(sys.argv[1], images={"train": int(sys.argv[2])}, size=(64, 96), workers=2, progress=False)
"""


def launch(root: Path, count: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(root), str(count)], stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once(tmp_path):
    programs = [launch(tmp_path / "s", 60) for _ in range(2)]
    assert [(program.communicate()[1], program.returncode) for program in programs] == [("", 0)] * 2
    assert len(listing(tmp_path / "s" / "train")) == 60
    assert listing(tmp_path) == ["s"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_program_leaves_no_half_set(tmp_path, how):
    """Nothing stands in the place; what it left beside is cleared by the next one, which waits for no ghost."""
    program = launch(tmp_path / "s", 5000)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".s.*/train/*.jpg")):
        assert program.poll() is None, program.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    program.send_signal(how)
    program.wait(30)
    assert not (tmp_path / "s").exists()
    assert launch(tmp_path / "s", 8).wait(60) == 0
    assert listing(tmp_path) == ["s"]


# Work shared out


def work(job: int) -> int:
    if job == 99:
        raise ValueError("ninety-nine")
    if job == 98:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_all_jobs_come_back(workers):
    with many.drawn_by_many(work, range(7), workers) as results:
        assert sorted(results) == [(job, job * job) for job in range(7)]


def test_a_fault_in_a_process_is_raised():
    with pytest.raises(ValueError, match="ninety-nine"), many.drawn_by_many(work, [1, 2, 99], 2) as results:
        list(results)
    with pytest.raises(DensenetsError, match="killed"), many.drawn_by_many(work, [1, 98], 2) as results:
        list(results)


class OtherPipe:
    """The end of a pipe as Windows has it: no Connection."""

    def __init__(self, end) -> None:
        self.fileno, self.recv = end.fileno, end.recv


def test_ends_of_pipes_may_be_of_any_class(monkeypatch):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.send((0, "done"))
    sender.close()
    rounds = iter([many.wait] * 2)
    monkeypatch.setattr(many, "wait", lambda ends: next(rounds)(ends))
    assert list(many._collect([OtherPipe(receiver)], 1)) == [(0, "done")]


def test_who_waits_for_another_says_so(tmp_path, caplog):
    fcntl = pytest.importorskip("fcntl")
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    waiting = threading.Thread(target=made, args=(tmp_path / "s",))
    with caplog.at_level("INFO", "densenets"):
        waiting.start()
        patience = time.monotonic() + 20
        while not caplog.records and time.monotonic() < patience:
            time.sleep(0.01)
        said = [record.getMessage() for record in caplog.records]
        os.close(other)
        waiting.join()
    assert said == [f"{tmp_path}: waiting for another process that draws the scenes"]
    assert (tmp_path / "s" / "streets.json").is_file()


def test_threads_that_ask_at_once_get_one_set(tmp_path):
    faults = []

    def ask() -> None:
        try:
            made(tmp_path / "s", images={"train": 12})
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(listing(tmp_path / "s" / "train")) == 12
