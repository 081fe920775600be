"""`densenets profile`: measures the nets one after another, their latency together."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from densenets.analysis.profile.costs import costs
from densenets.analysis.profile.counting import count, noise
from densenets.analysis.profile.latency import doubts, latencies, shares, so_many_threads
from densenets.analysis.profile.machine import machine
from densenets.analysis.profile.nets import Net, nets_of
from densenets.analysis.profile.pictures import pictures
from densenets.analysis.profile.table import page
from densenets.config import Profile
from densenets.run.device import device_of
from densenets.run.folder import Outcome, new_folder, provenance, write_json


def profile(settings: Profile) -> Outcome:
    """What each net costs, as a page of tables and, with --out, in profile.json."""
    out = None if settings.out is None else Path(settings.out)
    with new_folder(out):
        return _profile(settings, out)


def _profile(settings: Profile, out: Path | None) -> Outcome:
    device = device_of(settings.accelerator)
    nets = nets_of(settings)
    chosen = pictures(settings.images, [net.description for net in nets.values()])
    for net in nets.values():
        net.model.to(device)
    watched = track(nets.items(), "counting", console=Console(stderr=True), transient=True)
    with so_many_threads(settings.threads):
        rows = [{"name": name, **_measured(net, device, settings.threads)} for name, net in watched]
    models = {name: (net.model, net.description) for name, net in nets.items()}
    times = latencies(models, chosen.images, settings.rounds, settings.threads, warmup=settings.warmup, device=device)
    results: dict[str, Any] = {
        "models": [{**row, "latency": times[row["name"]]} for row in rows],
        "timing": {"rounds": settings.rounds, "warmup": settings.warmup, "pictures": chosen.plain},
        "machine": machine(device, settings.threads),
        "warnings": doubts(times),
        "produced_by": provenance(device),
    }
    if out is not None:
        write_json(out / "profile.json", results)
    return Outcome(results, page(results, chosen.told), [] if out is None else [out / "profile.json"])


def _measured(net: Net, device: torch.device, threads: int) -> dict[str, Any]:
    description = net.description
    counts = count(net.model, description.canvas)
    times = shares(net.model, noise(description.canvas, device))
    return {
        "task": net.model.task,
        "backbone": description.backbone,
        "head": description.head,
        "width": description.width,
        "canvas": list(description.canvas),
        "classes": len(description.classes),
        "reduced_tail": description.reduced_tail,
        "options": description.options,
        "checkpoint": None if net.checkpoint is None else str(net.checkpoint),
        "costs": {
            **costs(net.model, description, device=device, threads=threads, counts=counts),
            "trainable_parameters": counts.trainable,
            "peak_activation_bytes": counts.peak_bytes,
            "checkpoint_bytes": None if net.checkpoint is None else net.checkpoint.stat().st_size,
        },
        "parts": [{**part._asdict(), "time_share": times.get(part.name, 0.0)} for part in counts.parts],
    }
