"""Damaged sets of masks through the data check, the opening of a training with all its samples, and the judging of a
folder of predicted masks: each ends as it does for a sound set, or with lines that name a file.

What the check lets pass is opened and read too: the two must not disagree.
"""

import io
import json
import os
import random
import re
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import check_lines
from mutations import damage_bytes, damage_document
from PIL import Image

from densenets.config import CheckData, EvalSegmentation, TrainSegmentation
from densenets.data.mask_transforms import MaskAugmentation
from densenets.data.segmentation import SegmentationDataset, SegmentationSplit
from densenets.errors import InputError
from densenets.run import check_data, evaluate_segmentation
from densenets.run.segmentation import Segmentation

sys.path.append(str(Path(__file__).parent.parent / "data"))
from mask_sets import write_cityscapes, write_folder, write_voc

MEMORY = 2**31
SIZE = (16, 24)
COLOURS = [{"name": name, "color": [90 * place, 0, 255 - 90 * place]} for place, name in enumerate(("a", "b", "c"))]
MASKS = {"folder": "masks", "colours": "masks", "cityscapes": "gtFine", "voc": "SegmentationClass"}
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F", "CMYK")
PLACE = re.compile(r"/(folder|colours|cityscapes|voc)\b|--classes|shared memory")
Damage = Callable[[Path, random.Random], object]


def prepare(folder: Path) -> Callable[[random.Random], str]:
    sound, work, out = folder / "sound", folder / "work", folder / "out"
    for split in ("train", "val"):
        write_folder(sound / "folder", split, 2, SIZE)
        write_coloured(sound / "colours", split)
        write_cityscapes(sound / "cityscapes", split, 2, SIZE)
        write_voc(sound / "voc", split, 2, SIZE)

    def try_one(rng: random.Random) -> str:
        layout = rng.choice([*MASKS])
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(sound / layout, work / layout)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            damage(work / layout, layout, rng)
        if rng.random() < 0.3:
            return f"masks {judged(sound / layout, work / layout, layout)}"
        passed = checked(work / layout, out) if rng.random() < 0.5 else None
        outcome = opened(work / layout)
        assert not (passed and outcome == "refused"), "a training alone finds an error, the check none"
        assert passed is not False or not readable(work / layout), "the check alone finds an error"
        return f"set {outcome}"

    return try_one


def write_coloured(root: Path, split: str) -> None:
    """A folder whose masks hold the colours of its classes."""
    write_folder(root, split, 2, SIZE)
    (root / "classes.txt").unlink()
    (root / "classes.json").write_text(json.dumps([*COLOURS, {"ignored": True, "color": [0, 0, 0]}]))
    colours = np.array([row["color"] for row in COLOURS], dtype=np.uint8)
    for mask in (root / "masks" / split).iterdir():
        ids = np.asarray(Image.open(mask))
        Image.fromarray(colours[np.where(ids == 255, 0, ids)]).save(mask)


# What is done with it


def checked(data: Path, out: Path) -> bool:
    """Whether the check finds no error; what it writes is sound JSON and no line of it is odd."""
    shutil.rmtree(out, ignore_errors=True)
    try:
        check_data(CheckData(data=str(data), out=str(out), workers=0, head="lraspp", splits=["train", "val"]))
    except InputError as fault:
        check_lines(str(fault))
    if not (out / "check.json").exists():  # no such layout, say
        return False
    report = json.loads((out / "check.json").read_text())
    for problem in report["problems"]:
        check_lines(problem["line"])
    return bool(report["ok"])


def opened(data: Path) -> str:
    try:
        return sampled(*Segmentation().open_training(TrainSegmentation(data=str(data), size=32)))
    except InputError as fault:
        check_lines(str(fault), "", PLACE)
        return "refused"


def sampled(train: SegmentationSplit, val: SegmentationSplit) -> str:
    """Every sample of a training and of its validation."""
    replaced = 0
    samples = SegmentationDataset(train, MaskAugmentation("seg", (32, 32), [0.5, 2.0]), substitute=True)
    for index in range(len(samples)):
        one = samples[0, index]
        assert one.image.shape == (3, 32, 32)
        assert one.target.ids.shape == (32, 32)
        replaced += len(one.skipped)
    judging = SegmentationDataset(val)
    for index in range(len(judging)):
        image, mask, _, _ = judging[0, index]
        assert image.shape[1:] == mask.ids.shape
        assert bool((mask.ids < len(val.classes)).logical_or(mask.ids == 255).all())
    return "read, with a picture skipped" if replaced else "read"


