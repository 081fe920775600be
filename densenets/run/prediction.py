"""Prediction on pictures and folders: drawn pictures with detections.json in file px, or with masks of ids."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import nn

from densenets import draw
from densenets.build import ModelDescription
from densenets.config import Predict
from densenets.contract import Boxes, Detector
from densenets.data.decode import PictureError, read_image
from densenets.data.samples import placed
from densenets.data.transforms import build_augmentation, resize
from densenets.errors import DivergedError, InputError, Problems, printable
from densenets.files import file_name, inside
from densenets.heads import task_of
from densenets.metrics.prediction_masks import LISTING
from densenets.metrics.segmentation_judge import all_finite, classes_of
from densenets.run.device import device_of
from densenets.run.folder import Outcome, new_folder, provenance, write_json
from densenets.run.model import describe, load
from densenets.run.segmentation import size_seen
from densenets.storage import write_durably
from densenets.training.task import to_unit

log = logging.getLogger(__name__)
MASK = "_ids"  # behind the name of a drawn picture
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class Found(NamedTuple):
    """Of one picture: drawn over it, what a JSON file says of it, and the files written besides."""

    drawn: np.ndarray
    told: dict[str, Any]
    files: list[Path]


Look = Callable[[Path, np.ndarray, Path], Found]  # file, picture (H, W, 3) uint8, where its drawing will be


def predict(settings: Predict) -> Outcome:
    """What the model finds in every picture, drawn and written. Boxes are x0 y0 x1 y1 in file px."""
    out = Path(settings.out)
    with new_folder(out):
        return _predict(settings, out)


def _predict(settings: Predict, out: Path) -> Outcome:
    files, device = find_pictures(settings.images), device_of(settings.accelerator)
    model, description = load(settings.checkpoint)
    log.info(describe(description, model))
    model.to(device)
    boxes = task_of(description.head) == "detection"
    size = _size(settings, boxes)
    look = _detector(settings, model, description, device) if boxes else _segmenter(model, description, device, size)
    endings = ("",) if boxes else ("", MASK)
    names = output_names(files, endings)
    refuse_own_pictures(out, [f"{Path(name).stem}{ending}.png" for name in names.values() for ending in endings], files)
    found: list[tuple[dict[str, Any], list[Path]]] = []
    skipped: list[str] = []
    for file in track(files, "predicting", console=Console(stderr=True), transient=True):
        try:
            image = read_image(file)
        except PictureError as fault:
            skipped.append(str(fault))
            continue
        place = inside(out, names[file])
        one = look(file, image, place)
        write_picture(place, one.drawn)
        found.append((one.told, one.files))
    if not found:
        raise InputError(skipped[0])
    for line in skipped:
        log.warning("skipped: %s", line)
    listing = out / ("detections.json" if boxes else LISTING)
    results: dict[str, Any] = {"images": [told for told, _ in found], "skipped": skipped}
    results |= {"threshold": settings.threshold} if boxes else {"size": size and list(size)}
    results["produced_by"] = provenance(device)
    write_json(listing, results)
    text = f"{len(found)} images, {len(skipped)} skipped"
    if boxes:
        count = sum(len(told["detections"]) for told, _ in found)
        text = f"{count} detections of {settings.threshold:g} or more in {text}"
    return Outcome(results, text, [listing, *[file for _, files in found for file in files]])


def _size(settings: Predict, boxes: bool) -> tuple[int, int] | None:
    """(H, W) px at which a segmenter sees pictures; None is their own size."""
    if not boxes:
        return size_seen(settings.checkpoint, settings.size)
    if settings.size is not None:
        raise InputError("--size: goes with a segmenter: a detector sees pictures on the canvas of its training")
    return None


def _detector(settings: Predict, model: nn.Module, description: ModelDescription, device: torch.device) -> Look:
    def look(file: Path, image: np.ndarray, place: Path) -> Found:
        boxes = detect(model, image, device, settings.threshold, file)
        assert boxes.scores is not None
        in_file, labels, scores = boxes.boxes.numpy(), boxes.labels.numpy(), boxes.scores.numpy()
        drawn = draw.draw_boxes(image, in_file, labels, scores, description.classes)
        return Found(drawn, _plain(file, image, boxes, description), [place])

    return look


def _segmenter(
    model: nn.Module, description: ModelDescription, device: torch.device, size: tuple[int, int] | None
) -> Look:
    colours = np.array(description.palette, dtype=np.uint8)
    ids = np.array(description.category_ids)

    def look(file: Path, image: np.ndarray, place: Path) -> Found:
        classes = segment(model, image, device, file, size)
        drawn = draw.draw_classes(image, classes, colours)
        mask = place.with_name(f"{place.stem}{MASK}.png")
        write_picture(mask, ids.astype(np.uint8)[classes])
        told = {"file": str(file), "width": image.shape[1], "height": image.shape[0], "mask": mask.name}
        counts = np.bincount(classes.reshape(-1), minlength=len(ids)).tolist()
        told["pixels"] = {name: count for name, count in zip(description.classes, counts, strict=True) if count}
        return Found(draw.with_legend(drawn, classes, description.classes, colours), told, [place, mask])

    return look


def segment(
    model: nn.Module,
    image: np.ndarray,
    device: torch.device | None = None,
    source: object = "the picture",
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """(H, W) uint8 class of each px of a picture, (H, W, 3) uint8 RGB, as an evaluation chooses it.

    device: the model's, which is looked up where not given. source: what an error calls the picture. size: (H, W) px
    that the model sees it at; its own where not given.
    """
    seen = image if size is None else resize(image, *size)
    batch = torch.from_numpy(seen).permute(2, 0, 1).unsqueeze(0).to(device or _place_of(model))
    with torch.inference_mode():
        logits = model(to_unit(batch))[0]
    if not all_finite(logits):
        raise DivergedError(f"{printable(source)}: the model gave a logit that is not finite")
    info = placed(source, (image.shape[0], image.shape[1]), (seen.shape[0], seen.shape[1]))
    return classes_of(logits, info).cpu().numpy()


def detect(
    model: nn.Module,
    image: np.ndarray,
    device: torch.device | None = None,
    threshold: float = Predict.threshold,
    source: object = "the picture",
) -> Boxes:
    """The detections of one picture, (H, W, 3) uint8 RGB, at or above the threshold, best first; boxes in its own px.

    device, source: as of `segment`.
    """
    detector = cast(Detector, model)
    see = build_augmentation("none", detector.canvas, detector.keep_ratio)
    canvas, _, _ = see(image, np.zeros((0, 4), np.float32), 0)
    batch = torch.from_numpy(canvas).permute(2, 0, 1).unsqueeze(0).to(device or _place_of(model))
    with torch.inference_mode():
        boxes, labels, scores = (output[0].cpu() for output in model(to_unit(batch)))
    if not (torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
        raise DivergedError(f"{printable(source)}: the model gave a box or score that is not finite")
    info = placed(source, (image.shape[0], image.shape[1]), detector.canvas, detector.keep_ratio)
    in_file = info.to_file(boxes)
    whole = (in_file[:, 2:] > in_file[:, :2]).all(dim=1)  # none that lies beyond the picture, as in a judging
    keep = (scores >= threshold) & (scores > 0) & whole
    return Boxes(in_file[keep], labels[keep], scores[keep])


def _place_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _plain(file: Path, image: np.ndarray, boxes: Boxes, description: ModelDescription) -> dict[str, Any]:
    """One picture's part of detections.json."""
    assert boxes.scores is not None
    rows = zip(boxes.boxes.tolist(), boxes.labels.tolist(), boxes.scores.tolist(), strict=True)
    names, numbers = description.classes, description.category_ids
    found = [{"box": b, "class": names[k], "category_id": numbers[k], "score": s} for b, k, s in rows]
    return {"file": str(file), "width": image.shape[1], "height": image.shape[0], "detections": found}


