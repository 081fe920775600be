"""Made up from end to end: comparisons with plausible numbers that nobody measured, to look at the report with.

`python tests/analysis/example_comparison.py FOLDER` writes FOLDER/detection and FOLDER/segmentation.
"""

import math
import sys
from pathlib import Path

import numpy as np

from densenets.analysis.comparison import Cell, Comparison, Difference, Interval, Model, Picture

CELLS = ["red blood cell", "white blood cell", "platelet"]
STREET = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
COCO_LIKE = [f"made-up class {number}" for number in range(1, 81)]
HOST = "made-up host, 1 cell at a time, cpu"
KINDS = {"classification": 0.2, "localisation": 0.5, "both": 0.1, "duplicate": 0.05, "background": 0.3, "missed": 0.6}
KINDS |= {"false positives": 0.7, "false negatives": 0.8}
DETECTORS = [  # name, backbone, weights, AP, M parameters, M MAdds, ms
    ("v1", "v1", None, 0.431, 5.10, 1210.0, 31.0),
    ("v2", "v2", None, 0.512, 4.34, 789.0, 27.5),
    ("v3-large", "v3-large", None, 0.523, 5.01, 613.0, 24.1),
    ("v3-small", "v3-small", None, 0.447, 2.52, 210.0, 11.2),
    ("v2, ImageNet", "v2", "mobilenet_v2.pth", 0.588, 4.34, 789.0, 27.9),
]
SEGMENTERS = [
    ("v1", "v1", None, 0.522, 1.62, 1830.0, 96.0),
    ("v2", "v2", None, 0.561, 0.98, 1100.0, 80.0),
    ("v3-large", "v3-large", None, 0.568, 1.51, 870.0, 71.0),
    ("v3-small", "v3-small", None, 0.497, 0.47, 260.0, 28.0),
]


def detection(folder: Path, classes: list[str] = CELLS, pictures: int = 8) -> Comparison:
    """Five models of three seeds: one failed cell, one model that never finished, one without latency, ties."""
    models = [_model(row, "detection", "ssdlite", (320, 320), classes, seeds=3) for row in DETECTORS]
    dead = models[3].cells[2]
    dead.state, dead.scores, dead.curves, dead.seconds = "failed", {}, [], 74.0
    dead.fault = "loss is not finite at epoch 3, step 41: lower --lr [T01]"
    lost = _model(
        ("v3-large, width 2", "v3-large", None, 0.5, 16.2, 2100.0, 60.0), "detection", "ssdlite", (320, 320), [], 1
    )
    lost.scores, lost.spread, lost.per_class, lost.error_types, lost.latency, lost.rank = {}, {}, {}, {}, {}, None
    lost.width, lost.cells[0].state, lost.cells[0].scores, lost.cells[0].curves = 2.0, "failed", {}, []
    lost.cells[0].fault = "out of memory: 16.0 GiB are not enough; lower --batch-size [T20]"
    models[0].latency = {}
    return _whole(
        "detection", "BCCD (made up)", "AP", [*models, lost], classes, _pictures(folder, models, _boxes, pictures)
    )


def segmentation(folder: Path, pictures: int = 8) -> Comparison:
    """Four models of one seed each."""
    models = [_model(row, "segmentation", "lraspp", (360, 480), STREET, seeds=1) for row in SEGMENTERS]
    return _whole(
        "segmentation", "CamVid (made up)", "mIoU", models, STREET, _pictures(folder, models, _masks, pictures)
    )


def many_classes(folder: Path) -> Comparison:
    """80 classes, six models, eight pictures of the usual size."""
    return detection(folder, COCO_LIKE)


def _whole(
    task: str, data: str, ranked_by: str, models: list[Model], classes: list[str], pictures: list[Picture]
) -> Comparison:
    _rank(models, ranked_by)
    epochs, short = len(models[0].cells[0].curves), "det" if task == "detection" else "seg"
    return Comparison(
        task=task,
        data=data,
        split="val",
        images=72,
        classes=classes,
        ranked_by=ranked_by,
        level=0.95,
        draws=1000,
        models=models,
        differences=_differences(models, ranked_by),
        pictures=pictures,
        protocol={
            "images": "the same, in the same order for the same seed",
            "augmentation": "the same draws for the same seed, epoch and image",
            "epochs": epochs,
            "batch_size": 16,
            "schedule": {"learning rate": 0.02, "shape": "cosine", "warm-up steps": 200},
            "seeds": [0, 1, 2],
            "threads": 2,
        },
        machine={
            "processor": "Made-up CPU 3.0 GHz",
            "threads": 2,
            "system": "Linux x86_64",
            "runs": 200,
            "warm_up": 20,
        },
        commands=[
            ["densenets", "compare", "--backbones", "v1", "v2", "v3-large", "v3-small", "--data", f"DATA/{short}"]
        ],
        produced_by={"command": ["compare"], "densenets": "0.1.0", "python": "3.11.2", "torch": "2.15.0"},
    )


