"""What the check of boxes tells of the detector that is to be trained on them."""

import json
import re
from pathlib import Path

import pytest
from faulty_sets import check
from PIL import Image

SIDES = {"large": 30, "small": 5}  # px of boxes in pictures of 96 px


def squares(root: Path, side: int) -> Path:
    """A set of 60 boxes in one picture a split."""
    corners = [(x * 30, y * 30) for x in range(3) for y in range(3)] * 7
    boxes = [[x, y, side, side] for x, y in corners[:60]]
    (root / "annotations").mkdir(parents=True)
    for number, split in enumerate(("train", "val")):
        (root / split).mkdir()
        Image.new("RGB", (96, 96), (20 * number, 0, 9)).save(root / split / "0.png")
        document = {
            "images": [{"id": 1, "file_name": "0.png", "width": 96, "height": 96}],
            "categories": [{"id": 1, "name": "square"}],
            "annotations": [
                {"id": k, "image_id": 1, "category_id": 1, "bbox": box, "area": side * side, "iscrowd": 0}
                for k, box in enumerate(boxes, 1)
            ],
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    return root


@pytest.mark.parametrize(
    ("head", "flag", "named", "threshold"),
    [("ssdlite", "--ssd.scales", "default boxes", "0.50"), ("faster-rcnn-fpn", "--rcnn.sizes", "anchors", "0.70")],
)
@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
def test_boxes_that_few_anchors_meet_are_warned_of(
    head: str, flag: str, named: str, threshold: str, side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = check(squares(tmp_path / "set", side), "--head", head, "--size", "128", "96")
    printed = capsys.readouterr()
    few = [row["what"] for row in report["problems"] if row["code"] == "unmet"]
    assert code == 0
    assert len(few) == (2 if side == SIDES["small"] else 0)
    assert all(f"boxes are met by {named} at IoU >= 0.50: {flag} or --size may suit better" in line for line in few)
    heading = rf"boxes that the \d+ {named} of v2 \+ {head} meet at IoU >= {threshold}, height 128, width 96 px; "
    assert re.search(heading + "the best for each box learns it anyway", printed.out)
    assert f"their sizes: {flag} " in printed.out
    assert named in (tmp_path / "report" / "check.html").read_text()


def test_the_sizes_that_are_shown_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = squares(tmp_path / "set", 30)
    shown = []
    for words in ([], ["--rcnn.sizes", "[[16, 20], [24, 32], [48, 64], [80, 100]]"]):
        check(data, "--head", "faster-rcnn-fpn", "--size", "96", *words)
        shown += re.findall(r'their sizes: --rcnn.sizes "(.*)"', capsys.readouterr().out)
    assert len(json.loads(shown[0])) == 4
    assert shown[1] == words[1]
