"""The figures as aligned text."""

from collections.abc import Collection, Sequence
from typing import Any

from densenets.build import in_px
from densenets.errors import printable

MB = 1e6
LATENCIES = ("p50", "p90", "p99", "pre", "network", "post")
END = {"detection": "boxes in its own px", "segmentation": "the class of each of its px"}


def page(results: dict[str, Any], pictures: str) -> str:
    """All of profile.json that a person wants to see at once. pictures: what latency was measured on, in words."""
    models = results["models"]
    blocks = [block for model in models for block in (_heading(model), _costs(model["costs"]), _parts(model))]
    return "\n\n".join([*blocks, _latency(results), _machine(results, pictures)])


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Columns apart by two spaces, those of the numbers `left` to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _heading(model: dict[str, Any]) -> str:
    tail = ", reduced tail" * model["reduced_tail"]
    weights = "trained" if model["checkpoint"] else "fresh weights"
    net = f"{model['backbone']} x {model['width']:g} + {model['head']}{tail}"
    size = in_px(model["canvas"])
    return f"{printable(model['name'])}: {net}, {model['classes']} classes, {size}, {weights}"


def _costs(costs: dict[str, float | None]) -> str:
    file = f"{_mb(costs['file_bytes'])} MB as safetensors"
    if costs["checkpoint_bytes"] is not None:
        file += f", {_mb(costs['checkpoint_bytes'])} MB as the checkpoint it came from"
    peak = costs.get("peak_bytes")
    rows = [
        ("parameters", f"{costs['parameters']:,}, {costs['trainable_parameters']:,} of them trainable"),
        ("MAdds", f"{(costs['madds'] or 0) / 1e9:.3f} B: convolutions and fully connected layers, one image"),
        ("weights", file),
        ("activations", f"{_mb(costs['activation_bytes'])} MB made, {_mb(costs['peak_activation_bytes'])} MB at once"),
        (
            "peak memory",
            "not told by this system" if peak is None else f"{_mb(peak)} MB above the loaded model, held at once",
        ),
    ]
    return "\n".join(f"{name:<13}{value}" for name, value in rows)


def _parts(model: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [("part", "output", "parameters", "M MAdds", "MB made", "time")]
    parts = model["parts"]
    rows += [_row(part["name"], _shapes(part["shapes"]), part) for part in parts]
    sums = {name: sum(part[name] for part in parts) for name in FIGURES}
    return aligned([*rows, _row("all", "", sums)])


FIGURES = ("parameters", "madds", "activation_bytes", "time_share")


def _row(name: str, shape: str, part: dict[str, Any]) -> tuple[str, ...]:
    parameters, madds, made, time = (part[figure] for figure in FIGURES)
    return name, shape, f"{parameters:,}", f"{madds / 1e6:.1f}", _mb(made), f"{time:.1%}"


def _shapes(shapes: list[list[int]]) -> str:
    """Of a part's first layer and its last: N x C x H x W, of which N is left out where it is 1."""
    told = ["x".join(map(str, shape if shape[0] > 1 else shape[1:])) for shape in shapes]
    return " .. ".join(dict.fromkeys([told[0], told[-1]])) if told else ""


def _latency(results: dict[str, Any]) -> str:
    tasks = dict.fromkeys(model["task"] for model in results["models"])
    ends = " or ".join(END[task] for task in tasks)
    timing, threads = results["timing"], results["machine"]["threads"]
    turns = ", in turns" * (len(results["models"]) > 1)
    head = f"latency in ms, batch 1, {threads} thread{'s' * (threads > 1)}, from a picture in memory to {ends}; "
    head += f"{timing['rounds']} rounds after {timing['warmup']}{turns}; medians of its parts"
    rows: list[tuple[str, ...]] = [("", *LATENCIES, "drift", "cores")]
    for model in results["models"]:
        times = model["latency"]
        figures = [f"{times[name]:.1f}" if name in times else "-" for name in LATENCIES]
        rows.append((printable(model["name"]), *figures, f"{times['drift']:+.0%}", f"{times['cores']:.2f}"))
    return f"{head}\n{aligned(rows)}"


def _machine(results: dict[str, Any], pictures: str) -> str:
    one = results["machine"]
    memory = "" if one["memory_gib"] is None else f", {one['memory_gib']:g} GiB"
    where = f"{one['processor']}, {one['cores']} cores{memory}, {one['system']}, torch {one['torch']}"
    return f"machine: {where}, device {one['device']}\npictures: {pictures}"


def _mb(count: float | None) -> str:
    return f"{(count or 0) / MB:.1f}"
