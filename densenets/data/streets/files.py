"""The scenes as files: a detection set in COCO's layout, and the same scenes as a Cityscapes tree."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import Progress

from densenets.contract import size_told
from densenets.data.cores import cores
from densenets.data.streets.many import drawn_by_many
from densenets.data.streets.scene import SceneObject, render
from densenets.data.streets.tree import settle
from densenets.errors import InputError, printable

VERSION = 4  # to be raised with every change of a pixel, a label or a file
IMAGES = {"train": 1200, "val": 150, "test": 150}
CATEGORIES = {"person": 1, "bicycle": 2, "car": 3, "bus": 6, "traffic light": 10, "traffic sign": 13}  # ids as in COCO
CITIES = {"train": ("lindenau", "marwick", "oldbury"), "val": ("quayside",), "test": ("zellbach",)}
OURS = "Street scenes drawn by densenets"
QUALITY = 92  # of a JPEG
CHUNK = 16  # scenes drawn by a worker before it reports

Row = dict[str, Any]  # one image of an annotation file with its annotations


class Job(NamedTuple):
    """The scenes `start` to `stop` of a split, which is the `place`-th; seed: the split's own."""

    folder: Path
    split: str
    place: int
    seed: int
    size: tuple[int, int]
    start: int
    stop: int


