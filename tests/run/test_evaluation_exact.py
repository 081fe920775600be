"""Judging a checkpoint: the same bits by any processes, nothing lost when it breaks off, no number for nonsense."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from densenets.build import ModelDescription, build_from, build_model
from densenets.cli import main
from densenets.config import EvalDetection, SSDOptions
from densenets.errors import InputError
from densenets.metrics.coco_map import NUMBERS
from densenets.metrics.judge import CocoJudge
from densenets.metrics.parts import part_files, read_parts
from densenets.run import evaluate_detection

ROOT = Path(__file__).parent.parent.parent
FILES = ["predictions.json", "results.json", "validation.png"]


def settled(model: torch.nn.Module, side: int) -> torch.nn.Module:
    """With statistics of its BatchNorms that fit, so that an untrained net's outputs are of the size of 1."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            model.train().raw(torch.rand(4, 3, side, side))  # type: ignore[operator]
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a run leaves it, of a net that finds something in every picture."""
    plain = {"padding": "torch", "normalize": "imagenet", "reduced_tail": False, "scale_last": True, "weights": None}
    size = {"classes": ["red", "green", "blue"], "category_ids": [4, 9, 17], "canvas": (96, 96), "width": 0.5}
    description = ModelDescription(backbone="v3-small", head="ssdlite", **size, **plain, options=asdict(SSDOptions()))
    torch.manual_seed(0)
    model = settled(build_from(description), 96)
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "densenets": description.plain()}, path)
    return path


@pytest.fixture
def judged(checkpoint: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """results.json of the checkpoint on a folder, in this process."""

    def judge(data: Path, out: str = "out", **changes: Any) -> dict[str, Any]:
        settings = EvalDetection(checkpoint=str(checkpoint), batch_size=4, workers=0, accelerator="cpu")
        return evaluate_detection(replace(settings, data=str(data), out=str(tmp_path / out), **changes)).results

    return judge


def words(checkpoint: Path, data: Path, out: Path, *more: str) -> list[str]:
    plain = ["--checkpoint", checkpoint, "--data", data, "--out", out, "--batch-size", 4, "--workers", 0]
    return [*map(str, plain), "--accelerator", "cpu", *more]


def tool(*flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, str(ROOT / "tools/eval_det.py"), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def numbers(results: dict[str, Any]) -> dict[str, Any]:
    """What must not differ; the rest says when, by whom and with which command."""
    return {name: results[name] for name in (*NUMBERS, "per_class", "counts", "without_detections")}


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


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


def test_words_that_lightning_does_not_take_are_one_line(
    shapes: Any, checkpoint: Path, tmp_path: Path, capsys: Any
) -> None:
    data = shapes(val=range(2))
    for flags in (["--devices", "nonsense"], ["--strategy", "nonsense"]):
        assert main(["eval-det", *words(checkpoint, data, tmp_path / "out", *flags)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "--devices, --accelerator, --strategy: " in told.err
    assert not (tmp_path / "out").exists()


# Breaking off


KILLED = """
import os, signal, sys
from densenets.cli import main
from densenets.metrics.judge import CocoJudge
add, left = CocoJudge.add, [2]
def dying(judge, *batch):
    add(judge, *batch)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
