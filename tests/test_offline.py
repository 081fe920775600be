"""No command needs a network, a home, a locale or its own folder as the working one [X12, T31]."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from densenets.cli import COMMANDS

ROOT = Path(__file__).parent.parent
BARRED = """
import os, socket, sys
def barred(*words, **more):
    raise AssertionError(f"asks the network: {words[:2]}")
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, barred)
connect = socket.socket.connect
def local_only(self, address):  # processes of one machine may talk to each other
    return connect(self, address) if isinstance(address, (str, bytes)) else barred(address)
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = local_only
os.umask(0o077)
"""
SCENES = """
from densenets.data.streets.files import write_streets
write_streets({folder!r}, images={{"train": 6, "val": 2}}, size=(96, 128))
"""
RUN = """
from densenets.cli import main
sys.exit(max(main(words) for words in {lines!r}))
"""


def alone(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python without network, home, locale and the settings of this process, in a folder elsewhere."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT")
    }
    bare = {"HOME": "/nonexistent", "LC_ALL": "C", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [sys.executable, "-P", "-c", BARRED + code]
    return subprocess.run(command, cwd=folder, env=kept | bare, capture_output=True, text=True, timeout=300)


def test_the_bar_is_there(tmp_path) -> None:
    assert "asks the network" in alone("import urllib.request as u; u.urlopen('http://localhost')", tmp_path).stderr


def test_import_and_help_ask_nobody(tmp_path) -> None:
    code = "import densenets.run\nfrom densenets.cli import main\n"
    for name in COMMANDS:
        code += f"try: assert main([{name!r}, '--help']) == 0\nexcept SystemExit as end: assert not end.code\n"
    done = alone(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)
    assert not list(tmp_path.iterdir())


def test_the_demo_s_way_from_scenes_to_pictures(tmp_path) -> None:
    """Drawing scenes, training, judging and predicting; every file private, as the umask says."""
    data = str(tmp_path / "scenes")
    small = ["--backbone", "v3-small", "--width", "0.25", "--size", "96", "--batch-size", "3", "--epochs", "1"]
    train = ["train-det", *small, "--data", data, "--workers", "0", "--accelerator", "cpu", "--out", "run"]
    judge = ["eval-det", "--checkpoint", "run", "--workers", "0"]
    predict = ["predict", "--checkpoint", "run", "--images", f"{data}/val", "--out", "found"]
    done = alone(SCENES.format(folder=data) + RUN.format(lines=[train, judge, predict]), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "results.json").is_file()
    assert (tmp_path / "found" / "detections.json").is_file()
    if os.name == "posix":
        assert not [path for path in (tmp_path / "run").rglob("*") if path.stat().st_mode & 0o077]


def test_a_terminal_of_ascii_gets_every_name(tmp_path, shapes) -> None:
    """LC_ALL=C without Python's own UTF-8 mode: a class that ASCII lacks is escaped, not a traceback."""
    data = shapes(train=range(4), val=range(4, 6))
    for file in data.glob("annotations/*.json"):
        file.write_text(file.read_text().replace('"red"', '"r\\u00f6t \\u4ea4"'))
    small = ["--backbone", "v3-small", "--width", "0.25", "--size", "96", "--batch-size", "4", "--epochs", "1"]
    words = ["train-det", *small, "--data", str(data), "--workers", "0", "--accelerator", "cpu"]
    done = alone(RUN.format(lines=[words]), tmp_path, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_default_scenes_need_no_network(tmp_path) -> None:
    """`make demo` itself, one epoch of it, with a home that cannot be written to."""
    words = ["train-det", "--epochs", "1", "--out", "run", "--accelerator", "cpu", "--size", "96", "--width", "0.25"]
    done = alone(RUN.format(lines=[words]), tmp_path, DENSENETS_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr[-3000:]