def find_pictures(places: list[str]) -> list[Path]:
    """Files as given, and every picture below the folders given, in order. Raises InputError."""
    if "" in places:
        raise InputError("--images: an empty name")
    files = [file for place in places for file in _below(Path(place))]
    if not files:
        raise InputError("--images: no picture given")
    return list(dict.fromkeys(files))


def _below(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        inside = [file for file in sorted(place.rglob("*")) if file.suffix.lower() in SUFFIXES]
        if not inside:
            raise InputError(f"{printable(place)}: no picture in this folder ({' '.join(SUFFIXES)})")
        yield from inside
    else:
        raise InputError(f"{printable(place)}: no such picture or folder")


def output_names(files: list[Path], endings: Sequence[str] = ("",)) -> dict[Path, str]:
    """A name for each drawn picture; a number where what is written of another one has the same name.

    endings: what the names of all files that a picture gets have behind it.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for file in files:
        stem = name = file_name(file.stem)
        number = 2
        while taken & {f"{name}{ending}" for ending in endings}:
            name, number = f"{stem}-{number}", number + 1
        taken |= {f"{name}{ending}" for ending in endings}
        names[file] = f"{name}.png"
    return names


def refuse_own_pictures(out: Path, names: Sequence[str], files: Sequence[Path]) -> None:
    """InputError where what will be written would replace one of the pictures it is made from."""
    own = {os.path.realpath(file) for file in files}
    problems = Problems()
    for place in (inside(out, name) for name in names):
        if os.path.realpath(place) in own:
            problems.add(f"--out: {printable(place)}: is one of the pictures; name another folder")
    problems.refuse()


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """A PNG in place of whatever was there; a link is replaced, not followed."""
    write_durably(path, lambda handle: Image.fromarray(pixels).save(handle, "PNG"))
