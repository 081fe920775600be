"""An evaluation that breaks off: nothing that was judged is lost, and only the same one goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from evaluations import FILES, numbers, words

from densenets.config import EvalDetection
from densenets.errors import InputError
from densenets.metrics.judge import CocoJudge
from densenets.metrics.parts import part_files, read_parts
from densenets.run import evaluate_detection

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
    with pytest.raises(InputError, match=r"part0\.jsonl: left by an evaluation with another nms_iou \(0\.55, now 0\.3"):
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