def write_streets(
    root: str | os.PathLike[str],
    *,
    images: Mapping[str, int] = IMAGES,
    size: tuple[int, int] = (320, 480),
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """root/{split}/*.jpg with root/annotations/instances_{split}.json; returns root.

    images: how many for each split; no scene is in two. size: height, width. workers: processes, None for one a core.
    A folder that holds the same set already is used as it is; one that holds something else is an InputError.
    """

    def fill(folder: Path) -> None:
        for name in ("annotations", *images):
            (folder / name).mkdir()
        for split, rows in _draw(_draw_coco, folder, images, size, seed, workers, progress).items():
            _annotations(folder, split).write_text(json.dumps(_content(rows)))

    stamp = _stamp("COCO", images, size, seed)
    return settle(Path(root), stamp, f"{OURS} (COCO layout)", lambda there: _coco_whole(there, images), fill)


def write_cityscapes_streets(
    root: str | os.PathLike[str],
    *,
    images: Mapping[str, int] = IMAGES,
    size: tuple[int, int] = (320, 480),
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """The scenes of `write_streets`, without JPEG's loss, under Cityscapes' names; returns root, a folder of its own.

    root/leftImg8bit/{split}/{city}/{city}_{sequence}_{frame}_leftImg8bit.png, and in root/gtFine the same with
    _gtFine_labelIds.png and _gtFine_instanceIds.png.
    """

    def fill(folder: Path) -> None:
        for split in images:
            for city in _cities(split):
                for kind in ("leftImg8bit", "gtFine"):
                    (folder / kind / split / city).mkdir(parents=True)
        _draw(_draw_cityscapes, folder, images, size, seed, workers, progress)

    stamp = _stamp("Cityscapes", images, size, seed)
    whole = lambda there: _cityscapes_whole(there, images)  # noqa: E731
    return settle(Path(root), stamp, f"{OURS} (Cityscapes layout)", whole, fill)


def _stamp(layout: str, images: Mapping[str, int], size: tuple[int, int], seed: int) -> dict[str, Any]:
    """What a folder holds; InputError for what cannot be drawn."""
    for split, count in images.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", split) or split == "annotations":
            raise InputError(f"{printable(split)}: not a name for a split; letters, digits, _ and - will do")
        if not 1 <= count < 1_000_000:
            raise InputError(f"split {split}: {count} street scenes; 1 to 999999 can be drawn")
    if min(size) < 64 or max(size) > 4096:
        raise InputError(f"street scenes of {size_told(size)}; each side must be 64 to 4096")
    if seed < 0:
        raise InputError(f"the street scenes' seed {seed} is negative")
    return {"layout": layout, "version": VERSION, "seed": seed, "size": list(size), "images": dict(images)}


def _annotations(root: Path, split: str) -> Path:
    return root / "annotations" / f"instances_{split}.json"


def _coco_whole(root: Path, images: Mapping[str, int]) -> bool:
    return all(
        _annotations(root, split).is_file() and sum(1 for _ in (root / split).glob("*.jpg")) == count
        for split, count in images.items()
    )


def _cityscapes_whole(root: Path, images: Mapping[str, int]) -> bool:
    ends = (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds"), ("gtFine", "gtFine_instanceIds"))
    return all(
        sum(1 for _ in (root / kind / split).glob(f"*/*_{end}.png")) == count
        for split, count in images.items()
        for kind, end in ends
    )


def split_seed(seed: int, split: str) -> int:
    """The seed with which `render` draws a split."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {split}".encode(), digest_size=8).digest(), "big")


def _draw(
    draw: Callable[[Job], list[Row]],
    folder: Path,
    images: Mapping[str, int],
    size: tuple[int, int],
    seed: int,
    workers: int | None,
    progress: bool,
) -> dict[str, list[Row]]:
    """Draw all scenes; what `draw` returned for each split, in the order of its scenes."""
    jobs = [
        Job(folder, split, place, split_seed(seed, split), size, start, min(start + CHUNK, count))
        for place, (split, count) in enumerate(images.items())
        for start in range(0, count, CHUNK)
    ]
    bar = Progress(console=Console(stderr=True), disable=not progress, transient=True)
    rows: dict[int, list[Row]] = {}
    with drawn_by_many(draw, jobs, min(workers or cores(), len(jobs))) as results, bar:
        task = bar.add_task("Drawing street scenes", total=len(jobs))
        for number, result in results:
            rows[number] = result
            bar.advance(task)
    return {split: [row for k, job in enumerate(jobs) if job.split == split for row in rows[k]] for split in images}


def _draw_coco(job: Job) -> list[Row]:
    rows = []
    for index in range(job.start, job.stop):
        scene, number = render(job.seed, index, *job.size), job.place * 1_000_000 + index + 1
        image = {"id": number, "file_name": f"{number:012d}.jpg", "height": job.size[0], "width": job.size[1]}
        _save(job.folder / job.split / f"{number:012d}.jpg", scene.image[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, QUALITY)
        rows.append({"image": image, "annotations": [_annotation(item, number) for item in scene.objects]})
    return rows


def _annotation(item: SceneObject, number: int) -> Row:
    x0, y0, x1, y1 = item.box
    return {
        "image_id": number,
        "category_id": CATEGORIES[item.category],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": item.area,
        "iscrowd": int(item.crowd),
        "segmentation": _runs(item),
    }


def _runs(item: SceneObject) -> Row:
    """COCO's run lengths of the mask, column by column: as numbers for a crowd, like COCO's own, else in short."""
    height, width = item.mask.shape
    x0, _, x1, _ = item.box
    part = np.zeros((x1 - x0) * height + 2, np.int8)
    part[1:-1] = item.mask[:, x0:x1].T.ravel()
    edges = np.flatnonzero(np.diff(part)) + x0 * height
    counts = np.diff(np.concatenate([[0], edges, [height * width]])).tolist()
    runs = {"size": [height, width], "counts": counts}
    if not item.crowd:
        runs["counts"] = coco_mask.frPyObjects(runs, height, width)["counts"].decode()
    return runs


def _content(rows: list[Row]) -> Row:
    """An annotation file, its annotations numbered from 1."""
    items = [item for row in rows for item in row["annotations"]]
    return {
        "info": {"description": OURS, "version": str(VERSION)},
        "images": [row["image"] for row in rows],
        "annotations": [{"id": number, **item} for number, item in enumerate(items, 1)],
        "categories": [{"id": number, "name": name, "supercategory": "street"} for name, number in CATEGORIES.items()],
    }


def _cities(split: str) -> tuple[str, ...]:
    return CITIES.get(split, (re.sub(r"[^a-z]", "", split.lower()) or "city",))


def _draw_cityscapes(job: Job) -> list[Row]:
    cities = _cities(job.split)
    for index in range(job.start, job.stop):
        scene, city = render(job.seed, index, *job.size), cities[index % len(cities)]
        shot = f"{city}_{index // len(cities):06d}_000019"
        for kind, end, pixels in (
            ("leftImg8bit", "leftImg8bit", scene.image[..., ::-1]),
            ("gtFine", "gtFine_labelIds", scene.label_ids),
            ("gtFine", "gtFine_instanceIds", scene.instance_ids),
        ):
            path = job.folder / kind / job.split / city / f"{shot}_{end}.png"
            _save(path, pixels, cv2.IMWRITE_PNG_COMPRESSION, 1)
    return []


def _save(path: Path, pixels: np.ndarray, setting: int, value: int) -> None:
    """By way of bytes: OpenCV is handed no path, as it crashes on some names."""
    _, data = cv2.imencode(path.suffix, pixels, [setting, value])
    path.write_bytes(data.tobytes())
