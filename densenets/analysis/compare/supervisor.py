"""The process that stands over one cell: runs its commands one after the other, and writes down how they ended.

    python densenets/analysis/compare/supervisor.py FOLDER < JOB      (JSON of a `Job`; FOLDER: the cell's, to be seen)

Started as a file it imports no torch. It watches the process that started it and, when that one is gone, asks the
training to save and to stop: whatever happens to the comparison, no training goes on without it. SIGTERM and SIGINT are
passed on.
"""

import contextlib
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypedDict

from densenets.errors import DensenetsError, StorageError, printable
from densenets.storage import write_durably

STATE, LOG = "state.json", "log.txt"
SOME = "some at once"  # cells on one machine: nobody knows how many
GRACE = 120.0  # seconds that a training has for saving, before it is killed
BUSY = 90.0  # seconds to wait for one that still saves in the same folder
PAUSE = 0.1
ERROR, WARNING = "densenets: error: ", "warning: "
MOST_WARNINGS = 20  # of a cell


class Step(TypedDict):
    """words: of a command. leaves: the files that prove that it was done; it is not done again then."""

    words: list[str]
    leaves: list[str]


@dataclass
class Job:
    """A cell as its process gets it. session: of which comparison's start it is. folder, cwd: absolute. at_once:
    cells that share the machine; 0 where nobody knows."""

    name: str
    folder: str
    session: str
    steps: list[Step]
    cwd: str
    environment: dict[str, str]
    at_once: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))


def start(job: Job) -> "subprocess.Popen[bytes]":
    """The supervisor of a job in a session of its own: a terminal's Ctrl-C is the comparison's to pass on."""
    command = [sys.executable, "-P", __file__, job.folder]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    with contextlib.suppress(BrokenPipeError):  # it is gone already; its end is seen by who waits for it
        assert process.stdin is not None
        with process.stdin as handle:
            handle.write(job.text().encode())
    return process


def main() -> int:
    """Never a traceback: where the cell's own folder cannot be used, a line on stderr is all there is."""
    asked = Asked(os.getppid())
    try:
        return supervise(Job(**json.load(sys.stdin)), asked)
    except (DensenetsError, OSError, ValueError, TypeError) as fault:
        sys.stderr.write(f"{ERROR}{printable(sys.argv[1])}: {printable(fault)}\n")
        return StorageError.exit_code if isinstance(fault, OSError | StorageError) else DensenetsError.exit_code


def supervise(job: Job, asked: "Asked") -> int:
    """The exit code that a cell ended with. Raises StorageError and OSError where its folder cannot be written to."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    begun = _begun(job, read_state(folder))
    write_state(folder, {"state": "running", **begun})
    started = time.monotonic()
    with (folder / LOG).open("ab", buffering=0) as log:
        first = log.tell()
        code = _free(folder, asked) or _run_all(job, log.fileno(), asked)
    content = {"state": _word(code), **begun, "code": code, "seconds": round(time.monotonic() - started, 2)}
    if content["state"] == "failed":
        content["fault"] = _fault(folder / LOG, first, code)
    write_state(folder, content)
    return code


def _begun(job: Job, before: dict[str, Any]) -> dict[str, Any]:
    """where: every host, and how many cells shared it, that this cell was at work on."""
    tries = before.get("tries")
    here = f"{platform.node()} with {f'{job.at_once} at once' if job.at_once else SOME}"
    places = [place for place in str(before.get("where") or "").split("; ") if place not in ("", here)]
    where = "; ".join([*places, here])
    return {"session": job.session, "tries": (tries if type(tries) is int else 0) + 1, "where": where}


def read_state(folder: Path) -> dict[str, Any]:
    """How a cell was left; nothing where it never began."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((folder / STATE).read_text())
        return content if isinstance(content, dict) else {}
    return {}


def write_state(folder: Path, content: dict[str, Any]) -> None:
    write_durably(folder / STATE, lambda handle: handle.write((json.dumps(content, indent=1) + "\n").encode()))


def warnings_in(log: Path) -> list[str]:
    """What a cell's commands have warned of, each once, without the word; nothing where the log cannot be read."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = dict.fromkeys(line.removeprefix(WARNING).strip() for line in lines if line.startswith(WARNING))
    return [*found][:MOST_WARNINGS]


class Asked:
    """Whether the work is to stop: by a signal, or because the process that wanted it is gone."""

    def __init__(self, parent: int) -> None:
        self.parent, self.number = parent, 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number

    def __bool__(self) -> bool:
        return bool(self.number) or os.getppid() != self.parent


def _free(folder: Path, asked: Asked) -> int:
    """Wait while another process trains in the folder: one whose comparison was killed may still be saving. Exit code
    of what is not begun at all; 0 otherwise, and the training itself refuses a folder that stays taken."""
    end = time.monotonic() + BUSY
    while _taken(folder / ".lock") and time.monotonic() < end:
        if asked:
            return 128 + signal.SIGTERM
        time.sleep(PAUSE)
    return 0


def _taken(lock: Path) -> bool:
    try:
        import fcntl

        with lock.open("r+") as handle:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    except (ImportError, OSError):  # a system or a file system without locks
        return False
    return False


def _run_all(job: Job, log: int, asked: Asked) -> int:
    for step in job.steps:
        if asked:
            return 128 + signal.SIGTERM
        if all(Path(file).is_file() for file in step["leaves"]):
            continue
        if code := _run(step["words"], job, log, asked):
            return code
    return 0


def _run(words: list[str], job: Job, log: int, asked: Asked) -> int:
    """The exit code of one command, as a shell tells it: 128 and the signal that killed it."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "densenets.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=job.cwd,
        env={**_inherited(), **job.environment},
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    while process.poll() is None and not asked:
        time.sleep(PAUSE)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
    code = process.wait()
    return code if code >= 0 else 128 - code


def _inherited() -> dict[str, str]:
    """Without what is of the process that this one was started by, as its run folder."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DENSENETS_")}


def _die_with_parent() -> None:
    """SIGTERM when this supervisor is gone: prctl(PR_SET_PDEATHSIG). It has one thread, so nothing is locked here."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _word(code: int) -> str:
    """A cell that was asked to stop waits for the next start; one that ended by itself with a fault has failed."""
    if code in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        return "waiting"
    return "failed" if code else "done"


def _fault(log: Path, first: int, code: int) -> str:
    """The line of the last error in what was said from byte `first` on, or the last line of all."""
    with log.open("rb") as handle:
        handle.seek(first)
        lines = [line.strip() for line in handle.read().decode(errors="replace").splitlines() if line.strip()]
    told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if told:
        return told[-1]
    if code == 128 + signal.SIGKILL:
        return "killed: by the system where memory ran out, or by hand"
    return lines[-1] if lines else f"ended with exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
