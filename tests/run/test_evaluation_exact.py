"""Judging a checkpoint: the same bits by any processes and either judge, in little memory."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluations import FILES, numbers, read, settled, tool, words

from densenets.build import build_model
from densenets.cli import main
from densenets.metrics.coco_map import NUMBERS
from densenets.metrics.parts import part_files

# One image, one answer


@pytest.mark.parametrize("head", ["ssd", "ssdlite"])
@pytest.mark.parametrize("backbone", ["v1", "v2", "v3-large", "v3-small"])
def test_an_output_depends_neither_on_the_place_in_a_batch_nor_on_the_others_in_it(backbone: str, head: str) -> None:
    """To the bit, for every batch of the same size: the ground on which the processes' equality stands."""
    model = settled(build_model(backbone, head, 3, size=128, width=0.5), 128)
    images = torch.rand(7, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        alone = [output[0] for output in model.raw(images[:1].expand(4, -1, -1, -1))]  # filled up with itself
        assert max(output.abs().max() for output in alone) > 0.01
        for place in range(4):
            others = images[[1, 2, 3] if place % 2 else [4, 5, 6]]
            batch = torch.cat([others[:place], images[:1], others[place:]])
            for output, expected in zip(model.raw(batch), alone, strict=True):
                assert torch.equal(output[place], expected)


# Processes


@pytest.mark.parametrize(("images", "processes"), [(11, "2"), (1, "2")])
def test_two_processes_give_the_files_of_one(
    shapes: Any, checkpoint: Path, judged: Any, tmp_path: Path, images: int, processes: str
) -> None:
    """The bytes of predictions.json, each number of results.json; one image for two processes too."""
    data = shapes(val=range(images))
    alone = judged(data)
    done = tool(*words(checkpoint, data, tmp_path / "several", "--devices", processes))
    assert done.returncode == 0, done.stderr
    assert numbers(read(tmp_path / "several")) == numbers(alone)
    assert read(tmp_path / "several")["processes"] == int(processes)
    assert (tmp_path / "several/predictions.json").read_bytes() == (tmp_path / "out/predictions.json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "several").iterdir()) == FILES
    assert [line for line in done.stdout.splitlines() if line.startswith("AP ")] == [done.stdout.splitlines()[0]]
    assert done.stdout.splitlines()[-3:] == [
        str(tmp_path / "several" / name) for name in (FILES[1], FILES[0], FILES[2])
    ]
    assert "arn" not in done.stderr, done.stderr  # no warning of any library


MANY = """
import json, sys
from pathlib import Path
from densenets.config import EvalDetection, SSDOptions
from densenets.run import evaluate_detection
checkpoint, sets, out, world = sys.argv[1:]
for data in sorted(Path(sets).iterdir()):
    evaluate_detection(EvalDetection(checkpoint=checkpoint, data=str(data), out=f"{out}/{data.name}", batch_size=4,
                                     workers=0, accelerator="cpu", devices=world, strategy="ddp"))
"""


@pytest.mark.slow
def test_sets_of_1_to_40_images_give_the_same_bits_with_1_2_and_3_processes(
    shapes: Any, checkpoint: Path, tmp_path: Path
) -> None:
    """A real model in the loop; each number of processes is started once and judges all sets."""
    for size in range(1, 41):
        shapes(tmp_path / "sets" / f"{size:02}", val=range(size))
    for world in (1, 2, 3):
        shared = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29610 + world)}
        command = [
            sys.executable,
            "-c",
            MANY,
            str(checkpoint),
            str(tmp_path / "sets"),
            str(tmp_path / f"by{world}"),
            str(world),
        ]
        ranks = [{"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(world), "GROUP_RANK": "0",
                  "LOCAL_WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "x"} for r in range(world)]  # fmt: skip
        with (tmp_path / f"log{world}").open("w") as log:
            started = [subprocess.Popen(command, env={**shared, **rank}, stdout=log, stderr=log) for rank in ranks]
            codes = [process.wait(timeout=450) for process in started]
        assert codes == [0] * world, (tmp_path / f"log{world}").read_text()[-3000:]
    for size in range(1, 41):
        first = tmp_path / "by1" / f"{size:02}"
        assert read(first)["counts"]["images"] == size
        assert read(first)["AP50"] > 0
        for other in (tmp_path / "by2" / f"{size:02}", tmp_path / "by3" / f"{size:02}"):
            assert numbers(read(other)) == numbers(read(first))
            assert (other / "predictions.json").read_bytes() == (first / "predictions.json").read_bytes()


def test_stdout_holds_the_table_and_the_files_and_nothing_else(
    shapes: Any, checkpoint: Path, tmp_path: Path, capfd: Any
) -> None:
    """[V13] And [V02]: what has no object is null there, and undefined in the table."""
    assert main(["eval-det", *words(checkpoint, shapes(val=range(2)), tmp_path / "out")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:12]] == list(NUMBERS)
    assert lines[3] == "APs        -  small, area < 32 x 32 px (undefined: no such object)"
    assert read(tmp_path / "out")["APs"] is None
    assert [Path(line).name for line in lines[-3:]] == ["results.json", "predictions.json", "validation.png"]
    assert len(lines) == 12 + 1 + 4 + 3 + 1 + 3 - 1


def test_the_faster_judge_by_its_flag(shapes: Any, judged: Any) -> None:
    pytest.importorskip("faster_coco_eval", reason="the extra [fast] is not installed")
    data = shapes(val=range(7))
    assert numbers(judged(data, "a", judge="faster")) == numbers(judged(data, "b"))


def test_memory_stays_flat_while_images_are_judged(tmp_path: Path) -> None:
    """5,000 images of 100 detections: as columns 28 MB, as Python objects about 300 MB."""
    code = """
import resource, sys
import torch
from pathlib import Path
from densenets.contract import Detections, ImageInfo
from densenets.metrics.judge import CocoJudge
judge = CocoJudge({}, [1, 2, 3], Path(sys.argv[1]))
judge.reset()
boxes = torch.rand(1, 100, 4).sort(dim=2).values * 300
batch = Detections(boxes, torch.zeros(1, 100, dtype=torch.int64), torch.rand(1, 100))
def judged(first, last):
    for image in range(first, last):
        judge.add(batch, [ImageInfo(image, "a.jpg", 300, 300, (1.0, 1.0))])
judged(0, 100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
judged(100, 5000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 60  # MB
    assert len(part_files(tmp_path)[0].read_bytes().splitlines()) == 5001