def _model(
    row: tuple[str, str, str | None, float, float, float, float],
    task: str,
    head: str,
    canvas: tuple[int, int],
    classes: list[str],
    seeds: int,
) -> Model:
    title, backbone, weights, value, parameters, madds, ms = row
    rng = np.random.default_rng(len(title) * 1000 + int(1000 * value))
    cells = [_cell(title, seed, task, backbone, head, value, rng) for seed in range(seeds)]
    key = "AP" if task == "detection" else "mIoU"
    found = [cell.scores[key] or 0.0 for cell in cells]
    model = Model(title, task, backbone, head, 1.0, canvas, weights, cells)
    model.scores = {
        name: _interval(float(np.mean([c.scores[name] or 0.0 for c in cells])), rng) for name in cells[0].scores
    }
    model.spread = {key: (min(found), max(found))} if seeds > 1 else {}
    levels = np.clip(rng.normal(value, 0.14, len(classes)), 0.02, 0.97)
    model.per_class = {name: _interval(float(level), rng) for name, level in zip(classes, levels, strict=True)}
    if len(classes) > 8:
        model.per_class[classes[7]] = Interval(None)
    if task == "detection":
        model.error_types = {kind: float(part * (1 - value) * rng.uniform(0.2, 0.4)) for kind, part in KINDS.items()}
    model.costs = {
        "parameters": parameters * 1e6,
        "madds": madds * 1e6,
        "file_bytes": parameters * 4.03e6,
        "activation_bytes": madds * 3.1e4,
        "peak_bytes": 2.1e8 + madds * 4e4,
    }
    model.latency = {
        "p50": ms,
        "p90": 1.08 * ms,
        "p99": 1.3 * ms,
        "pre": 1.9,
        "network": 0.8 * ms,
        "post": 0.2 * ms - 1.9,
        "drift": 0.02,
        "cores": 0.99,
    }
    return model


def _interval(value: float, rng: np.random.Generator) -> Interval:
    half = float(rng.uniform(0.025, 0.04))
    return Interval(value, max(0.0, value - half), min(1.0, value + 0.9 * half))


def _cell(title: str, seed: int, task: str, backbone: str, head: str, value: float, rng: np.random.Generator) -> Cell:
    end = float(value + rng.normal(0, 0.008))
    detects = task == "detection"
    names = {"AP": 1.0, "AP50": 1.6, "AP75": 0.9, "APs": 0.4, "APm": 0.9, "APl": 1.15, "AR100": 1.2}
    names = names if detects else {"mIoU": 1.0, "pixel_accuracy": 1.55, "category_mIoU": 1.3}
    scores: dict[str, float | None] = {name: min(0.97, end * part) for name, part in names.items()}
    key = "AP" if detects else "mIoU"
    curves = []
    for epoch in range(24):
        row = {"epoch": epoch, "loss": 1.1 + 7 * math.exp(-epoch / 4) + float(rng.normal(0, 0.06)), "lr": 0.02}
        if epoch % 2:
            row[key] = end * (1 - math.exp(-(epoch + 1) / 6)) + float(rng.normal(0, 0.004))
        curves.append(row)
    folder, short = f"cells/{title}-s{seed}", "det" if detects else "seg"
    commands = [
        [
            "env",
            "OMP_NUM_THREADS=2",
            "densenets",
            f"train-{short}",
            "--backbone",
            backbone,
            "--head",
            head,
            "--seed",
            str(seed),
            "--out",
            folder,
        ],
        ["densenets", f"eval-{short}", "--checkpoint", folder, "--split", "val", "--out", f"{folder}/eval"],
    ]
    seconds = float(500 + 90 * rng.random())
    return Cell(f"{title}, seed {seed}", title, seed, folder, "done", seconds, None, scores, curves, commands, HOST)


