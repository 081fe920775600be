"""ONNX Runtime finds on real pictures what the exported detector finds."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from test_faster_rcnn import FORMS, small

from densenets.boxes import iou
from densenets.contract import Boxes, Detections
from densenets.data import open_split
from densenets.data.dataset import DetectionDataset
from densenets.data.transforms import build_augmentation

PICTURES, STEPS = 6, 40
SIZE = (192, 256)


def samples(folder: Path) -> tuple[torch.Tensor, list[Boxes]]:
    """(N, 3, H, W) in [0, 1], and what is in each picture."""
    data = DetectionDataset(open_split(folder, "val"), build_augmentation("none", SIZE, True), SIZE, keep_ratio=True)
    drawn = [data[0, index] for index in range(PICTURES)]
    return torch.stack([one.image for one in drawn]).float() / 255, [one.target for one in drawn]


def trained(head: str, fpn: str, images: torch.Tensor, targets: list[Boxes]) -> Any:
    """Until its scores differ: where they hardly do, rounding alone decides what NMS drops."""
    torch.manual_seed(0)
    model = small(head, fpn, "v2", SIZE, proposals=100, map_proposals=200, detections=100, bn_momentum=0.2)
    optimizer = torch.optim.AdamW(model.train().parameters(), 0.002)
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(model.losses(images, targets).values()).backward()
        optimizer.step()
    return model.eval()


def matched(found: Detections, expected: Detections, above: float) -> int:
    """How many of the expected detections above a score were found; fails for one that was not."""
    rows = expected.scores[0] > above
    overlap = iou(expected.boxes[0][rows], found.boxes[0])
    same = (expected.labels[0][rows, None] == found.labels[0]) & (overlap > 0.99)
    near = (expected.scores[0][rows, None] - found.scores[0]).abs() < 1e-3
    assert (same & near).any(dim=1).all()
    return int(rows.sum())


@pytest.mark.parametrize(
    ("head", "fpn"),
    [pytest.param(*form, marks=pytest.mark.slow if "-fpn" in form[0] and form[1] == "full" else ()) for form in FORMS],
)
def test_onnx_runtime_gives_the_same_detections(head: str, fpn: str, real_data: Path, tmp_path: Path) -> None:
    images, targets = samples(real_data / "bccd")
    model = trained(head, fpn, images, targets)
    torch.onnx.export(model, (images[:1],), tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    compared = 0
    for image in images.split(1):
        with torch.no_grad():
            expected = model(image)
        outputs = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        found = Detections(*(torch.from_numpy(output) for output in outputs))
        compared += matched(found, expected, 0.1)
        matched(expected, found, 0.102)  # nothing else: the margin is for a score on the edge
    assert compared >= 20
