"""Predictions on their way to disk: every whole line counts, whatever happened to the process behind it."""

import gc
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sets import ground_truth, shaken

from densenets.errors import InputError, StorageError
from densenets.metrics.parts import PartWriter, part_file, part_files, read_parts, remove_parts
from densenets.metrics.predictions import Columns, columns_of, plain

WHAT = {"model": {"classes": ["a", "ü\n"]}, "data": {"split": "val"}}
IMAGES = [1, 11, 21, 31, 41, 51]


@pytest.fixture
def found() -> Columns:
    return columns_of(shaken(random.Random(6), ground_truth(random.Random(5)))).canonical()


def write(path: Path, found: Columns, images: list[int], go_on: bool = False) -> None:
    part = PartWriter(path, WHAT, go_on)
    for image in images:
        part.add(image, plain(found.take(found.image == image)))
    part.close()


def same(one: Columns, other: Columns) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_round_trip_over_several_files_loses_nothing(tmp_path: Path, found: Columns) -> None:
    write(part_file(tmp_path, 0), found, IMAGES[::2])
    write(part_file(tmp_path, 1), found, [*IMAGES[1::2], 61])  # an image without detections is one too
    evaluation, (images, read) = read_parts(part_files(tmp_path))
    assert evaluation == WHAT
    assert images.tolist() == [*IMAGES[::2], *IMAGES[1::2], 61]
    assert same(read.canonical(), found)


def test_files_stand_in_the_order_of_their_processes(tmp_path: Path) -> None:
    for rank in (10, 2, 0):
        part_file(tmp_path, rank).touch()
    assert part_files(tmp_path) == [part_file(tmp_path, rank) for rank in (0, 2, 10)]
    remove_parts(tmp_path)
    assert not list(tmp_path.iterdir())


def test_at_every_byte_a_file_may_end(tmp_path: Path, found: Columns, caplog: pytest.LogCaptureFixture) -> None:
    """Whole lines count, the torn one is dropped with a warning; going on gives the file that never broke off."""
    path = part_file(tmp_path, 0)
    write(path, found, IMAGES)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in [*range(0, ends[1] + 5), *ends, *(end - 1 for end in ends), *range(ends[-2], len(whole) + 1)]:
        path.write_bytes(whole[:length])
        caplog.clear()
        evaluation, (images, _) = read_parts([path])
        lines = sum(end <= length for end in ends)
        assert images.tolist() == IMAGES[: max(0, lines - 1)]
        assert (evaluation == WHAT) == bool(lines)
        assert ("broke off" in caplog.text) == (length not in [0, *ends])
        write(path, found, IMAGES[max(0, lines - 1) :], go_on=True)
        assert path.read_bytes() == whole


def test_without_going_on_the_file_starts_anew(tmp_path: Path, found: Columns) -> None:
    path = part_file(tmp_path, 0)
    write(path, found, IMAGES)
    write(path, found, IMAGES[:1])
    assert read_parts([path]).predictions.images.tolist() == IMAGES[:1]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            '{"image_id": 11, "category_id": [], "bbox": [], "score": []}',
            r"image 11 was judged already.*\[V14\]",
        ),
        ('{"image_id": 7, "category_id": [3], "bbox": [[0, 0, 1, 1]], "score": []}', "no image with"),
        ('{"image_id": 7, "category_id": [3], "bbox": [0, 0, 1, 1], "score": [1]}', "no image with"),
        ('{"image_id": 7, "category_id": [3], "bbox": [[0, 0, 1]], "score": [1]}', "no image with"),
        ('{"image_id": 7, "category_id": ["3"], "bbox": [[0, 0, 1, 1]], "score": [1]}', "no image with"),
        ('{"image_id": 7, "category_id": [3.5], "bbox": [[0, 0, 1, 1]], "score": [1]}', "no image with"),
        ('{"image_id": 7.0, "category_id": [], "bbox": [], "score": []}', "no image with"),
        ('{"image_id": true, "category_id": [], "bbox": [], "score": []}', "no image with"),
        ('{"image_id": 7, "category_id": 3, "bbox": [], "score": []}', "no image with"),
        ('{"image_id": 7, "category_id": [1e99], "bbox": [[0, 0, 1, 1]], "score": [1]}', "no image with"),
        ('{"image_id": 7, "category_id": [[3], 3], "bbox": [], "score": []}', "no image with"),
        (
            '{"image_id": 7, "category_id": [3], "bbox": [[0, 0, 1, 1]], "score": [NaN]}',
            r"no valid JSON.*\[V03\]",
        ),
        ("[1, 2]", "no image with"),
        ("{", "no valid JSON"),
        ("[" * 100000, "no valid JSON"),
        ("\x00\x01", "no valid JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, found: Columns, line: str, told: str) -> None:
    path = part_file(tmp_path, 0)
    write(path, found, [11])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=rf"part0\.jsonl: line 3: .*{told}"):
        read_parts([path])


