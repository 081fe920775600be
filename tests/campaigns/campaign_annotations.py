"""Damaged COCO and VOC annotations through the real readers. What is accepted is judged with random detections."""

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from cases import check_lines
from mutations import ODD_VALUES, damage_bytes, damage_document

from densenets.config import ReadingRules
from densenets.data.coco import load_coco
from densenets.data.dataset import DetectionSplit
from densenets.data.samples import info_of
from densenets.data.voc import load_voc_root
from densenets.errors import InputError
from densenets.metrics.coco_map import evaluate

MEMORY = 2**30
FILES = ("a.jpg", "b.jpg", "sub/c.jpg")
PLACE = re.compile(  # what a refusal has to name
    r"(annotations|images|categories|object)\[\d+\]|not valid (JSON|XML)|has no list|no (images|categories)|"
    r"looks like x|: size|line \d+|is not the size|not a text in UTF-8|entities|"
    r"no such (annotation|picture)|no picture|skipped|"
    r"of \d+ |is no number"
)
TEXTS = ["1e999", "nan", " 7 ", "0x10", "1_0", "٣", "31", "12.5", "60"]


def _image(number: int, file: str, height: int = 80, width: int = 100) -> dict[str, Any]:
    return {"id": number, "file_name": file, "height": height, "width": width}


def _object(number: int, image: int, category: int, box: list[float], **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}


POLYGON = {"segmentation": [[10.0, 10.0, 40.0, 10.0, 40.0, 40.0]], "area": 450.0, "iscrowd": 0}
RLE = {"segmentation": {"counts": [0, 100, 7900], "size": [80, 100]}, "area": 100, "iscrowd": 1}
PLAIN = {"area": 200.0, "iscrowd": 0}
CLASSES = [
    {"id": 1, "name": "car", "supercategory": "vehicle"},
    {"id": 3, "name": "person"},
    {"id": 90, "name": "sign"},
]
COCO = {
    "plain": (
        [_image(1, "a.jpg"), _image(2, "b.jpg")],
        [_object(1, 1, 1, [10, 10, 20, 10], **PLAIN), _object(2, 2, 3, [0, 0, 100, 80], **PLAIN)],
        CLASSES,
    ),
    "sparse": (
        [_image(900100581904, "a.jpg"), _image(42, "b.jpg"), _image(7, "sub/c.jpg", 40, 60)],
        [_object(918, 42, 90, [1.5, 2.5, 3.25, 4.0]), _object(2206849, 900100581904, 3, [0, 1, 9, 9], **POLYGON)],
        CLASSES,
    ),
    "crowd": (
        [_image(1, "a.jpg")],
        [_object(i, 1, 3, [i * 5, 1, 8, 8], **(RLE if i % 2 else POLYGON)) for i in range(1, 9)],
        CLASSES[1:2],
    ),
    "empty": ([_image(i, name) for i, name in enumerate(FILES)], [], CLASSES),
    "roboflow": (
        [{**_image(i, name), "license": 1, "date_captured": "2024-01-01"} for i, name in enumerate(FILES)],
        [_object(i, i % 3, 1 + i % 2, [4 * i, 3, 7.5, 8], **PLAIN, segmentation=[]) for i in range(12)],
        [{"id": 0, "name": "things", "supercategory": "none"}]
        + [{"id": i, "name": name, "supercategory": "things"} for i, name in ((1, "cat"), (2, "dog"))],
    ),
}
XML = (
    "<annotation><folder>V</folder><filename>a.jpg</filename><size><width>100</width><height>80</height><depth>3"
    "</depth></size><object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax>"
    "<ymax>40.5</ymax></bndbox></object><object><name>dog</name><difficult>1</difficult><bndbox><xmin>0</xmin><ymin>0"
    "</ymin><xmax>100</xmax><ymax>80</ymax></bndbox></object></annotation>"
)


def prepare(folder: Path) -> Callable[[random.Random], str]:
    documents = [
        (name == "roboflow", dict(zip(("images", "annotations", "categories"), parts, strict=True)))
        for name, parts in COCO.items()
    ]
    _write(folder / "coco")
    voc = _write_voc(folder / "voc")

    def try_one(rng: random.Random) -> str:
        kind = "VOC" if rng.random() < 0.3 else "COCO"
        outcome = _voc(rng, voc) if kind == "VOC" else _coco(rng, folder / "coco", *rng.choice(documents))
        return f"{kind} {outcome}"

    return try_one


