"""What goes wrong around a training: damaged checkpoints, another training's settings, loaders that die or hang."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import densenets.data.dataset as dataset
import densenets.data.loading as loading
import densenets.storage as storage
from densenets.cli import main
from densenets.config import TrainDetection
from densenets.errors import DivergedError, InputError, StorageError, WorkerError
from densenets.run import train_detection
from densenets.training.durable import newest_sound, read_checkpoint
from densenets.training.records import read_rows

Quick = Callable[..., TrainDetection]


@pytest.fixture
def run(shapes: Callable[..., Path], quick: Quick) -> TrainDetection:
    """The settings of a run of one epoch that is done; resuming it with two is a change that is allowed here."""
    settings = quick(shapes(train=range(8), val=range(8, 10)), epochs=1)
    train_detection(settings)
    return replace(settings, epochs=2, resume=settings.out, allow_config_change=True)


def checkpoints(settings: TrainDetection) -> Path:
    return Path(str(settings.out)) / "checkpoints"


# Checkpoints


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "zero"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    run: TrainDetection, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    last = checkpoints(run) / "last.ckpt"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(
        {"flip": bytes(data), "truncate": data[: len(data) // 3], "empty": b"", "zero": bytes(1000)}[damage]
    )
    assert newest_sound(checkpoints(run)).name == "previous.ckpt"
    train_detection(run)
    assert "damaged" in caplog.text
    assert "going on from previous.ckpt" in caplog.text
    assert [row["epoch"] for row in read_rows(Path(str(run.out)) / "metrics.csv")] == [0, 1]


def test_a_damaged_one_never_takes_the_place_of_the_sound_one_before(
    run: TrainDetection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first save after a fallback ends at its very last moment: what it fell back on has to be there still."""
    last = checkpoints(run) / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    original = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if Path(target).name == "last.ckpt":
            raise OSError(errno.EIO, "killed")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(StorageError):
        train_detection(run)
    monkeypatch.undo()
    assert newest_sound(checkpoints(run)).name == "previous.ckpt"


def test_without_a_sound_one_it_is_refused_and_nothing_is_touched(run: TrainDetection) -> None:
    for file in checkpoints(run).glob("*.ckpt"):
        file.write_bytes(b"PK\x03\x04 nothing")
    before = {file: file.read_bytes() for file in checkpoints(run).iterdir()}
    with pytest.raises(InputError) as caught:
        train_detection(run)
    assert len(str(caught.value).splitlines()) == 3  # last, previous, best
    assert {file: file.read_bytes() for file in checkpoints(run).iterdir()} == before


def test_what_a_killed_process_left_is_gone_at_the_next_start(run: TrainDetection) -> None:
    (checkpoints(run) / ".last.ckpt.x.tmp").write_bytes(b"half")
    train_detection(run)
    assert not list(checkpoints(run).glob(".*"))


# Another training


class Change(NamedTuple):
    words: str
    settings: dict[str, Any] = {}