def test_bad_lines_are_told_together_and_so_are_strange_parts(tmp_path: Path, found: Columns) -> None:
    write(part_file(tmp_path, 0), found, [1])
    write(part_file(tmp_path, 1), found, [1, 11])
    PartWriter(part_file(tmp_path, 2), {"model": None}, go_on=False).close()
    with pytest.raises(InputError) as caught:
        read_parts(part_files(tmp_path))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("part1.jsonl: line 2: image 1 was judged already, in " + f"{part_file(tmp_path, 0)} [V14]")
    assert lines[1].endswith("its parts belong to different evaluations")


def test_no_parts_are_no_predictions() -> None:
    assert read_parts([]).evaluation is None
    assert len(read_parts([]).predictions.images) == 0


def test_a_place_that_cannot_be_written_is_one_line_and_exit_code_4(
    tmp_path: Path, found: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match=r"part0\.jsonl: cannot be written: No such file"):
        PartWriter(part_file(tmp_path / "none", 0), WHAT, go_on=False)
    if Path("/dev/full").exists():
        part = PartWriter(part_file(tmp_path, 0), WHAT, go_on=False)
        monkeypatch.setattr(part, "handle", os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb"))
        with pytest.raises(StorageError, match=r"part0\.jsonl: cannot be written: No space left") as caught:
            part.add(1, plain(found))
        assert caught.value.exit_code == 4


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from densenets.metrics.parts import PartWriter
from densenets.metrics.predictions import Columns, plain
part = PartWriter(Path(sys.argv[1]), {}, go_on=False)
for image in range(1, int(sys.argv[2]) + 1):
    box = np.random.default_rng(image).random((50, 4))
    part.add(image, plain(Columns(np.full(50, image), np.full(50, 3), box[:, 0], box)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_takes_nothing_back(tmp_path: Path) -> None:
    path = part_file(tmp_path, 0)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), "37"], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    images, found = read_parts([path]).predictions
    assert images.tolist() == list(range(1, 38))
    assert np.array_equal(found.box[-50:], np.random.default_rng(37).random((50, 4)))
    assert json.loads(path.read_bytes().splitlines()[0]) == {"evaluation": {}}


@pytest.mark.parametrize(
    "head", ['{"evaluation": 5}', "[]", '{"image_id": 1, "category_id": [], "bbox": [], "score": []}']
)
def test_a_part_that_does_not_say_what_it_is_of_is_refused(tmp_path: Path, head: str) -> None:
    """Else its first image would be lost without a word."""
    part_file(tmp_path, 0).write_text(f"{head}\n")
    with pytest.raises(InputError, match=r"line 1: does not say what was judged by what \[V08\]"):
        read_parts(part_files(tmp_path))


@pytest.mark.parametrize("number", [10**30, -(2**53)])
def test_an_id_beyond_all_ids_is_one_line(tmp_path: Path, number: int) -> None:
    image = {"image_id": number, "category_id": [], "bbox": [], "score": []}
    part_file(tmp_path, 0).write_text(f'{{"evaluation": {{}}}}\n{json.dumps(image)}\n')
    with pytest.raises(InputError, match=r"line 2: no image with its .* \[V08\]"):
        read_parts(part_files(tmp_path))


def test_a_new_part_takes_the_place_of_whatever_is_there(tmp_path: Path, found: Columns) -> None:
    """A pipe would be waited for without end; a link would lead elsewhere."""
    other = tmp_path / "other"
    other.write_text("kept")
    part_file(tmp_path, 0).symlink_to(other)
    os.mkfifo(part_file(tmp_path, 1))
    for rank in (0, 1):
        write(part_file(tmp_path, rank), found, IMAGES[rank::2])
    assert other.read_text() == "kept"
    assert len(read_parts(part_files(tmp_path)).predictions.images) == len(IMAGES)


@pytest.mark.filterwarnings("error")
def test_a_part_that_nobody_closes_is_closed_when_it_is_forgotten(tmp_path: Path) -> None:
    """As where a validation ends with a fault: the writer then hangs on what raised it, in a circle."""
    part = PartWriter(part_file(tmp_path, 0), WHAT, go_on=False)
    part.add(1, {})
    handle, part.circle = part.handle, part  # type: ignore[attr-defined]
    del part
    gc.collect()
    assert handle.closed
