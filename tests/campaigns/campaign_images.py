"""Damaged pictures through our decoder: each is a picture of the stated shape or one typed line."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import check_lines
from mutations import damage_bytes
from PIL import Image

from densenets.data.decode import decode_image
from densenets.errors import InputError

MEMORY = 3 * 2**29  # a picture of 64 million pixels takes 450 MB on its way; no more than three times that
SEEDS = (
    *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
    ("JPEG", "RGB", {"progressive": True, "quality": 30}),
    ("JPEG", "RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
    *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
    *(("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)),
    *(("BMP", mode, {}) for mode in ("RGB", "L", "P", "1")),
)
SIZES = [0, 1, 7, 255, 4096, 9000, 65535, 2**31 - 1, 2**32 - 1]


def prepare(folder: Path) -> Callable[[random.Random], str]:
    pictures = [_encode(*seed) for seed in SEEDS]
    for data in pictures:
        decode_image(data, "seed")

    def try_one(rng: random.Random) -> str:
        data = _damaged(rng.choice(pictures), rng)
        try:
            pixels = decode_image(data, "x.jpg", rng.choice((None, None, (48, 64))))
        except InputError as fault:
            check_lines(str(fault), "x.jpg: ")
            return "refused"
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        return "decoded"

    return try_one


def _encode(kind: str, mode: str, options: dict[str, object]) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pixels[:24] //= 64
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    file = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(file, kind, **options)
    return file.getvalue()


def _damaged(data: bytes, rng: random.Random) -> bytes:
    match rng.randrange(6):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return _header(data, rng)
        case 2 if data.startswith(b"\x89PNG"):
            return _chunks(data, rng)
        case 3:
            return data[:24] + damage_bytes(data[24:], rng)
        case 4:
            return damage_bytes(data[:64], rng) + data[64:]
    return damage_bytes(data, rng, times=8)


def _header(data: bytes, rng: random.Random) -> bytes:
    """Other numbers where the format states the size, the depth and the like."""
    starts = {b"\x89PNG": (16, 20, 24), b"BM": (10, 14, 18, 22, 26, 28, 30), b"RIFF": (4, 16, 20, 24, 27)}
    places = next((places for begin, places in starts.items() if data.startswith(begin)), None)
    at = rng.choice(places) if places else max(0, data.find(b"\xff\xc0")) + rng.choice((2, 4, 5, 7, 9))
    form = rng.choice(("<I", ">I", "<H", ">H", "B"))
    value = rng.choice(SIZES) & (256 ** struct.calcsize(form) - 1)
    changed = data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]
    return _sums_mended(changed) if data.startswith(b"\x89PNG") else changed


def _split(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = (struct.pack(">I", len(b)) + kind + b + struct.pack(">I", zlib.crc32(kind + b)) for kind, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _sums_mended(data: bytes) -> bytes:
    return _joined(_split(data))


def _chunks(data: bytes, rng: random.Random) -> bytes:
    """Chunks doubled, moved, removed, spoilt and strange ones inserted, with right checksums."""
    chunks = _split(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(chunks))
        match rng.randrange(5):
            case 0:
                chunks.insert(rng.randrange(len(chunks)), chunks[at])
            case 1 if len(chunks) > 1:
                del chunks[at]
            case 2 if chunks[at][1]:
                chunks[at] = (chunks[at][0], damage_bytes(chunks[at][1], rng))
            case 3:
                rng.shuffle(chunks)
            case _:
                kind = rng.choice((b"tRNS", b"PLTE", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"iTXt", b"eXIf"))
                bomb = (
                    b"a\0\0" + zlib.compress(bytes(2**20)) if rng.random() < 0.3 else rng.randbytes(rng.randrange(64))
                )
                chunks.insert(at, (kind, bomb))
    return _joined(chunks)
