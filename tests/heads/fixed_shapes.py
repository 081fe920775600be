"""What is true of every detector's prediction."""

from typing import Any

import torch


def check_prediction(model: Any, detections: int) -> None:
    """Of an image of its canvas: the fixed number of detections, and real ones have an area inside the canvas."""
    height, width = model.canvas
    with torch.no_grad():
        found = model.eval()(torch.rand(1, 3, height, width))
    assert found.boxes.shape == (1, detections, 4)
    boxes = found.boxes[found.scores > 0]
    assert len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
