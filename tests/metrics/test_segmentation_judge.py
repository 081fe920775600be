"""Several processes judge as one, to the last bit; what a model or a process does wrong is told; nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import segments
import torch

from densenets.contract import ImageInfo, Mask
from densenets.errors import DivergedError, InputError, StorageError
from densenets.metrics import segmentation_judge as module
from densenets.metrics.parts import part_file, part_files
from densenets.metrics.segmentation_iou import MEANS, nothing
from densenets.metrics.segmentation_judge import Counted, SegmentationJudge, Share, read_counted

SIZES = [str(size) for size in (*range(1, 11), 40)]


def in_processes(world: int, folder: Path) -> list[dict[str, dict]]:
    """What each process says of every size."""
    folder.mkdir()
    words = [str(world), str(folder / "meet"), str(folder / "out"), *SIZES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("segments.py"))]
    started = [subprocess.Popen([*command, str(rank), *words], env=environment) for rank in range(world)]
    assert [process.wait(timeout=120) for process in started] == [0] * world
    return [json.loads((folder / f"out.{rank}").read_text()) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_and_any_order_give_the_same_bits(tmp_path: Path, world: int) -> None:
    """1 image and more: with fewer than processes some have none."""
    alone = {size: segments.judged(int(size), 0, 1) for size in SIZES}
    for name in MEANS:
        assert len({scores[name] for scores in alone.values()}) > 9
    every = in_processes(world, tmp_path / str(world))
    for scores in every:
        assert scores == alone
    assert len(part_files(tmp_path / str(world))) == world  # of the last size
    evaluation, counted = read_counted(part_files(tmp_path / str(world)), segments.RULES)
    assert (evaluation, sorted(counted.images)) == ({}, list(range(1, 41)))
    assert module.told(counted, segments.RULES) == alone["40"]


def judge_of(size: int, folder: Path | None = None, **rest: Any) -> SegmentationJudge:
    judge = SegmentationJudge(segments.RULES, range(1, size + 1), folder, **rest)
    judge.reset()
    return judge


def fill(judge: SegmentationJudge, numbers: list[int], filling: int = 0, spoil: float | None = None) -> None:
    """One batch; filling: images at its end that count for nothing; spoil: a logit of the first image."""
    parts = [segments.image(number) for number in numbers + numbers[:1] * filling]
    logits = torch.stack([part[0] for part in parts])
    if spoil is not None:
        logits[0, 2, 3, 3] = spoil
    judge.add(logits, [part[1] for part in parts][: len(numbers)], [part[2] for part in parts][: len(numbers)])


def test_what_fills_a_batch_up_counts_for_nothing() -> None:
    plain, filled = judge_of(3), judge_of(3)
    fill(plain, [1, 2, 3])
    fill(filled, [1, 2], filling=2)
    fill(filled, [3], filling=3)
    assert filled.result() == plain.result()
    assert plain.result()["counts"]["images"] == 3


def test_a_class_is_chosen_at_the_file_s_size() -> None:
    """Where two px meet, the logits are brought between before one of them wins."""
    logits = torch.tensor([[[[0.0, 9.0]], [[2.0, 0.0]], [[-9.0, -9.0]], [[-9.0, -9.0]]]])
    seen = []
    judge = judge_of(1, each=lambda info, classes: seen.append((info.image_id, classes.tolist())))
    truth = Mask(torch.zeros(1, 6, dtype=torch.uint8))
    judge.add(logits, [ImageInfo(1, "1.png", 1, 6, (1 / 3, 1.0))], [truth])
    assert seen == [(1, [[1, 1, 0, 0, 0, 0]])]
    assert judge.result()["per_class"]["a"]["IoU"] == 4 / 6


def test_an_image_whose_prediction_could_not_be_handed_on_is_not_judged(tmp_path: Path) -> None:
    def full(info: ImageInfo, classes: torch.Tensor) -> None:
        if info.image_id == 2:
            raise StorageError("full")

    judge = judge_of(2, tmp_path, each=full)
    fill(judge, [1])
    with pytest.raises(StorageError):
        fill(judge, [2])
    assert read_counted(part_files(tmp_path), segments.RULES)[1].images == [1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_images_for_which_a_model_gives_no_numbers_are_all_named(bad: float, tmp_path: Path) -> None:
    """[V03] Exit code 3, and what was sound is on disk."""
    judge = judge_of(4, tmp_path)
    fill(judge, [3], spoil=bad)
    fill(judge, [1, 2], spoil=bad)
    fill(judge, [4])
    with pytest.raises(DivergedError) as caught:
        judge.result()
    assert caught.value.exit_code == 3
    assert str(caught.value).splitlines() == [
        "1.png: image 1: the model gave a logit that is not finite [V03]",
        "3.png: image 3: the model gave a logit that is not finite [V03]",
    ]
    assert read_counted(part_files(tmp_path), segments.RULES)[1].images == [2, 4]


def test_an_image_that_two_processes_judged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """[V14]"""
    judge = judge_of(2)
    fill(judge, [1, 2])
    other = Share(Counted([2], nothing(segments.RULES), []), [])
    monkeypatch.setattr(module, "on_the_first", lambda share: [share, other])
    with pytest.raises(InputError, match=r"^image 2: judged by process 0 and again by process 1 \[V14\]$"):
        judge.result()


def test_an_image_that_no_process_judged_is_refused() -> None:
    judge = judge_of(3)
    fill(judge, [1, 3])
    with pytest.raises(InputError, match=r"^image 2: not judged.*\[V06\]$"):
        judge.result()


def test_each_pass_starts_anew(tmp_path: Path) -> None:
    judge = judge_of(2, tmp_path)
    (tmp_path / "predictions.part1.jsonl").write_text("of an earlier pass that had two processes\n")
    results = []
    for _ in range(2):
        judge.reset()
        fill(judge, [2, 1])
        results.append(judge.result())
    assert results[0] == results[1]
    assert judge.result() is results[1]
    assert read_counted(part_files(tmp_path), segments.RULES)[1].images == [2, 1]


def test_at_every_line_an_evaluation_may_break_off(tmp_path: Path) -> None:
    """[V23] Going on gives the numbers of the pass that never broke off, to the bit."""
    whole = judge_of(4, tmp_path)
    fill(whole, [3, 1, 2, 4])
    lines = part_file(tmp_path, 0).read_bytes().splitlines(keepends=True)
    for kept in range(1, 6):
        part_file(tmp_path, 0).write_bytes(b"".join(lines[:kept]) + b'{"image_id": 2, "cel')
        _, before = read_counted(part_files(tmp_path), segments.RULES)
        assert before.images == [3, 1, 2, 4][: kept - 1]
        judge = judge_of(4, tmp_path, before=before)
        for number in {1, 2, 3, 4}.difference(before.images):
            fill(judge, [number])
        assert judge.result() == whole.result()
        _, after = read_counted(part_files(tmp_path), segments.RULES)
        assert module.told(after, segments.RULES) == whole.result()


def test_lines_of_a_detector_or_of_other_classes_are_refused(tmp_path: Path) -> None:
    judge = judge_of(1, tmp_path)
    fill(judge, [1])
    judge.part.add(2, {"category_id": [], "bbox": [], "score": []})  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"part0\.jsonl: line 3: no image with its cells, pixels and objects \[V08\]$"):
        read_counted(part_files(tmp_path), segments.RULES)
    fewer = segments.RULES._replace(classes=("a",), group_of=(0,), counted=(True,))
    with pytest.raises(InputError, match=r"line 2: no image with"):
        read_counted(part_files(tmp_path), fewer)


def test_no_image_is_no_score() -> None:
    result = judge_of(0).result()
    assert [result[name] for name in MEANS] == [None] * 5
    assert result["counts"] == {"images": 0, "pixels": 0, "objects": 0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_not_finite_is_found_in_any_layout(bad: float) -> None:
    sound = torch.zeros(2, 3, 4, 5)
    for layout in (torch.contiguous_format, torch.channels_last):
        spoilt = sound.clone(memory_format=layout)
        assert module.all_finite(spoilt)
        assert module.all_finite(spoilt[1, :, ::2])
        spoilt[1, 2, 2, 3] = bad
        assert not module.all_finite(spoilt)
        assert not module.all_finite(spoilt[1])
        assert module.all_finite(spoilt[0])
