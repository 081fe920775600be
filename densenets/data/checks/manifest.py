"""Lists of SHA-256 sums as sha256sum writes them: the one way to see a flipped byte inside a picture."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from densenets.data.checks.findings import Findings
from densenets.data.decode import read_bytes
from densenets.errors import InputError, printable

LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)


def read_manifest(path: Path) -> dict[str, str]:
    """Name -> sum. Raises InputError for a line that sha256sum would not write."""
    sums = {}
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.rstrip(b"\r"))
        if not match:
            raise InputError(f"{printable(path)}: line {number} is not a sum and a name as sha256sum writes them [D02]")
        name = os.fsdecode(match[3])
        sums[_unescaped(name) if match[1] else name] = match[2].decode().lower()
    return sums


def _unescaped(name: str) -> str:
    return re.sub(r"\\([\\nr])", lambda match: {"n": "\n", "r": "\r"}.get(match[1], "\\"), name)


def compare(manifest: Path, sums: Mapping[str, str], base: Path, findings: Findings) -> None:
    """sums: path -> sum of each picture. base: the folder that the manifest's names start from; the manifest's own
    folder and the current one count as well, so that names as sha256sum was given them are found."""
    listed = read_manifest(manifest)
    known = {os.path.realpath(place / name): name for place in (manifest.parent, Path(), base) for name in listed}
    unlisted = []
    for file, value in sums.items():
        name = known.get(os.path.realpath(file))
        if name is None:
            unlisted.append(file)
        elif value and value != listed[name]:
            findings.error("D02", (file, ""), f"is not what {manifest} says: its bytes have changed", file)
    if unlisted:
        what = f"{len(unlisted)} of {len(sums)} pictures are not in this manifest, the first {unlisted[0]}"
        findings.warn("D02", (str(manifest), ""), what)
    _report_gone(manifest, listed, base, findings)


def _report_gone(manifest: Path, listed: Mapping[str, str], base: Path, findings: Findings) -> None:
    for name in listed:
        if not any((place / name).is_file() for place in (base, manifest.parent, Path())):
            findings.error("D02", (str(manifest), ""), f"{name} is listed but not there")


def manifest_text(sums: Mapping[str, str], base: Path) -> bytes:
    """`cd BASE; sha256sum -c FILE` checks it."""
    lines = []
    for file, value in sorted(sums.items()):
        name = os.path.relpath(file, base)
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if escaped == name else chr(92)}{value}  {escaped}\n")
    return b"".join(os.fsencode(line) for line in lines)