CocoJudge.add = dying
main(["eval-det", *sys.argv[1:]])
"""


@pytest.fixture
def killed(shapes: Any, checkpoint: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Data of 11 images, and the folder of an evaluation that was killed behind its second batch of 4."""
    data = shapes(val=range(11))
    flags = words(checkpoint, data, tmp_path / "killed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, *flags], env=environment, capture_output=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return data, tmp_path / "killed"


def test_kill_9_loses_nothing_that_was_judged(
    killed: tuple[Path, Path], judged: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """[V23] What is there can be judged as it is; the same command goes on; a third one with other words is refused."""
    data, folder = killed
    with part_files(folder)[0].open("ab") as handle:
        handle.write(b'{"image_id": 109, "cat')  # as a crash amid a line
    assert len(read_parts(part_files(folder)).predictions.images) == 8

    with pytest.raises(InputError, match=r"image 108: not judged; --partial .*\[V06\]"):
        evaluate_detection(EvalDetection(predictions=str(folder)))
    partial = evaluate_detection(EvalDetection(predictions=str(folder), partial=True)).results
    assert partial["partial"] is True
    assert (partial["counts"]["images"], partial["counts"]["not_judged"]) == (8, 3)
    again = evaluate_detection(EvalDetection(predictions=str(part_files(folder)[0]), partial=True)).results
    assert numbers(again) == numbers(partial)

    before = part_files(folder)[0].read_bytes()
    with pytest.raises(InputError, match=r"part0\.jsonl: left by an evaluation with another nms_iou; remove it"):
        judged(data, "killed", nms_iou=0.3)
    assert part_files(folder)[0].read_bytes() == before

    seen: list[int] = []
    add = CocoJudge.add

    def spy(judge: CocoJudge, found: Any, infos: Any, *rest: Any) -> None:
        seen.extend(info.image_id for info in infos)
        add(judge, found, infos, *rest)

    monkeypatch.setattr(CocoJudge, "add", spy)
    resumed = judged(data, "killed")
    assert sorted(seen) == [108, 109, 110]
    assert numbers(resumed) == numbers(judged(data, "whole"))
    for name in FILES:
        assert name == "results.json" or (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_an_evaluation_killed_behind_its_last_image_only_writes(
    shapes: Any, judged: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    data = shapes(val=range(5))
    whole = judged(data)
    monkeypatch.setattr(
        "densenets.run.detection.write_predictions", lambda *_: (_ for _ in ()).throw(InputError("ended"))
    )
    with pytest.raises(InputError, match="ended"):
        judged(data, "late")
    monkeypatch.undo()
    complete = evaluate_detection(EvalDetection(predictions=str(tmp_path / "late"))).results
    assert numbers(complete) == numbers(whole)
    assert "partial" not in complete
    assert numbers(judged(data, "late")) == numbers(whole)
    assert sorted(path.name for path in (tmp_path / "late").iterdir()) == FILES


# A file of predictions


def test_a_file_gives_the_numbers_of_its_checkpoint_and_the_same_results(
    shapes: Any, judged: Any, tmp_path: Path
) -> None:
    """[V12] A difference of 0.0, in every number of results.json; from the folder as well."""
    data = shapes(val=range(9))
    first = judged(data)
    for place in ("out/predictions.json", "out"):
        out = str(tmp_path / "again" / place.replace("/", "-"))
        evaluate_detection(EvalDetection(predictions=str(tmp_path / place), out=out))
        assert numbers(read(Path(out))) == numbers(first) == numbers(read(tmp_path / "out"))
        assert (Path(out) / "predictions.json").read_bytes() == (tmp_path / "out/predictions.json").read_bytes()


def test_images_without_detections_are_known_from_those_never_judged(shapes: Any, judged: Any, tmp_path: Path) -> None:
    """[V06] results.json of our own lists the former; a file alone cannot tell them."""
    data = shapes(val=range(6))
    results = judged(data, score_threshold=0.9)  # which an untrained net rarely reaches
    assert results["without_detections"]
    file = tmp_path / "out/predictions.json"
    assert numbers(evaluate_detection(EvalDetection(predictions=str(file))).results) == numbers(results)
    bare = tmp_path / "bare.json"
    bare.write_bytes(file.read_bytes())
    with pytest.raises(InputError) as caught:
        evaluate_detection(EvalDetection(predictions=str(bare), data=str(data)))
    assert len(str(caught.value).splitlines()) == len(results["without_detections"])
    assert "bare.json: image 100: no prediction" in str(caught.value)
    taken = evaluate_detection(EvalDetection(predictions=str(bare), data=str(data), partial=True)).results
    assert [taken[name] for name in NUMBERS] == [results[name] for name in NUMBERS]
    assert taken["partial"] is True
    assert taken["counts"]["without_predictions"] == len(results["without_detections"])


def test_faults_of_a_file_are_told_together_and_end_with_2(shapes: Any, tmp_path: Path, capsys: Any) -> None:
    """[V03] [V04] [V05] [V08] through the command."""
    good = {"image_id": 100, "category_id": 4, "bbox": [1, 1, 9, 9], "score": 0.5}
    bad: list[dict] = [{**good, "image_id": 5}, {**good, "image_id": "100"}, {**good, "category_id": 1}]
    bad += [{**good, "bbox": [1e999, 0, 1, 1]}, {**good, "bbox": [1, 1, 9]}, {**good, "score": "0.5"}]
    file = tmp_path / "p.json"
    file.write_text(json.dumps([good, *bad]).replace("Infinity", "1e999"))
    assert main(["eval-det", "--predictions", str(file), "--data", str(shapes(val=range(1)))]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert [line[-5:] for line in lines] == ["[V04]", "[V04]", "[V05]", "[V03]", "[V08]", "[V08]"]
    assert all(line.startswith(f"densenets: error: {file}: results[{i}] ") for i, line in enumerate(lines, start=1))
    file.write_text(json.dumps([{**good, "score": float("nan")}]))
    assert main(["eval-det", "--predictions", str(file), "--data", str(tmp_path / "shapes")]) == 2
    assert "NaN is no number [V03]" in capsys.readouterr().err


def test_boxes_written_as_corners_are_suspected(shapes: Any, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    """[V07]"""
    data = shapes(val=range(3))
    truth = json.loads((data / "annotations/instances_val.json").read_text())["annotations"]
    rows = [(a["image_id"], a["category_id"], a["bbox"]) for a in truth]
    found = [
        {"image_id": i, "category_id": k, "bbox": [x, y, x + w, y + h], "score": 0.5} for i, k, (x, y, w, h) in rows
    ]
    (tmp_path / "p.json").write_text(json.dumps(found))
    assert main(["eval-det", "--predictions", str(tmp_path / "p.json"), "--data", str(data)]) == 0
    assert "look like x0 y0 x1 y1" in caplog.text
    assert capsys.readouterr().out.startswith("AP     ")


# A model


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of finite weights (others are refused) whose raw outputs overflow on every picture."""
    content = torch.load(checkpoint, weights_only=True)
    for name, value in content["state_dict"].items():
        if "box_predictors" in name and value.ndim == 4:
            value[:] = 3e38
    torch.save(content, tmp_path / "overflows.ckpt")
    return tmp_path / "overflows.ckpt"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", [0, 1])
def test_a_raw_output_that_is_no_number_does_not_pass_as_finding_nothing(which: int, bad: float) -> None:
    """[V03] NaN loses every comparison on its way through selection and NMS; other images are not touched."""
    model = settled(build_model("v3-small", "ssdlite", 3, size=96, width=0.5), 96)
    with torch.no_grad():
        raw = [output.clone() for output in model.raw(torch.rand(3, 3, 96, 96))]
        before = model.decode(*raw)
        raw[which][1, 5, 2] = bad
        after = model.decode(*raw)
    assert after.scores[1].isnan().all()
    assert all(torch.equal(one[[0, 2]], other[[0, 2]]) for one, other in zip(after, before, strict=True))


def test_a_model_that_gives_no_numbers_ends_with_3_and_names_the_images(
    shapes: Any, broken: Path, tmp_path: Path, capsys: Any
) -> None:
    """[V03]"""
    data = shapes(val=range(3))
    assert main(["eval-det", *words(broken, data, tmp_path / "out")]) == 3
    told = capsys.readouterr()
    what = "the model gave a box or score that is not finite [V03]"
    lines = [line for line in told.err.splitlines() if "error" in line]
    assert lines == [f"densenets: error: {data}/val/{i}.png: image {100 + i}: {what}" for i in range(3)]
    assert told.out == ""
    assert not (tmp_path / "out/results.json").exists()


@pytest.mark.slow
def test_two_processes_with_a_model_that_gives_no_numbers_end_with_3(shapes: Any, broken: Path, tmp_path: Path) -> None:
    """And each image is told once."""
    done = tool(*words(broken, shapes(val=range(3)), tmp_path / "out", "--devices", "2"))
    assert (done.returncode, done.stdout) == (3, "")
    assert len([line for line in done.stderr.splitlines() if line.endswith("[V03]")]) == 3
    assert "Traceback" not in done.stderr


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


def test_a_judge_that_is_missing_ends_with_2_before_anything_is_done(
    shapes: Any, checkpoint: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    assert main(["eval-det", *words(checkpoint, shapes(val=range(2)), tmp_path / "o", "--judge", "faster")]) == 2
    assert "densenets[fast]" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


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


# What lies beside: written by anybody, of another evaluation, or of another split


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("data", value) for value in (5, {"data": 5}, {"data": ["x"]}, {"annotations": 3, "images": 4})],
        *[("model", value) for value in (5, {"classes": [1, 2]}, {"classes": "abc"}, {"classes": [["a"]]})],
        *[("without_detections", value) for value in (5, [[1]], [{}], ["104"])],
    ],
)
def test_results_beside_that_are_none_do_not_count(
    shapes: Any, judged: Any, tmp_path: Path, name: str, value: object
) -> None:
    data = shapes(val=range(3))
    wanted = judged(data)
    (tmp_path / "out/results.json").write_text(json.dumps({**wanted, name: value}))
    settings = EvalDetection(predictions=str(tmp_path / "out"), data=str(data), partial=True)
    assert [evaluate_detection(settings).results[each] for each in NUMBERS] == [wanted[each] for each in NUMBERS]


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("[" * 100_000), os.mkfifo])
def test_nor_does_what_cannot_be_read(shapes: Any, judged: Any, tmp_path: Path, spoil: Any) -> None:
    data = shapes(val=range(3))
    wanted = judged(data)
    (tmp_path / "out/results.json").unlink()
    spoil(tmp_path / "out/results.json")
    settings = EvalDetection(predictions=str(tmp_path / "out"), data=str(data), partial=True)
    assert evaluate_detection(settings).results["AP"] == wanted["AP"]


def test_results_of_another_file_tell_nothing_of_this_one(shapes: Any, judged: Any, tmp_path: Path) -> None:
    """Its images without a line were never judged, whatever the other evaluation found in them."""
    data = shapes(val=range(3))
    results = judged(data)
    every = results["without_detections"] + sorted({r["image_id"] for r in found(tmp_path / "out")})
    (tmp_path / "out/results.json").write_text(json.dumps({**results, "without_detections": every}))
    (tmp_path / "out/other.json").write_text("[]")
    with pytest.raises(InputError, match=r"image 100: no prediction.* \[V06\]"):
        evaluate_detection(EvalDetection(predictions=str(tmp_path / "out/other.json"), data=str(data)))


def found(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "predictions.json").read_text())


@pytest.mark.parametrize("named", [True, False])
def test_predictions_are_not_judged_by_another_split(shapes: Any, judged: Any, tmp_path: Path, named: bool) -> None:
    """The images of two splits may have the same ids, as Roboflow's have: the numbers would be wrong without a word."""
    data = shapes(val=range(3), test=range(3))
    wanted = judged(data, split="test")
    settings = EvalDetection(predictions=str(tmp_path / "out"), data=str(data) if named else None)
    with pytest.raises(InputError, match=r"--split: val: .* is of the split test; --split test judges it \[V04\]"):
        evaluate_detection(settings)
    assert evaluate_detection(replace(settings, split="test")).results["AP"] == wanted["AP"]


def test_an_evaluation_of_other_pictures_is_not_gone_on_with(
    shapes: Any, judged: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """The same path may hold another set by then, whose images have the ids of the first one's."""
    data = shapes(val=range(3))
    monkeypatch.setattr(
        "densenets.run.detection.write_predictions", lambda *_: (_ for _ in ()).throw(InputError("ended"))
    )
    with pytest.raises(InputError, match="ended"):
        judged(data)
    monkeypatch.undo()
    annotations = data / "annotations/instances_val.json"
    document = json.loads(annotations.read_text())
    first, last = document["images"][0], document["images"][-1]
    first["file_name"], last["file_name"] = last["file_name"], first["file_name"]
    annotations.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"left by an evaluation with another images; remove it"):
        judged(data)


def test_a_number_of_a_part_that_is_none_names_the_file(shapes: Any, tmp_path: Path) -> None:
    data = shapes(val=range(2))
    part = tmp_path / "predictions.part0.jsonl"
    line = '{"image_id": 100, "category_id": [4], "bbox": [[1e999, 1, 2, 2]], "score": [0.5]}'
    part.write_text(f'{{"evaluation": {{}}}}\n{line}\n')
    with pytest.raises(InputError, match=r"^\S+part0\.jsonl: results\[0\] \(image 100\): bbox .* \[V03\]$"):
        evaluate_detection(EvalDetection(predictions=str(part), data=str(data), partial=True))


def test_a_broken_picture_costs_no_results_of_predictions(
    shapes: Any, judged: Any, tmp_path: Path, caplog: Any
) -> None:
    """They need none; only the sheet lacks it."""
    data = shapes(val=range(3))
    wanted = judged(data)
    (data / "val/1.png").write_bytes(b"broken")
    out = tmp_path / "again"
    evaluate_detection(EvalDetection(predictions=str(tmp_path / "out"), data=str(data), out=str(out)))
    assert numbers(read(out)) == numbers(wanted)
    assert (out / "validation.png").is_file()
    assert "missing in the sheet of pictures" in caplog.text
    assert "1.png" in caplog.text


def test_what_stands_in_the_place_of_the_sheet_is_replaced_or_told(
    shapes: Any, checkpoint: Path, tmp_path: Path, capsys: Any
) -> None:
    data, other = shapes(val=range(2)), tmp_path / "other.png"
    other.write_text("kept")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/validation.png").symlink_to(other)
    assert main(["eval-det", *words(checkpoint, data, tmp_path / "link")]) == 0
    assert other.read_text() == "kept"
    (tmp_path / "folder/validation.png").mkdir(parents=True)
    assert main(["eval-det", *words(checkpoint, data, tmp_path / "folder")]) == 4
    assert "validation.png: cannot be written: Is a directory" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_stdout_is_one_line(shapes: Any, judged: Any, tmp_path: Path) -> None:
    data = shapes(val=range(2))
    judged(data)
    command = [sys.executable, str(ROOT / "tools/eval_det.py"), "--predictions", str(tmp_path / "out")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*command, "--data", str(data)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "densenets: error: stdout: cannot be written: No space left on device"


def test_a_picture_that_ends_one_process_ends_the_others_in_words(
    shapes: Any, checkpoint: Path, tmp_path: Path
) -> None:
    data = shapes(val=range(6))
    (data / "val/1.png").write_bytes(b"broken")
    done = tool(*words(checkpoint, data, tmp_path / "out", "--devices", "2"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "1.png: not a picture" in done.stderr
