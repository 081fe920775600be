"""The file of each image's pixels: what is written is read back; what is damaged is told line by line."""

import json
from pathlib import Path

import numpy as np
import pytest

from densenets.errors import InputError
from densenets.metrics.image_counts import pixels_of, read_image_counts, rows_of, write_image_counts

MATRIX = np.array([[5, 1, 2], [3, 7, 0]])  # a class is predicted as itself, as the other, as none


def written(folder: Path) -> Path:
    each = [pixels_of(MATRIX), pixels_of(2 * MATRIX), pixels_of(0 * MATRIX)]
    files = ["/data/b/1.png", "/data/a/1.png", "/data/a/\ud800\n.png"]
    write_image_counts(folder / "images.jsonl", rows_of([7, 2, 9], each), [2, 7, 9], [files[1], files[0], files[2]])
    return folder / "images.jsonl"


def test_what_is_written_is_read_back_by_rising_id(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert json.loads(path.read_text().splitlines()[1]) == {
        "image_id": 7,
        "file": "b/1.png",
        "true_positive": [5, 7],
        "false_positive": [3, 1],
        "false_negative": [3, 3],
    }
    counts = read_image_counts(path)
    assert counts.images.tolist() == [2, 7, 9]
    assert counts.files == ["a/1.png", "b/1.png", "a/\ud800\n.png"]
    assert counts.pixels.dtype == np.int64
    assert counts.pixels.tolist() == [[[10, 14], [6, 2], [6, 6]], [[5, 7], [3, 1], [3, 3]], [[0, 0]] * 3]
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert (read_image_counts(path).pixels == counts.pixels).all()


def test_a_set_of_one_image_and_of_none(tmp_path: Path) -> None:
    path = tmp_path / "images.jsonl"
    write_image_counts(path, rows_of([4], [pixels_of(MATRIX)]), [4], ["deep/in/4.png"])
    assert read_image_counts(path).files == ["4.png"]
    write_image_counts(path, [], [], [])
    assert read_image_counts(path).pixels.shape == (0, 3, 0)


def test_500_images_of_19_classes_stay_small(tmp_path: Path) -> None:
    each = [pixels_of(one) for one in np.random.default_rng(0).integers(0, 10**5, (500, 19, 20))]
    path = tmp_path / "images.jsonl"
    write_image_counts(path, rows_of(range(500), each), range(500), [f"{i}.png" for i in range(500)])
    assert path.stat().st_size < 400_000


GOOD = '{"image_id": 1, "file": "a", "true_positive": [1], "false_positive": [2], "false_negative": [3]}'


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: no image with its px"),
        ("[]", "line 2: no image with its px"),
        (GOOD, "line 2: image 1 stands twice"),
        (GOOD.replace("1,", "true,", 1), "line 2: no image with its px"),
        (GOOD.replace('"a"', "null"), "line 2: no image with its px"),
        (GOOD.replace("[3]", "[3, 4]"), "line 2: no image with its px"),
        (GOOD.replace("[3]", "[-3]"), "line 2: no image with its px"),
        (GOOD.replace("[3]", "[3.0]"), "line 2: no image with its px"),
        (GOOD.replace("[3]", "[1e999]"), "line 2: no image with its px"),
        (GOOD.replace("[3]", "[" + "9" * 30 + "]"), "line 2: no image with its px"),
        (GOOD.replace(', "false_negative": [3]', ""), "line 2: no image with its px"),
        (
            GOOD.replace("1,", "2,", 1).replace("[1]", "[1, 1]").replace("[2]", "[1, 1]").replace("[3]", "[1, 1]"),
            "line 2: 2 classes, those before have 1",
        ),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "images.jsonl"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(InputError, match=rf"^\S+images\.jsonl: {told} \[V\d\d\]$"):
        read_image_counts(path)


def test_all_damage_is_told_together(tmp_path: Path) -> None:
    path = tmp_path / "images.jsonl"
    path.write_text("x\ny\n")
    with pytest.raises(InputError) as caught:
        read_image_counts(path)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(InputError, match=r"none\.jsonl: "):
        read_image_counts(tmp_path / "none.jsonl")