def _write(folder: Path) -> None:
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _write_voc(root: Path) -> Path:
    for place in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / place).mkdir(parents=True)
    for name in ("a", "b"):
        (root / "JPEGImages" / f"{name}.jpg").touch()
        (root / "Annotations" / f"{name}.xml").write_text(XML)
    (root / "ImageSets/Main/train.txt").write_text("a\nb\n")
    return root


def _rules(rng: random.Random) -> ReadingRules:
    lenient = {"skip_invalid": True, "renumber": True, "max_skip": 1.0, "follow_symlinks": True}
    return ReadingRules(**rng.choice([{}, {"strict": True}, lenient, lenient, {"box_format": "xyxy"}]))


def _coco(rng: random.Random, folder: Path, roboflow: bool, document: dict[str, Any]) -> str:
    by_bytes = rng.random()
    spoilt = document if by_bytes < 0.25 else damage_document(document, rng, rng.choice((1, 1, 3)))
    data = json.dumps(spoilt).encode("utf-8", "surrogatepass")
    if by_bytes < 0.35:
        data = damage_bytes(data, rng)
    path = folder / ("_annotations.coco.json" if roboflow else "ann.json")
    path.write_bytes(data)
    return _judged(lambda: load_coco(path, folder, None, _rules(rng)), rng, path)


def _voc(rng: random.Random, root: Path) -> str:
    xml, split = root / "Annotations" / "a.xml", root / "ImageSets/Main/train.txt"
    data, names = XML.encode(), b"a\nb\n"
    match rng.randrange(5):
        case 0:
            data = damage_bytes(data, rng)
        case 1:
            names = damage_bytes(names, rng)
        case _:
            data = _damage_tree(rng)
    xml.write_bytes(data)
    split.write_bytes(names)
    return _judged(lambda: load_voc_root(root, "train", None, _rules(rng)), rng, root)


def _damage_tree(rng: random.Random) -> bytes:
    """Elements with other texts and names, removed, or doubled somewhere else."""
    top = ElementTree.fromstring(XML)
    for _ in range(rng.randint(1, 3)):
        holder = rng.choice([item for item in top.iter() if len(item)] or [top])
        if not len(holder):
            break
        item = rng.choice(list(holder))
        match rng.randrange(5):
            case 0 | 1:
                item.text = str(rng.choice([*ODD_VALUES, *TEXTS]))
            case 2:
                holder.remove(item)
            case 3:
                rng.choice(list(top.iter())).append(copy.deepcopy(item))
            case 4:
                item.tag = rng.choice(["name", "bndbox", "object", "size", "xmin", "part"])
    for item in top.iter():  # what no writer of XML writes
        item.text = re.sub("[\ud800-\udfff]", "?", item.text or "")
    return ElementTree.tostring(top, encoding=rng.choice(["utf-8", "utf-16", "us-ascii"]))


def _judged(load: Callable[[], DetectionSplit], rng: random.Random, path: Path) -> str:
    try:
        split = load()
    except InputError as fault:
        check_lines(str(fault), str(path), PLACE)
        return "refused"
    _check(split)
    truth = split.ground_truth()
    numbers = evaluate(truth, _detections(split, rng))
    assert all(value is None or 0 <= value <= 1 for name, value in numbers.items() if name.startswith("A")), numbers
    return "accepted"


def _check(split: DetectionSplit) -> None:
    """What training relies on."""
    limit = np.repeat(split.sizes[:, ::-1], np.diff(split.first), axis=0)
    assert np.isfinite(split.boxes).all()
    assert (split.boxes >= 0).all()
    assert (split.boxes[:, 2:] <= limit).all()
    assert (split.boxes[:, 2:] > split.boxes[:, :2]).all()
    assert ((split.labels >= 0) & (split.labels < len(split.classes))).all()
    assert len(split) == len(set(split.image_ids.tolist())) == len(split.files)
    for index in range(len(split)):
        split.target(index)
        info_of(split, index, (64, 64))


def _detections(split: DetectionSplit, rng: random.Random) -> list[dict[str, Any]]:
    images, categories = split.image_ids.tolist(), split.category_ids.tolist()
    return [
        {
            "image_id": rng.choice(images),
            "category_id": rng.choice(categories),
            "bbox": [rng.uniform(0, 50), rng.uniform(0, 50), rng.uniform(0.1, 50), rng.uniform(0.1, 50)],
            "score": rng.choice((0.5, rng.random())),
        }
        for _ in range(rng.randrange(6))
    ]