def _rank(models: list[Model], key: str) -> None:
    ranked = sorted((m for m in models if key in m.scores), key=lambda m: -(m.scores[key].value or 0))
    for place, model in enumerate(ranked, start=1):
        model.rank = place
    for row in _differences(models, key):
        if row.tie:
            by_name = {model.name: model for model in models}
            by_name[row.first].ties.append(row.second)
            by_name[row.second].ties.append(row.first)


def _differences(models: list[Model], key: str) -> list[Difference]:
    found = []
    for at, first in enumerate(models):
        for second in models[at + 1 :]:
            if key in first.scores and key in second.scores:
                gap = (first.scores[key].value or 0) - (second.scores[key].value or 0)
                ends = Interval(gap, gap - 0.021, gap + 0.02)
                found.append(Difference(first.name, second.name, ends, gap - 0.021 <= 0 <= gap + 0.02))
    return found


# Pictures


def _pictures(folder: Path, models: list[Model], draw: object, count: int) -> list[Picture]:
    from PIL import Image

    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        files = {}
        for who, noise in [("truth", 0.0), *((model.name, 0.4 + 0.3 * at) for at, model in enumerate(models))]:
            file = f"pictures/{number}-{who.replace(', ', '-')}.jpg"
            Image.fromarray(draw(number, noise)).save(folder / file, quality=88)  # type: ignore[operator]
            files[who] = file
        found.append(Picture(f"BloodImage_{number:05d}.jpg", files.pop("truth"), files))
    return found


def _boxes(number: int, noise: float) -> np.ndarray:
    """Discs on a pale ground, boxes beside them by as many px as noise says."""
    from PIL import Image, ImageDraw

    from densenets.draw import draw_boxes

    rng, wobble = np.random.default_rng(number), np.random.default_rng(number + int(100 * noise))
    image = Image.new("RGB", (640, 480), (232, 222, 214))
    brush, boxes, labels = ImageDraw.Draw(image), [], []
    for _ in range(14):
        x, y, r, kind = (
            rng.uniform(40, 600),
            rng.uniform(40, 440),
            rng.uniform(26, 44),
            int(rng.choice(3, p=[0.8, 0.1, 0.1])),
        )
        r = r * (1.0, 1.5, 0.4)[kind]
        brush.ellipse((x - r, y - r, x + r, y + r), fill=((216, 150, 148), (120, 80, 160), (150, 100, 170))[kind])
        boxes.append(np.clip(np.array([x - r, y - r, x + r, y + r]) + wobble.normal(0, 8 * noise, 4), 0, 639))
        labels.append(kind)
    kept = wobble.random(len(boxes)) > 0.12 * noise
    pixels = np.clip(np.asarray(image) + rng.normal(0, 5, (480, 640, 3)), 0, 255).astype(np.uint8)
    scores = None if noise == 0 else wobble.uniform(0.4, 0.99, len(boxes))[kept]
    return draw_boxes(pixels, np.array(boxes)[kept], np.array(labels)[kept], scores, CELLS)


def _masks(number: int, noise: float) -> np.ndarray:
    """Bands of sky, houses and road whose edges wander with the noise."""
    rng, wobble = np.random.default_rng(number), np.random.default_rng(number + int(100 * noise))
    x, y = np.arange(480), np.arange(360)[:, None]
    image = np.full((360, 480, 3), (128, 128, 128), dtype=np.float64)
    image[y > 110 + 40 * np.sin(x / 40 + number) + 10 * noise * wobble.normal(0, 1, 480)] = (128, 0, 0)
    image[y > 230 + 6 * noise * wobble.normal(0, 1, 480)] = (128, 64, 128)
    for _ in range(3):
        left, wide = rng.uniform(40, 400), rng.uniform(30, 70)
        inside = (np.abs(x - left) < wide) & (np.abs(y - 240 - 8 * noise * wobble.normal()) < 0.5 * wide)
        image[inside] = (64, 0, 128)
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    from densenets.analysis.report import write_report

    for make in (detection, segmentation, many_classes):
        place = Path(sys.argv[1]) / make.__name__
        for path in write_report(make(place), place):
            sys.stdout.write(f"{path} {path.stat().st_size:,} bytes\n")
