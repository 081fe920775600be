"""Several processes judge as one, to the last bit; what a model or a process does wrong is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import shards
import torch

from densenets.contract import Detections, ImageInfo
from densenets.errors import DivergedError, InputError
from densenets.metrics import judge as module
from densenets.metrics.coco_map import NUMBERS
from densenets.metrics.judge import CocoJudge, Share
from densenets.metrics.parts import part_files, read_parts
from densenets.metrics.predictions import joined

SIZES = [str(size) for size in range(1, 41)]


def in_processes(world: int, folder: Path) -> list[dict[str, dict]]:
    """What each process says of every size."""
    folder.mkdir()
    words = [str(world), str(folder / "meet"), str(folder / "out"), *SIZES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("shards.py"))]
    started = [subprocess.Popen([*command, str(rank), *words], env=environment) for rank in range(world)]
    assert [process.wait(timeout=120) for process in started] == [0] * world
    return [json.loads((folder / f"out.{rank}").read_text()) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_and_any_order_give_the_same_bits(tmp_path: Path, world: int) -> None:
    """1 to 40 images: with fewer than processes some have none."""
    alone = {size: shards.judged(int(size), 0, 1) for size in SIZES}
    assert sum(metrics["AP"] not in (None, 0.0) for metrics in alone.values()) > 30
    assert len({metrics["AP"] for metrics in alone.values()}) > 30
    every = in_processes(world, tmp_path / str(world))
    for metrics in every:
        assert metrics == alone  # every number of every class, in every process
    assert len(part_files(tmp_path / str(world))) == world  # of the last size
    assert sorted(read_parts(part_files(tmp_path / str(world))).predictions.images) == list(range(1, 41))


def batch(images: list[int], score: float = 0.5, box: float = 40.0, rows: int | None = None) -> tuple:
    """Detections of one box an image and their infos; rows: images in the batch, filling included."""
    count = rows or len(images)
    boxes = torch.tensor([[[10.0, 10.0, box, 50.0]]]).repeat(count, 1, 1)
    infos = [ImageInfo(image, f"{image}.jpg", 200, 200, (1.0, 1.0)) for image in images]
    return Detections(boxes, torch.zeros(count, 1, dtype=torch.int64), torch.full((count, 1), score)), infos


def judge_of(size: int, folder: Path | None = None) -> CocoJudge:
    judge = CocoJudge(shards.scene(size)[0], shards.IDS, folder)
    judge.reset()
    return judge


def test_what_fills_a_batch_up_counts_for_nothing() -> None:
    plain, filled = judge_of(3), judge_of(3)
    plain.add(*batch([1, 2, 3]))
    filled.add(*batch([1, 2], rows=4))
    filled.add(*batch([3], rows=4))
    assert filled.result() == plain.result()
    assert plain.result()["counts"]["detections"] == 3


@pytest.mark.parametrize("bad", [{"score": float("nan")}, {"box": float("nan")}, {"box": float("inf")}])
def test_images_for_which_a_model_gives_no_numbers_are_all_named(bad: dict[str, float], tmp_path: Path) -> None:
    """[V03] Exit code 3, and what was sound is on disk."""
    judge = judge_of(4, tmp_path)
    judge.add(*batch([3], **bad))
    judge.add(*batch([2]))
    judge.add(*batch([1, 4], **bad))
    with pytest.raises(DivergedError) as caught:
        judge.result()
    assert caught.value.exit_code == 3
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["1.jpg", "3.jpg", "4.jpg"]
    assert all(line.endswith("not finite [V03]") for line in lines)
    assert read_parts(part_files(tmp_path)).predictions.images.tolist() == [2]


def test_more_than_20_such_images_are_counted() -> None:
    judge = judge_of(40)
    judge.add(*batch(list(range(1, 41)), score=float("nan")))
    with pytest.raises(DivergedError, match=r"and 20 more problems$"):
        judge.result()


def test_an_image_that_two_processes_judged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """[V14] As a sampler that fills the shards up would have it."""
    judge = judge_of(3)
    judge.add(*batch([1, 2]))
    other = [Share([3, 2], joined(judge.columns), []), Share([1], joined([]), [])]
    monkeypatch.setattr(module, "on_the_first", lambda share: [share, *other])
    with pytest.raises(InputError) as caught:
        judge.result()
    assert str(caught.value).splitlines() == [
        "image 2: judged by process 0 and again by process 1 [V14]",
        "image 1: judged by process 0 and again by process 2 [V14]",
    ]


def test_an_image_that_no_process_judged_is_refused() -> None:
    judge = judge_of(3)
    judge.add(*batch([1, 3]))
    with pytest.raises(InputError, match=r"^image 2: not judged.*\[V06\]$"):
        judge.result()


def test_each_pass_starts_anew(tmp_path: Path) -> None:
    judge = judge_of(2, tmp_path)
    (tmp_path / "predictions.part1.jsonl").write_text("of an earlier pass that had two processes\n")
    for score in (0.3, 0.6):
        judge.reset()
        judge.add(*batch([1, 2], score))
        assert judge.result() is judge.result()  # judged once
    assert read_parts(part_files(tmp_path)).predictions.found.score.tolist() == [pytest.approx(0.6)] * 2
    assert [set(NUMBERS) <= judge.result().keys(), judge.predictions().images.tolist()] == [True, [1, 2]]


def test_what_an_earlier_process_judged_is_gone_on_with(tmp_path: Path) -> None:
    whole, first = judge_of(3), judge_of(3, tmp_path)
    whole.add(*batch([1, 2, 3]))
    first.add(*batch([3]))
    first.add(*batch([1]))
    earlier = read_parts(part_files(tmp_path))
    second = CocoJudge(shards.scene(3)[0], shards.IDS, tmp_path, {}, earlier.predictions)
    second.reset()
    second.add(*batch([2]))
    assert second.result() == whole.result()
    assert read_parts(part_files(tmp_path)).predictions.images.tolist() == [3, 1, 2]
