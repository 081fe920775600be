#!/usr/bin/env python
"""Side by side with torchvision and the official evaluation: training steps, inference, loading, masks, memory.

Both sides run in one process and take turns; a figure is the median, a ratio is the other's time over ours. Peak memory
is measured in a process of its own for each side. Prints a table on stdout.

    tools/bench.py [--only segmentation] [--images FOLDER] [--rounds 15]
"""

import argparse
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import bench_detection
import bench_faster_rcnn
import bench_masks
import bench_segmentation
import torch

JOBS = {**bench_detection.JOBS, **bench_segmentation.JOBS, **bench_masks.JOBS}
COMPARED = ("torch", "torchvision", "albumentations", "pillow", "numpy", "cityscapesscripts")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=["detection", "faster-rcnn", "segmentation"])
    parser.add_argument("--images", type=Path, help="folder of pictures; else real ones, else scenes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="time SSDLite's training step under torch.compile too")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(JOBS[options.job[0]](options.job[1]))
        return
    machine = f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"
    versions = ", ".join(f"{name} {version(name)}" for name in COMPARED)
    print(f"{machine}; {versions}; medians of rounds taken in turns, --rounds {options.rounds}\n")
    print("| what | the other | densenets | ratio |\n|---|---|---|---|", flush=True)
    if options.only in (None, "detection"):
        show(bench_detection.rows(options.images, options.rounds, options.compile))
    if options.only in (None, "faster-rcnn"):
        show(bench_faster_rcnn.rows(options.rounds))
    if options.only in (None, "segmentation"):
        show(bench_segmentation.rows(options.rounds))
        show(bench_masks.rows(options.rounds))


def show(rows: Iterator[str]) -> None:
    """Each as soon as it is measured."""
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