def readable(data: Path) -> bool:
    """Whether every file can be read, those too that only a judging of the training split needs."""
    try:
        for split in Segmentation().open_training(TrainSegmentation(data=str(data))):
            for index in range(len(split)):
                split.truth(index, instances=True)
                split.picture(index)
    except InputError:
        return False
    return True


def judged(sound: Path, work: Path, layout: str) -> str:
    """The masks of the damaged set as predictions of the sound one; those of the other split and of objects go."""
    for path in [*work.rglob("*")]:
        if path.is_file() and ("train" in path.parts or path.name.endswith("instanceIds.png")):
            path.unlink()
    try:
        settings = EvalSegmentation(predictions=str(work / MASKS[layout]), data=str(sound), classes=[])
        numbers = evaluate_segmentation(settings).results
    except InputError as fault:
        check_lines(str(fault), "", PLACE)
        return "refused"
    assert numbers["mIoU"] is None or 0 <= numbers["mIoU"] <= 1
    return "judged"


# Damage


def damage(root: Path, layout: str, rng: random.Random) -> None:
    """One file of the set, mostly a mask, is not what it was."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    masks = [path for path in files if MASKS[layout] in path.parts]
    lists = [path for path in files if path.suffix in (".txt", ".json")]
    others = [path for path in files if path not in masks and path not in lists]
    draw = rng.random()
    chosen = lists if lists and draw < 0.15 else others if others and draw < 0.3 else masks
    if chosen:
        path = rng.choice(chosen)
        rng.choice(OF_LISTS if path in lists else OF_PICTURES)(path, rng)


def write_bytes(path: Path, rng: random.Random) -> None:
    path.write_bytes(damage_bytes(path.read_bytes(), rng))


def cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])


def in_a_chunk(path: Path, rng: random.Random) -> None:
    """Of a PNG: bytes of one part, with the right checksum; of the pixels, bytes before they were packed."""
    parts = list(chunks(path.read_bytes()))
    if parts:
        at = rng.randrange(len(parts))
        kind, content = parts[at]
        content = pixels_damaged(content, rng) if kind == b"IDAT" else damage_bytes(content, rng, times=2)
        parts[at] = (kind, content)
        path.write_bytes(packed(parts))


def pixels_damaged(content: bytes, rng: random.Random) -> bytes:
    try:
        return zlib.compress(damage_bytes(zlib.decompress(content), rng))
    except zlib.error:  # damaged before
        return damage_bytes(content, rng, times=2)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def packed(parts: list[tuple[bytes, bytes]]) -> bytes:
    pieces = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def header(path: Path, rng: random.Random) -> None:
    """Another size, depth, kind of colour or interlacing is stated."""
    parts = chunks(path.read_bytes())
    if parts and len(parts[0][1]) == 13:
        fields = list(struct.unpack(">IIBBBBB", parts[0][1]))
        at = rng.choice((0, 1, 2, 3, 6))
        fields[at] = rng.choice((0, 1, 7, 25, 60_000, 2**31 - 1) if at < 2 else (0, 1, 2, 3, 4, 6, 8, 16, 255))
        path.write_bytes(packed([(b"IHDR", struct.pack(">IIBBBBB", *fields)), *parts[1:]]))


def another_mode(path: Path, rng: random.Random) -> None:
    image = opened_as("L", path)
    kind = rng.choice(MODES)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * rng.choice((1, 257))) if kind == "I;16" else image
    image = image if kind == "I;16" else image.convert(kind)
    image.save(path, "TIFF" if kind == "F" else "JPEG" if kind == "CMYK" else rng.choice(("PNG", "PNG", "BMP"))
               if kind in ("1", "L", "P", "RGB") else "PNG")  # fmt: skip


def another_format(path: Path, rng: random.Random) -> None:
    opened_as(rng.choice(("L", "RGB")), path).save(path, rng.choice(("JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")))


def animated(path: Path, rng: random.Random) -> None:
    frames = [opened_as("L", path), Image.new("L", SIZE[::-1], 1)]
    frames[0].save(path, "PNG", save_all=True, append_images=frames[1:])


def turned(path: Path, rng: random.Random) -> None:
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(10)
    opened_as("RGB" if "images" in path.parts else "L", path).save(path, "PNG", exif=exif)


def another_size(path: Path, rng: random.Random) -> None:
    size = rng.choice(((1, 1), (SIZE[0], SIZE[1]), (SIZE[1], SIZE[0] + 1), (8, 900), (7, 7)))
    opened_as("L", path).resize(size, Image.Resampling.NEAREST).save(path, "PNG")


def other_ids(path: Path, rng: random.Random) -> None:
    kind = rng.choice((np.uint8, np.uint16))
    ids = np.asarray(opened_as("L", path)).astype(kind)
    known = rng.choice(([255], [0], [254], [33, 34], list(range(256)), [int(np.iinfo(kind).max)]))
    places = np.random.default_rng(rng.randrange(10**6)).random(ids.shape) < rng.choice((0.01, 0.5, 1.0))
    Image.fromarray(np.where(places, np.array(rng.choice(known), kind), ids).astype(kind)).save(path, "PNG")


DAMAGED_PNG = (OSError, SyntaxError, ValueError, ArithmeticError, struct.error)  # as Pillow raises for one


def opened_as(mode: str, path: Path) -> Image.Image:
    """What it holds; where an earlier mutation damaged that, something: what the case is about comes afterwards."""
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return image.convert(mode)
    except (*DAMAGED_PNG, Image.DecompressionBombError):  # the latter: of a damaged header, beyond all sizes
        return Image.new(mode, SIZE[::-1])


def gone(path: Path, rng: random.Random) -> None:
    path.unlink()


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def folder_in_its_place(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def odd_in_its_place(path: Path, rng: random.Random) -> None:
    path.unlink()
    target = rng.choice((path.name, "gone", "/dev/zero", "/dev/null", "/etc/hostname", "..", None))
    os.mkfifo(path) if target is None else path.symlink_to(target)


def another_name(path: Path, rng: random.Random) -> None:
    names = ("x.png", path.name.upper(), path.stem, f"{path.stem}.bmp", f"{path.name}.png", "\udcff.png", "a\nb.png")
    path.rename(path.with_name(rng.choice(names)))


def twice(path: Path, rng: random.Random) -> None:
    path.with_name(f"{path.stem}{rng.choice(('.bmp', '.jpg', '_2.png'))}").write_bytes(path.read_bytes())


def exchanged(path: Path, rng: random.Random) -> None:
    other = rng.choice(sorted(file for file in path.parent.iterdir() if file.is_file()))
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


def list_damaged(path: Path, rng: random.Random) -> None:
    if path.suffix == ".json":
        document = [*COLOURS, {"ignored": True, "color": [0, 0, 0]}]
        path.write_bytes(json.dumps(damage_document(document, rng)).encode("utf-8", "surrogatepass"))
    else:
        lines = path.read_text(errors="replace").splitlines()
        odd = ("", " ", "x" * 400, "\0", "../train", "#", "\ufeff", "sky", "\x1b[2J", *lines)
        lines[rng.randrange(len(lines) + 1) : rng.randrange(len(lines) + 1)] = [rng.choice(odd)] * rng.choice((1, 300))
        path.write_text("\n".join(lines))


def other_list(path: Path, rng: random.Random) -> None:
    """A second class list, which counts before or behind the first."""
    path.with_name("classes.json").write_text(json.dumps(damage_document(["sky", "road", "car"], rng, times=1)))


OF_PICTURES: tuple[Damage, ...] = (
    write_bytes, write_bytes, cut, in_a_chunk, in_a_chunk, header, another_mode, another_mode, another_format, animated,
    turned, another_size, other_ids, other_ids, gone, empty, folder_in_its_place, odd_in_its_place, another_name, twice,
    exchanged,
)  # fmt: skip
OF_LISTS: tuple[Damage, ...] = (
    write_bytes, list_damaged, list_damaged, gone, empty, other_list, folder_in_its_place, odd_in_its_place,
)  # fmt: skip
