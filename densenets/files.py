"""Files and names from outside, judged before anything reads or writes them: plain, of sane size, inside their folder.

A pipe would block for ever and a device never end; an archive or a YAML of few bytes may unfold to more than the
machine holds; a name may lead elsewhere. Each fault is an InputError in one line.
"""

import re
import stat
import struct
import zipfile
from collections.abc import Container, Iterable
from pathlib import Path

import yaml

from densenets.errors import InputError, printable

ZIP = b"PK\x03\x04"
ZIP_END = b"PK\x05\x06"
ZIP_END_BYTES = 22
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number as torch.save wrote it before 1.6
MOST_ENTRIES = 100_000  # tensors of a checkpoint; V3 with its optimizer has some thousand
MOST_DESCRIPTION = 64 * 2**20  # bytes of the pickle that names the tensors of a zip

YAML_BYTES = 2**20
YAML_NODES = 100_000  # with every alias written out
YAML_DEPTH = 50

LONGEST_NAME = 120  # characters of a name made from another one; the systems allow 255 bytes


def check_file(path: Path) -> None:
    """Raises InputError unless `path` is a plain file that can be opened."""
    shown = printable(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{shown}: is a folder; a file is expected here")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{shown}: is a pipe, a socket or a device; a file is expected here")
        with path.open("rb"):
            pass
    except FileNotFoundError as fault:
        raise InputError(f"{shown}: no such file") from fault
    except (OSError, ValueError) as fault:  # a loop of links, a name too long or with a zero byte, no permission
        raise InputError(f"{shown}: cannot be read: {printable(getattr(fault, 'strerror', None) or fault)}") from fault


# Archives of torch.save


def check_archive(path: Path) -> None:
    """Raises InputError unless `path` is what torch.save writes and no part unfolds to more than its bytes [X08].

    torch reads each part whole, whatever size the directory of the zip declares, and would unpack a packed one.
    """
    check_file(path)
    with path.open("rb") as handle:
        start = handle.read(len(LEGACY))
    if start.startswith(ZIP):
        _check_zip(path)
    elif start != LEGACY:
        raise InputError(f"{printable(path)}: {_guess(start)}, no file of torch.save [X08]")


def _check_zip(path: Path) -> None:
    shown, size = printable(path), path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError) as fault:
        raise InputError(f"{shown}: the zip archive is cut short or damaged ({printable(fault)}) [X08]") from fault
    with path.open("rb") as handle:
        handle.seek(-ZIP_END_BYTES, 2)
        if not handle.read(4) == ZIP_END:  # behind a comment, two readers may find two directories
            raise InputError(f"{shown}: the zip archive does not end where torch.save ends one [X08]")
    if len(entries) > MOST_ENTRIES or len({entry.filename for entry in entries}) < len(entries):
        raise InputError(f"{shown}: the zip archive has {len(entries)} parts, too many or some twice [X08]")
    packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1]
    if packed:
        raise InputError(f"{shown}: {printable(packed[0].filename)} is packed, which torch.save never does [X08]")
    if sum(max(entry.file_size, entry.compress_size) for entry in entries) > size:
        raise InputError(f"{shown}: its parts claim more bytes than the file has [X08]")
    if any(entry.filename.endswith(".pkl") and entry.file_size > MOST_DESCRIPTION for entry in entries):
        raise InputError(f"{shown}: its description is beyond {MOST_DESCRIPTION >> 20} MB [X08]")


def _guess(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.startswith((b"version https", b"<!DOCTYPE", b"<html", b"<!doctype")):
        return "a git-lfs pointer or a web page"
    return "a pickle" if start.startswith(b"\x80") else "unknown content"


# YAML


def check_yaml(path: Path) -> None:
    """Raises InputError unless `path` is one YAML document of plain values that stays small with its aliases written
    out [X04]. Tags are refused: no setting needs one, and they are how YAML makes objects. So is a key that stands
    twice, of which YAML would take the last."""
    check_file(path)
    shown = printable(path)
    with path.open("rb") as handle:
        data = handle.read(YAML_BYTES + 1)
    if len(data) > YAML_BYTES:
        raise InputError(f"{shown}: beyond {YAML_BYTES >> 20} MB, no settings [X04]")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _count(yaml.parse(data.decode(), Loader=loader))
        _refuse_doubles(yaml.compose(data.decode(), Loader=loader))
    except InputError as fault:
        raise InputError(f"{shown}: {fault}") from None
    except (yaml.YAMLError, ValueError) as fault:
        raise InputError(f"{shown}: not valid YAML: {printable(' '.join(str(fault).split()))} [X04]") from fault


def _count(events: Iterable[yaml.Event]) -> None:
    """Refuse a document by its events, before anything is built: torn at the first that is too much."""
    sizes: dict[str, int] = {}  # nodes behind each anchor, aliases written out
    counts: list[int] = [0]  # of the collections that are open
    anchors: list[str | None] = []
    for event in events:
        line = f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
        if (tag := getattr(event, "tag", None)) is not None:
            raise InputError(f"{line}: the tag {printable(tag)} is not read [X04]")
        if isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size = counts.pop()
            counts[-1] += size
            sizes[anchors.pop() or ""] = size
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise InputError(f"{line}: an alias of itself or of nothing [X04]")
            counts[-1] += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            sizes[event.anchor or ""] = 1
        if len(counts) > YAML_DEPTH or sum(counts) > YAML_NODES:
            limit = f"{YAML_DEPTH} levels" if len(counts) > YAML_DEPTH else f"{YAML_NODES} values"
            raise InputError(f"{line}: more than {limit} with its aliases written out [X04]")


def _refuse_doubles(node: yaml.Node | None) -> None:
    """Refuse a key that stands twice in one group; of a document that was counted."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_doubles(item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise InputError(f"line {key.start_mark.line + 1}: {printable(key.value)} stands twice [X04]")
        seen.add(str(key.value))
        _refuse_doubles(value)


# Names


def file_name(text: str) -> str:
    """`text` as the name of one file in one folder: no separator, no control character, never hidden, not too long."""
    plain = re.sub(r"[^\w .,()+=@~-]", "_", text).strip(" .")
    encoded = plain.encode(errors="replace")[:LONGEST_NAME]
    return encoded.decode(errors="ignore") or "unnamed"


def free_name(name: str, taken: Container[str]) -> str:
    """`name`, or the first of name-2, name-3, ... that is not taken."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`. Raises InputError where that is anywhere else [X09]."""
    if name in ("", ".", "..") or Path(name).name != name or "\0" in name:
        raise InputError(f"{printable(name)}: leads out of {printable(folder)} [X09]")
    return folder / name
