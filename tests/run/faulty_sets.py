"""Every kind of fault in a small COCO set, and the check of it."""

import hashlib
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from densenets.cli import main

Document = dict[str, Any]
Change = Callable[[Document, Path], None]  # of the annotations and the folder of the pictures of "train"


def check(data: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and check.json."""
    out = data.parent / "report"
    shutil.rmtree(out, ignore_errors=True)
    code = main(["check-data", "--data", str(data), "--out", str(out), "--size", "96", "--workers", "0", *words])
    return code, json.loads((out / "check.json").read_text())


def annotations(data: Path, split: str = "train") -> Path:
    return data / "annotations" / f"instances_{split}.json"


def changed(data: Path, change: Change) -> Path:
    document = json.loads(annotations(data).read_text())
    change(document, data / "train")
    annotations(data).write_text(json.dumps(document))
    return data


def box(*values: float) -> Change:
    return lambda document, _: document["annotations"][1].update(bbox=list(values))


def annotation(**values: Any) -> Change:
    return lambda document, _: document["annotations"][1].update(values)


def image(**values: Any) -> Change:
    return lambda document, _: document["images"][1].update(values)


def category(**values: Any) -> Change:
    return lambda document, _: document["categories"][1].update(values)


def bytes_of(data: bytes) -> Change:
    return lambda _, folder: (folder / "1.png").write_bytes(data) and None


def png_header(width: int, height: int) -> bytes:
    """A picture that says it is this large, in 57 bytes."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def cut_short(_: Document, folder: Path) -> None:
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2])


def cut_jpeg(document: Document, folder: Path) -> None:
    Image.open(folder / "1.png").save(folder / "1.jpg")
    data = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(data[: len(data) // 2])
    document["images"][1]["file_name"] = "1.jpg"


def smaller(_: Document, folder: Path) -> None:
    Image.open(folder / "1.png").resize((64, 64)).save(folder / "1.png")


def narrow(document: Document, folder: Path) -> None:
    Image.new("RGB", (600, 9)).save(folder / "1.png")
    document["images"][1].update(width=600, height=9)
    document["annotations"] = [item for item in document["annotations"] if item["image_id"] != 101]


def floating(_: Document, folder: Path) -> None:
    Image.fromarray(np.zeros((128, 128), np.float32)).save(folder / "1.png", "TIFF")


def animated(_: Document, folder: Path) -> None:
    frames = [Image.new("RGB", (128, 128), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "1.png", save_all=True, append_images=frames[1:])


def linked_out(_: Document, folder: Path) -> None:
    outside = folder.parent.parent / "outside.png"
    shutil.move(folder / "1.png", outside)
    (folder / "1.png").symlink_to(outside)


def same_id(document: Document, _: Path) -> None:
    document["annotations"][1]["id"] = document["annotations"][0]["id"]


def same_image_id(document: Document, _: Path) -> None:
    document["images"][1]["id"] = document["images"][0]["id"]


def corners(document: Document, _: Path) -> None:
    for item in document["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]


RUNS = {"size": [128, 128], "counts": [128 * 128 - 1]}
# Kind of fault: its code, what is done to a sound set, and whether it comes as an error.
ZOO: dict[str, tuple[str, Change, bool]] = {
    "cut PNG": ("D01", cut_short, False),
    "cut JPEG": ("D01", cut_jpeg, False),
    "empty file": ("D03", bytes_of(b""), False),
    "zeros": ("D03", bytes_of(b"\0" * 500), False),
    "HTML": ("D03", bytes_of(b"<!DOCTYPE html><title>404</title>"), False),
    "git-lfs pointer": ("D03", bytes_of(b"version https://git-lfs.github.com/spec/v1\n"), False),
    "floating-point TIFF": ("D03", floating, False),
    "zero-area box": ("D07", box(10, 10, 0, 5), False),
    "negative width": ("D08", box(10, 10, -5, 5), True),
    "NaN": ("D09", box(10, 10, float("nan"), 5), True),
    "infinity": ("D09", box(10, 10, float("inf"), 5), True),
    "a number beyond floats": ("D09", box(10, 10, 10**400, 5), True),
    "negative area": ("D09", annotation(area=-1), True),
    "box outside": ("D10", box(200, 10, 5, 5), True),
    "box partly outside": ("D11", box(100, 10, 60, 20), True),
    "corners": ("D12", corners, True),
    "odd iscrowd": ("D15", annotation(iscrowd=2), True),
    "category name twice": ("D18", category(name="red"), True),
    "category id twice": ("D18", category(id=4), True),
    "image id twice": ("D19", same_image_id, True),
    "annotation id twice": ("D20", same_id, True),
    "unknown image": ("D22", annotation(image_id=999), True),
    "unknown category": ("D22", annotation(category_id=999), True),
    "missing picture": ("D23", lambda _, folder: (folder / "1.png").unlink(), True),
    "path upwards": ("D24", image(file_name="../val/6.png"), True),
    "absolute path": ("D24", image(file_name="/etc/passwd"), True),
    "NUL in a name": ("D24", image(file_name="1\0.png"), True),
    "link out of the folder": ("D24", linked_out, True),
    "bomb": ("D25", bytes_of(png_header(60_000, 60_000)), False),
    "narrow picture": ("D26", narrow, False),
    "size of nothing": ("D26", image(width=0), True),
    "another size": ("D27", smaller, True),
    "animation": ("D30", animated, True),
    "no images": ("D36", lambda document, _: document.update(images=[], annotations=[]), True),
    "no categories": ("D36", lambda document, _: document.update(categories=[], annotations=[]), True),
    "id true": ("D37", annotation(id=True), True),
    "id beyond 2^53": ("D37", annotation(id=2**60), True),
    "image id as text": ("D37", image(id="101"), True),
    "name of no text": ("D37", category(name=5), True),
    "annotation of no object": ("D37", lambda document, _: document["annotations"].insert(0, 7), True),
    "no list": ("D37", lambda document, _: document.update(annotations={}), True),
    "run lengths": ("D38", annotation(segmentation=RUNS), True),
    "polygon of 2 points": ("D39", annotation(segmentation=[[1, 1, 5, 5]]), False),
    "polygon far outside": ("D39", annotation(segmentation=[[1, 1, 1e9, 5, 7, 7]]), True),
    "polygon with NaN": ("D39", annotation(segmentation=[[1, 1, float("nan"), 5, 7, 7]]), True),
    "box of 3 numbers": ("D43", box(10, 10, 5), True),
    "box of texts": ("D43", annotation(bbox=["1", "2", "3", "4"]), True),
    "tiny box": ("tiny", box(10, 10, 1, 20), False),
    "box of all": ("nearly-all", box(0, 0, 128, 128), False),
    "unused class": ("unused-class", lambda d, _: d["categories"].append({"id": 50, "name": "never"}), False),
    "twin": ("duplicate", lambda _, folder: shutil.copy(folder / "0.png", folder / "1.png") and None, False),
    "leak": ("leak", lambda _, folder: shutil.copy(folder.parent / "val/6.png", folder / "1.png") and None, False),
}


def contents(folder: Path) -> dict[str, str]:
    """Of every file; what a link leads to is its target's."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
