"""ONNX Runtime finds on real pictures what the exported detector finds."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from test_faster_rcnn import FORMS, settled, small

from densenets.boxes import iou
from densenets.contract import Detections
from densenets.data.decode import read_image
from densenets.data.transforms import build_augmentation

PICTURES = 6
SIZE = (192, 256)


def pictures(folder: Path) -> torch.Tensor:
    """(N, 3, H, W) in [0, 1]."""
    see = build_augmentation("none", SIZE, keep_ratio=True)
    files = sorted(folder.glob("*.jpg"))[:PICTURES]
    seen = [see(read_image(file), np.zeros((0, 4)), 0)[0] for file in files]
    return torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float() / 255


def matched(found: Detections, expected: Detections, above: float) -> int:
    """How many of the expected detections above a score were found; fails for one that was not."""
    rows = expected.scores[0] > above
    overlap = iou(expected.boxes[0][rows], found.boxes[0])
    same = (expected.labels[0][rows, None] == found.labels[0]) & (overlap > 0.99)
    near = (expected.scores[0][rows, None] - found.scores[0]).abs() < 1e-3
    assert (same & near).any(dim=1).all()
    return int(rows.sum())


@pytest.mark.parametrize(("head", "fpn"), FORMS)
def test_onnx_runtime_gives_the_same_detections(head: str, fpn: str, real_data: Path, tmp_path: Path) -> None:
    images = pictures(real_data / "bccd" / "JPEGImages")
    more: dict[str, Any] = {"proposals": 100, "map_proposals": 200, "detections": 100}
    model = settled(small(head, fpn, "v2", SIZE, **more), images)
    torch.onnx.export(model, (images[:1],), tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    compared = 0
    for image in images.split(1):
        with torch.no_grad():
            expected = model(image)
        outputs = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        found = Detections(*(torch.from_numpy(output) for output in outputs))
        compared += matched(found, expected, 0.01)
        matched(expected, found, 0.011)  # nothing else: the margin is for a score on the edge
    assert compared >= 20
