"""A folder of masks: its class list, ids or colours, and each fault in one line with its code."""

import json
import re
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_sets import ids, raw, save, told, write_folder
from noise import speckled
from PIL import Image

from densenets.config import ReadingRules
from densenets.contract import IGNORED
from densenets.data import open_segmentation
from densenets.data.decode import PictureError
from densenets.data.samples import info_of
from densenets.errors import InputError

# What is found


def test_a_folder_of_masks(tmp_path: Path) -> None:
    split = open_segmentation(write_folder(tmp_path), "train")
    assert (split.classes, split.category_ids.tolist()) == (("sky", "road", "car"), [0, 1, 2])
    assert (len(split), split.image_ids.tolist(), split.sizes.tolist()) == (3, [1, 2, 3], [[40, 60]] * 3)
    for index in range(3):
        assert (split.picture(index) == speckled(40, 60, seed=index)).all()
        mask = split.truth(index, instances=True)
        assert (mask.ids.numpy() == raw(split.masks[index])).all()
        assert mask.instances is None
    assert len({tuple(colour) for colour in split.palette.tolist()}) == 3
    info = info_of(split, 1, (20, 30))
    assert (info.image_id, info.height, info.width, info.scale) == (2, 40, 60, (0.5, 0.5))


def test_a_set_without_a_class_list_takes_names_from_elsewhere(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    (root / "classes.txt").unlink()
    (line,) = told(root)
    assert line.startswith(f"{root}: no class list: neither classes.json nor classes.txt, nor --classes")
    split = open_segmentation(root, "train", ["sky", "road"], ignore_ids=[2])
    own = raw(split.masks[0])
    assert (split.truth(0).ids.numpy() == np.where(own == 2, IGNORED, own)).all()
    assert told(root, classes=["a", "b", "c"], ignore_ids=[1]) == ['--ignore-ids: 1 is the id of class "b"']
    assert told(root, classes=["a", "b", "c"], ignore_ids=[256]) == ["--ignore-ids: 256: an id of a mask is 0 to 255"]


def test_a_class_list_in_json(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    rows: list[Any] = [{"name": "road", "id": 1}, {"name": "sky", "id": 0}, {"id": 2, "ignored": True}]
    (root / "classes.json").write_text(json.dumps(rows))  # counts before classes.txt
    split = open_segmentation(root, "train")
    own = raw(split.masks[0])
    assert (split.truth(0).ids.numpy() == np.array([1, 0, 255] + [255] * 253)[own]).all()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({}, "must be a list of names"),
        ([], r"0 classes; 1 to 254 can be told apart \[D36\]"),
        (["a", 3], r'class\[1\] \(null\): has no name'),
        (["a", "a"], r'class\[1\] \("a"\): name "a" stands twice \[D18\]'),
        ([{"name": "a", "id": 256}], "id 256 is not a whole number from 0 to 255"),
        ([{"name": "a", "id": True}], "id true is not a whole number"),
        ([{"name": "a", "id": 255}], "id 255 is of no class in any mask"),
        (["a", {"name": "b", "id": 0}], "id 0 stands twice"),
        ([{"name": "a", "color": [1, 2, 256]}], "is not three whole numbers from 0 to 255"),
    ],
)  # fmt: skip
def test_a_class_list_that_cannot_be_used(content: Any, line: str, tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    (root / "classes.json").write_text(json.dumps(content))
    (found,) = told(root)
    assert found.startswith("classes.json: ")
    assert re.search(line, found)


def coloured(root: Path) -> Path:
    """Masks whose ids 0, 1, 2 and 255 are written as colours."""
    write_folder(root)
    colours = np.array([[70, 130, 180], [128, 64, 128], [0, 0, 142], [0, 0, 0]], dtype=np.uint8)
    for path in sorted((root / "masks" / "train").iterdir()):
        save(path, colours[np.array([0, 1, 2] + [3] * 253)[raw(path)]])
    names = ("sky", "road", "car", "void")
    rows = [{"name": name, "color": colour} for name, colour in zip(names, colours.tolist(), strict=True)]
    rows[3]["ignored"] = True
    (root / "classes.json").write_text(json.dumps(rows))
    return root


def test_colours_are_mapped_where_the_class_list_has_them(tmp_path: Path) -> None:
    plain, split = write_folder(tmp_path / "a"), open_segmentation(coloured(tmp_path / "b"), "train")
    assert split.palette.tolist() == [[70, 130, 180], [128, 64, 128], [0, 0, 142]]
    for index in range(3):
        expected = open_segmentation(plain, "train").truth(index).ids
        assert (split.truth(index).ids == expected).all()
    pixels = raw(split.masks[1]).copy()
    pixels[0, :7] = (70, 130, 181)
    save(Path(split.masks[1]), pixels)
    assert told(tmp_path / "b") == ["masks/train/01.png: not of the class list: color 70,130,181 on 7 pixels [D31]"]


def test_sixteen_bits_hold_ids_too(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    before = open_segmentation(root, "train").truth(0).ids
    path = root / "masks" / "train" / "00.png"
    wide = raw(path).astype(np.uint16)
    save(path, wide)
    assert Image.open(path).mode == "I;16"
    assert (open_segmentation(root, "train").truth(0).ids == before).all()
    wide[2, :5], wide[3, 0] = 256, 65535
    save(path, wide)
    assert told(root) == ["masks/train/00.png: not of the class list: id 256 on 5 pixels, id 65535 on 1 pixels [D31]"]


def test_many_unknown_ids_are_one_line(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    save(root / "masks" / "train" / "00.png", np.arange(2400, dtype=np.uint16).reshape(40, 60))
    (line,) = told(root)
    assert line.endswith("id 3 on 1 pixels, id 4 on 1 pixels, id 5 on 1 pixels, id 6 on 1 pixels, id 7 on 1 pixels "
                         "and 2391 more [D31]")  # fmt: skip


def gray_png(bits: int, pixels: np.ndarray) -> bytes:
    """A PNG of fewer bits a pixel than Pillow writes."""
    height, width = pixels.shape
    rows = ["".join(format(value, f"0{bits}b") for value in row) for row in pixels.tolist()]
    packed = b"".join(b"\0" + int(row, 2).to_bytes(width * bits // 8, "big") for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(packed)), (b"IEND", b""))
    chunks = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in parts]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("bits", [2, 4])
def test_grays_that_a_reader_stretches_are_no_ids(bits: int, tmp_path: Path) -> None:
    """Of the ids 0 and 2^bits - 1 the second would come back as 255, which is of no class, and nobody would know."""
    root = write_folder(tmp_path)
    pixels = ids(40, 60, (0, 2**bits - 1))
    (root / "masks" / "train" / "01.png").write_bytes(gray_png(bits, pixels))
    assert {*np.unique(raw(root / "masks" / "train" / "01.png"))} == {0, 255}
    (line,) = told(root)
    assert line.startswith(f"masks/train/01.png: gray of {bits} bits a pixel")
    assert line.endswith("[D32]")


def test_picture_and_mask_of_two_sizes(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    save(root / "masks" / "train" / "01.png", ids(41, 60, (0, 1)))
    save(root / "masks" / "train" / "02.png", ids(60, 40, (0, 1)))
    assert told(root) == [
        f"masks/train/01.png: 60x41, but its picture {'images/train/01.png'} is 60x40 [D34]",
        f"masks/train/02.png: 40x60, but its picture {'images/train/02.png'} is 60x40 [D34]",
    ]


def test_a_mask_that_changes_its_size_later(tmp_path: Path) -> None:
    split = open_segmentation(write_folder(tmp_path), "train")
    save(Path(split.masks[0]), ids(41, 60, (0, 1)))
    with pytest.raises(InputError, match=r"00\.png: the mask is 60x41, not 60x40 as when the set was opened \[D34\]"):
        split.truth(0)


def test_pictures_are_turned_as_their_masks_say(tmp_path: Path) -> None:
    root = write_folder(tmp_path, count=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "images" / "train" / "00.png").unlink()
    stored = Image.fromarray(speckled(60, 40))
    stored.save(root / "images" / "train" / "00.jpg", exif=exif, quality=100, subsampling=0)
    split = open_segmentation(root, "train")
    assert split.sizes.tolist() == [[40, 60]]
    assert split.picture(0).shape == (40, 60, 3)


def test_a_mask_without_any_class_is_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    save(root / "masks" / "train" / "00.png", np.full((40, 60), 255, np.uint8))
    assert (open_segmentation(root, "train").truth(0).ids == 255).all()  # [D35]: the loss is told so


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    save(root / "images" / "train" / "00.jpg", speckled(40, 60))
    assert told(root) == ['images/train: "00.png" and "00.jpg" have one name [D19]']


def test_links_that_lead_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "a")
    mask = root / "masks" / "train" / "01.png"
    mask.rename(tmp_path / "elsewhere.png")
    mask.symlink_to(tmp_path / "elsewhere.png")
    assert told(root) == ["masks/train/01.png: a link leads out of the folder; --follow-symlinks allows it [D24]"]
    assert len(open_segmentation(root, "train", rules=ReadingRules(follow_symlinks=True))) == 3


def test_a_broken_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    """As of every picture: training may do without it."""
    root = write_folder(tmp_path)
    for kind in ("masks", "images"):
        (root / kind / "train" / "01.png").write_bytes(b"<html>")
        split = open_segmentation(root, "train")
        assert split.sizes[[0, 2]].tolist() == [[40, 60]] * 2
        with pytest.raises(
            PictureError, match=rf"{kind}/train/01\.png: not a picture: looks like an HTML page.*\[D03\]"
        ):
            (split.truth if kind == "masks" else split.picture)(1)
    (root / "masks" / "train" / "01.png").unlink()
    with pytest.raises(PictureError, match=r"masks/train/01\.png: no such file \[D41\]"):
        split.truth(1)


def test_a_mask_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    split = open_segmentation(root, "train", rules=ReadingRules(max_pixels=0.002))
    with pytest.raises(PictureError, match=r"masks/train/00\.png: .*more than 0\.002 million pixels \[D25\]"):
        split.truth(0)


def test_five_thousand_pictures_open_in_seconds(tmp_path: Path) -> None:
    root = write_folder(tmp_path, count=1, size=(8, 8))
    for kind in ("images", "masks"):
        for i in range(1, 5000):
            (root / kind / "train" / f"{i:02d}.png").hardlink_to(root / kind / "train" / "00.png")
    started = time.monotonic()
    assert len(open_segmentation(root, "train")) == 5000
    assert time.monotonic() - started < 8


def test_camvid(real_data: Path) -> None:
    names = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
    counts = np.zeros(256, dtype=np.int64)
    for name, images in (("train", 367), ("val", 101)):
        split = open_segmentation(real_data / "camvid", name, names, ignore_ids=[11])
        assert len(split) == images
        assert (split.sizes == (360, 480)).all()
        for index in range(len(split)):
            counts += np.bincount(split.truth(index).ids.numpy().ravel(), minlength=256)
    assert counts.sum() == 468 * 360 * 480
    shares = counts / counts.sum()
    assert 0.02 < shares[255] < 0.05
    assert shares[[1, 3]].min() > 0.2  # buildings and roads
    assert (counts[:11] > 500_000).all()
    assert not counts[11:255].any()
    with pytest.raises(InputError, match=r"id 11 on \d+ pixels \[D31\]"):
        open_segmentation(real_data / "camvid", "val", names).truth(0)


def test_a_palette_in_another_order_than_the_class_list_is_no_mask_of_ids(tmp_path: Path) -> None:
    """Its picture looks right, and its indices are other classes."""
    root = write_folder(tmp_path)
    colours = [[9, 9, 9], [200, 0, 0], [0, 200, 0]]
    rows = [{"name": name, "color": colour} for name, colour in zip(("sky", "road", "car"), colours, strict=True)]
    (root / "classes.json").write_text(json.dumps(rows))
    path = root / "masks/train/00.png"
    own = ids(40, 60, (0, 1, 2))

    def write(palette: list[list[int]]) -> None:
        mask = Image.fromarray(own, "P")
        mask.putpalette([part for colour in palette for part in colour] + [77] * (768 - 3 * len(palette)))
        mask.save(path)

    for palette in (colours, [[0, 0, 0]] * 3):  # as listed; of colours that mean nothing here
        write(palette)
        split = open_segmentation(root, "train")
        assert (split.truth(0).ids.numpy() == own).all()
    write(colours[::-1])
    with pytest.raises(InputError, match=r"00\.png: index [02] of its palette has the colour of id [02]; .* \[D32\]"):
        open_segmentation(root, "train").truth(0)
