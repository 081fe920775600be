"""Which machine a figure comes from: figures of two machines whose identities differ never share a ranking."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from densenets.data.cores import cores

GIB = 2**30


def machine(device: torch.device, threads: int) -> dict[str, Any]:
    """Plain types, equal where two measurements may stand side by side.

    cores: those this process may run on. memory_gib: of the machine. threads: of the processor that were used.
    """
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": threads,
    }


def _processor() -> str:
    """The maker's name of it, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware", "Model"))]
    if not named and platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        named = [subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()]
    return next(filter(None, [*named, platform.processor(), platform.machine()]), "unknown")


def _memory() -> float | None:
    """GiB; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1)
    except (AttributeError, ValueError, OSError):
        return None
