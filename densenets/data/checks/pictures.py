"""Every picture decoded in full, by several processes, one picture at a time in each."""

import hashlib
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from densenets.data.checks.findings import CODE, Findings
from densenets.data.cores import cores
from densenets.data.decode import FORMATS, AnimationError, PictureError, decode_image, orientation, read_bytes
from densenets.data.streets.many import drawn_by_many
from densenets.errors import DensenetsError, InputError, WorkerError, printable

J = TypeVar("J")
R = TypeVar("R")

CHUNK = 8  # pictures that a process decodes before it reports
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",), "MPO": (".jpg", ".jpeg")}
NO_HEADER = ("", "", (0, 0), 1)
TURNED = (5, 6, 7, 8)  # orientations that exchange height and width


class Job(NamedTuple):
    """One picture: its path, the height and width that the annotations state, and the limit in millions of pixels."""

    file: str
    size: tuple[int, int]
    max_pixels: float


class Picture(NamedTuple):
    """What became of one. size: height and width as stored; fault: words and code where it cannot be used.

    replaceable: a training takes another picture in its place. ambiguous: its EXIF orientation turns it, but its size
    cannot tell whether its boxes are turned too.
    """

    sha256: str
    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    fault: tuple[str, str] | None = None
    replaceable: bool = False

    @property
    def ambiguous(self) -> bool:
        height, width = self.size
        return self.orientation in (2, 3, 4) or (self.orientation in TURNED and height == width)


def inspect(job: Job) -> Picture:
    """Decode one as a training would."""
    try:
        data = read_bytes(Path(job.file))
    except InputError as error:
        return Picture("", *NO_HEADER, (str(error).removeprefix(f"{printable(job.file)}: "), "D41"), replaceable=True)
    digest, fault, replaceable = hashlib.sha256(data).hexdigest(), None, False
    try:
        decode_image(data, "", job.size, job.max_pixels)
    except InputError as error:
        fault = _words(str(error))
        replaceable = isinstance(error, PictureError) and not isinstance(error, AnimationError)
    # Of what is too large not even the header is opened again: to open a WebP takes memory for all of it.
    header = _header(data) if fault is None or fault[1] != "D25" else NO_HEADER
    return Picture(digest, *header, fault, replaceable)


def _words(message: str) -> tuple[str, str]:
    """An error of the decoder as words and code."""
    match = CODE.search(message)
    text = message[: match.start()] if match else message
    return text.removeprefix(": "), match[1] if match else "D01"


def _header(data: bytes) -> tuple[str, str, tuple[int, int], int]:
    """Format, mode, (height, width) and EXIF orientation; nothing is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # Pillow's parsers raise almost anything
        return NO_HEADER
    return image.format or "", image.mode, (image.height, image.width), orientation(image)


def inspect_all(jobs: Sequence[Job], workers: int) -> list[Picture]:
    """`inspect` of each, in order; workers: processes, 0 or 1 for this one, -1 for one a core."""
    return in_processes(_inspect_chunk, jobs, [job.file for job in jobs], workers, "Decoding pictures")


def in_processes(
    look: Callable[[Sequence[J]], list[R]], jobs: Sequence[J], files: Sequence[str], workers: int, title: str
) -> list[R]:
    """What `look` says of some jobs at a time, of all of them in order; files: the one that each is about."""
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    count = min(cores() if workers < 0 else workers, len(chunks))
    found: dict[int, list[R]] = {}
    try:
        with _progress(len(jobs), title) as advance, drawn_by_many(look, chunks, count) as results:
            for number, items in results:
                found[number] = items
                advance(len(items))
    except DensenetsError as error:
        lost = next(number for number in range(len(chunks)) if number not in found)
        raise WorkerError(f"{printable(files[lost * CHUNK])}: a process died that decoded this picture or one of the "
                          f"next {len(chunks[lost]) - 1}") from error  # fmt: skip
    return [item for number in range(len(chunks)) for item in found[number]]


def _inspect_chunk(jobs: Sequence[Job]) -> list[Picture]:
    return [inspect(job) for job in jobs]


@contextmanager
def _progress(total: int, title: str) -> Iterator:
    """A bar on stderr, where that is a terminal."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


# What they tell


def judge_pictures(
    pictures: Sequence[Picture],
    files: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    findings: Findings,
    for_training: bool = False,
) -> None:
    """Faults of each, and counts of what is read as something else than it seems.

    for_training: what another picture can stand in for is left out; in judging every picture has to be read.
    """
    ambiguous = []
    for picture, file, size in zip(pictures, files, sizes, strict=True):
        if picture.fault:
            tell = findings.leave_out if for_training and picture.replaceable else findings.error
            tell(picture.fault[1], (file, ""), picture.fault[0], file)
        elif picture.ambiguous:
            ambiguous.append(file)
        elif picture.orientation in TURNED:
            way = "turned upright" if size != picture.size else "left as stored"
            findings.note(f"pictures {way}, as their size shows, by their EXIF orientation [D28]")
    for file in ambiguous:
        what = "its EXIF orientation turns it, and its size cannot tell whether its boxes are turned too: it is turned"
        findings.warn("D28", (file, ""), what, file)
    _note_kinds(pictures, files, findings)


def _note_kinds(pictures: Sequence[Picture], files: Sequence[str], findings: Findings) -> None:
    for picture, file in zip(pictures, files, strict=True):
        if picture.format and not wears_suffix(file, picture.format):
            findings.note(f"pictures that are {picture.format} but not named so; read by content [D04]")
        if picture.mode.startswith("I"):
            findings.note("pictures of 16 bit, read as 8 bit [D06]")
        elif picture.mode and picture.mode != "RGB":
            findings.note(f"pictures of mode {picture.mode}, read as RGB [D05]")


def wears_suffix(file: str, kind: str) -> bool:
    return file.lower().endswith(SUFFIXES.get(kind, ()))


def kinds(pictures: Sequence[Picture]) -> dict[str, dict[str, int]]:
    """How many of each format and of each mode."""
    return {
        "formats": dict(Counter(picture.format or "none" for picture in pictures).most_common()),
        "modes": dict(Counter(picture.mode or "none" for picture in pictures).most_common()),
    }


def judge_twins(splits: dict[str, tuple[Sequence[str], Sequence[Picture]]], findings: Findings) -> list[list[str]]:
    """Sound pictures of the same bytes in one split, or in several, which is a leak; the groups, each of files."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for split, (files, pictures) in splits.items():
        for file, picture in zip(files, pictures, strict=True):
            if picture.sha256 and not picture.fault:
                groups.setdefault(picture.sha256, []).append((split, file))
    twins = [group for group in groups.values() if len(group) > 1]
    for group in twins:
        names = sorted({split for split, _ in group})
        others = ", ".join(file for _, file in group[1:4]) + (", ..." if len(group) > 4 else "")
        code = "leak" if len(names) > 1 else "duplicate"
        what = f"in {' and '.join(names)}: " if code == "leak" else ""
        findings.warn(code, (group[0][1], ""), f"{what}the same bytes as {others}", group[0][1])
    return [[file for _, file in group] for group in twins]