CHANGES = [
    Change("lr ", {"lr": 0.5}),
    Change("batch_size ", {"batch_size": 2}),
    Change("epochs ", {"epochs": 9}),
    Change("seed ", {"seed": 1}),
    Change("optimizer ", {"optimizer": "adamw"}),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_other_settings_are_named_before_anything_happens(run: TrainDetection, change: Change) -> None:
    with pytest.raises(InputError, match=f"was made with another {change.words}.*T18"):
        train_detection(replace(run, **{"epochs": 1, "allow_config_change": False, **change.settings}))


def test_other_pictures_threads_or_torch_are_named(
    run: TrainDetection, shapes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = replace(run, epochs=1, allow_config_change=False)
    other = shapes(tmp_path / "other", train=range(1, 9), val=range(8, 10))
    with pytest.raises(InputError, match="another train data"):
        train_detection(replace(same, data=str(other)))
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    with pytest.raises(InputError, match="another threads"):
        train_detection(same)
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "1.0")
    with pytest.raises(InputError, match="another torch"):
        train_detection(same)


@pytest.mark.parametrize("part", ["global_step", "optimizer_states", "loops", "state_dict"])
def test_a_checkpoint_without_a_part_is_refused(run: TrainDetection, part: str) -> None:
    last = checkpoints(run) / "last.ckpt"
    content = read_checkpoint(last)
    del content[part]
    torch.save(content, last)
    storage.sidecar(last).unlink()
    with pytest.raises(InputError, match=f"last.ckpt: no checkpoint of a training: lacks {part}"):
        train_detection(run)


@pytest.mark.parametrize("change", [{"optimizer": "adamw"}, {"freeze_stages": 2}, {"decay_all": True}])
def test_no_flag_gives_an_optimizer_the_state_of_another(run: TrainDetection, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"another {next(iter(change))} .*fits no other"):
        train_detection(replace(run, **change))


def test_a_line_of_skipped_pictures_that_was_cut_short_stops_nothing(run: TrainDetection) -> None:
    (Path(str(run.out)) / "skipped.jsonl").write_text('{"epoch": 0, "error": "x"}\n{"epoch": 1, "er')
    train_detection(run)


def test_the_same_data_in_another_place_is_the_same_training(run: TrainDetection, tmp_path: Path) -> None:
    shutil.copytree(run.data, tmp_path / "moved")
    train_detection(replace(run, epochs=1, allow_config_change=False, data=str(tmp_path / "moved"), workers=1))


def test_auto_starts_and_goes_on_with_one_command_line(shapes: Callable[..., Path], quick: Quick) -> None:
    settings = quick(shapes(train=range(8), val=range(8, 10)), epochs=1, resume="auto")
    first = train_detection(settings).results
    assert train_detection(settings).results["AP"] == first["AP"]
    with pytest.raises(InputError, match="--resume auto: needs --out"):
        train_detection(replace(settings, out=None))


def test_a_second_training_in_the_same_folder_is_refused(run: TrainDetection) -> None:
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True)"
    )
    command = [sys.executable, "-c", f"{code}; time.sleep(100)", str(Path(str(run.out)) / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another process is training here"):
            train_detection(run)
        other.kill()
    assert "AP" in train_detection(run).results
    assert not (Path(str(run.out)) / ".lock").exists()


# Storage


def failing_after(count: int) -> Callable[..., Any]:
    original, calls = os.fsync, 0

    def fsync(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls > count:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(number)

    return fsync


def test_a_disk_that_fills_ends_the_training_with_4_and_keeps_what_is_there(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick(shapes(train=range(8), val=range(8, 10)), epochs=3, save_every=1)
    monkeypatch.setattr(storage.os, "fsync", failing_after(14))
    with pytest.raises(StorageError, match="No space left"):
        train_detection(settings)
    monkeypatch.undo()
    assert StorageError.exit_code == 4
    assert newest_sound(checkpoints(settings)).is_file()
    unbroken = train_detection(replace(settings, out=f"{settings.out}-whole")).results
    assert train_detection(replace(settings, resume=settings.out)).results["AP"] == unbroken["AP"]


def test_or_it_goes_on_without_saving(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import densenets.training.durable as durable

    def full(*_: Any, **__: Any) -> None:
        raise StorageError("last.ckpt: cannot be written: No space left on device; kept as it was [T13]")

    settings = quick(shapes(train=range(8), val=range(8, 10)), epochs=1, save_every=1, on_save_error="warn")
    original, calls = durable.write_durably, 0

    def sometimes(*words: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        (full if calls == 2 else original)(*words, **named)

    monkeypatch.setattr(durable, "write_durably", sometimes)
    assert "AP" in train_detection(settings).results
    assert "going on" in caplog.text


def test_a_folder_that_vanishes_ends_the_training_with_4(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    from densenets.training.task import Task

    settings = quick(shapes(train=range(8), val=range(8, 10)))
    original = Task.training_step

    def step(self: Task, *words: Any) -> Any:
        shutil.rmtree(str(settings.out), ignore_errors=True)
        return original(self, *words)

    monkeypatch.setattr(Task, "training_step", step)
    with pytest.raises(StorageError, match="No such file or directory"):
        train_detection(settings)


# Loading processes


def test_a_loading_process_that_dies_is_told_with_its_picture(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(path: str, *_: Any) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(path)

    monkeypatch.setattr(dataset, "read_image", deadly)
    with pytest.raises(WorkerError, match=r"died.*\.png \(process 0\) \[T19\]") as caught:
        train_detection(quick(shapes(train=range(8), val=range(8, 10)), workers=1))
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_a_loading_process_that_hangs_is_told_with_its_picture(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(path: str, *_: Any) -> np.ndarray:
        signal.pause()
        raise AssertionError(path)

    monkeypatch.setattr(dataset, "read_image", hanging)
    monkeypatch.setattr(loading, "GRACE", 1)
    with pytest.raises(WorkerError, match=r"hangs.*timed out.*\.png \(process 0\) \[T20\]"):
        train_detection(quick(shapes(train=range(8), val=range(8, 10)), workers=1, worker_timeout=2.0))


def test_one_that_hears_no_signal_does_not_keep_the_training_from_ending(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(path: str, *_: Any) -> np.ndarray:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as in a lock of a library written in C
        signal.pause()
        raise AssertionError(path)

    monkeypatch.setattr(dataset, "read_image", deaf)
    with pytest.raises(WorkerError, match="T20"):
        train_detection(quick(shapes(train=range(8), val=range(8, 10)), workers=1, worker_timeout=2.0))
    for child in multiprocessing.active_children():
        child.join(10)
    assert not multiprocessing.active_children()


def test_shared_memory_too_small_for_the_batches_is_refused(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(loading.SHARED)

    class Tiny(NamedTuple):
        f_bavail: int = 1
        f_frsize: int = real.f_frsize

    monkeypatch.setattr(loading.os, "statvfs", lambda place: Tiny())
    with pytest.raises(InputError, match=r"fewer --workers.*T22"):
        train_detection(quick(shapes(train=range(8), val=range(8, 10)), workers=1))


# Batches


def test_one_image_a_batch_is_refused_where_batchnorm_would_fail(shapes: Callable[..., Path], quick: Quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    with pytest.raises(InputError, match=r"a batch of 1 image .*\(--batch-size\).*T04"):
        train_detection(quick(data, batch_size=1))
    with pytest.raises(InputError, match="T04"):
        train_detection(quick(shapes(Path(f"{data}-1"), train=range(1), val=range(8, 10))))


def test_an_odd_image_left_over_makes_no_batch_of_one(shapes: Callable[..., Path], quick: Quick) -> None:
    assert "AP" in train_detection(quick(shapes(train=range(9), val=range(8, 10)), epochs=1)).results


# Divergence


def test_a_diverged_training_names_step_terms_and_pictures(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    from densenets.heads.ssd import SSD

    original, steps = SSD.losses, 0

    def losses(self: SSD, *words: Any) -> dict[str, torch.Tensor]:
        nonlocal steps
        steps += 1
        found = original(self, *words)
        return {**found, "box": found["box"] * float("nan")} if steps == 3 else found

    monkeypatch.setattr(SSD, "losses", losses)
    settings = quick(shapes(train=range(8), val=range(8, 10)), epochs=3)
    with pytest.raises(DivergedError, match=r"step 2: .*loss_box nan.*\[T01\]; images of the batch: .*\.png"):
        train_detection(settings)
    last = read_checkpoint(checkpoints(settings) / "last.ckpt")
    assert last["global_step"] == 2  # the step before
    assert all(value.isfinite().all() for value in last["state_dict"].values() if value.is_floating_point())


def test_an_interrupt_outside_of_training_ends_with_130(
    shapes: Callable[..., Path], quick: Quick, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("densenets.run.train_detection", interrupted)
    assert main(["train-det", "--data", "streets"]) == 130
    assert capsys.readouterr().err == "densenets: interrupted\n"
