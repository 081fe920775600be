"""The commands: `densenets train-det ...` and tools/train_det.py are one and the same."""

import contextlib
import errno
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from densenets import __version__
from densenets.config import (
    CheckData,
    Compare,
    EvalDetection,
    EvalSegmentation,
    Predict,
    Profile,
    TrainDetection,
    TrainSegmentation,
)
from densenets.errors import DensenetsError, Stopped, printable
from densenets.heads import HEADS, refuse_other_task


class Command(NamedTuple):
    """settings: the dataclass that holds its flags. function: what it does, imported from `room` when it is called.

    passes_on: flags that are not its own go to the function too, as words.
    """

    settings: type[Any]
    function: str
    default_config: str | None = None
    room: str = "densenets.run"
    passes_on: bool = False

    def judge_run(self, place: str, head: object) -> None:
        """Whether a run that is to be resumed is of the command's task; a head that nobody knows is for later."""
        if isinstance(head, str) and head in HEADS:
            refuse_other_task(head, self.settings.configs, place, "--resume")


STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Plain(logging.Formatter):
    """No name in a message steers the terminal [X13]."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


COMMANDS = {
    "train-det": Command(TrainDetection, "train_detection", default_config="streets"),
    "eval-det": Command(EvalDetection, "evaluate_detection"),
    "train-seg": Command(TrainSegmentation, "train_segmentation", default_config="streets"),
    "eval-seg": Command(EvalSegmentation, "evaluate_segmentation"),
    "predict": Command(Predict, "predict"),
    "check-data": Command(CheckData, "check_data"),
    "profile": Command(Profile, "profile", room="densenets.analysis.profile"),
    "compare": Command(Compare, "compare", room="densenets.analysis.compare.command", passes_on=True),
}


def main(argv: Sequence[str] | None = None, prog: str = "densenets") -> int:
    """Run one command; the exit code (see `errors`). Results go to stdout, all else to stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    if not words or words[0] in ("-h", "--help") or words[0] == "--version":
        return _tell(f"densenets {__version__}" if words[:1] == ["--version"] else _overview())
    if words[0] not in COMMANDS:
        return _fail(f"{words[0]!a}: expected one of {', '.join(COMMANDS)}", 2)
    return run_command(words[0], words[1:], f"{prog} {words[0]}")


def run_command(name: str, argv: Sequence[str], prog: str) -> int:
    """Parse, import, do; faults outside this program become one line."""
    from densenets.command_line import own_words, parse

    _open_closed_streams()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    for handler in (one for one in logging.getLogger().handlers if getattr(one, "stream", None) is sys.stderr):
        handler.setFormatter(Plain("%(message)s"))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show must not cost the results
        sys.stdout.reconfigure(errors="backslashreplace")
    command = COMMANDS[name]
    try:
        own, others = own_words(command.settings, argv) if command.passes_on else (argv, [])
        settings = parse(command.settings, own, prog, command.default_config, command.judge_run)
        given = (settings, others) if command.passes_on else (settings,)
        with _whole_imports():
            function = getattr(import_module(command.room), command.function)
        outcome = function(*given)
    except Stopped as fault:  # as it was asked to, and nothing is wrong
        return _fail(_message(fault), fault.exit_code, "densenets: ")
    except DensenetsError as fault:
        _tell(fault.outcome or "")
        return _fail(_message(fault), fault.exit_code)
    except OSError as fault:  # what the system refuses is told as it tells it
        if fault.filename is None:
            raise
        return _fail(f"{printable(fault.filename)}: {fault.strerror}", 4 if fault.errno in STORAGE else 2)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as end:  # Lightning's own answer to an interrupt is 1
        if isinstance(end.__context__, KeyboardInterrupt):
            return _interrupted()
        if code := _tell(""):  # --help and --print-config wrote to it
            return code
        raise
    return _tell(outcome)  # of several processes the first one has words


def _open_closed_streams() -> None:
    """Streams that are closed (`>&-`) lead nowhere, so that no file opened later gets what is written to them."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers: each gets the lowest that is free
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w"))  # noqa: SIM115


def _tell(outcome: object) -> int:
    """The exit code: 4 where stdout is full or closed. What was written to files is there all the same."""
    if str(outcome) and getattr(sys.stdout, "name", "") == os.devnull:  # ours: that of a shell is called <stdout>
        return _fail("stdout: cannot be written: it is closed", 4)
    try:
        sys.stdout.write(f"{outcome}\n" if str(outcome) else "")
        sys.stdout.flush()
    except OSError as fault:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - what Python flushes at its end would fail again
        return _fail(f"stdout: cannot be written: {fault.strerror}", 4)
    return 0


def _overview() -> str:
    lines = [
        f"  {name:<12}{(command.settings.__doc__ or '').strip().splitlines()[0]}" for name, command in COMMANDS.items()
    ]
    return (
        "usage: densenets COMMAND [--FLAG VALUE ...]\n\n"
        + "\n".join(lines)
        + "\n\ndensenets COMMAND --help lists its flags."
    )


def _message(fault: DensenetsError) -> str:
    """Its lines; of a fault in a loading process, which arrives behind that process' traceback, those after it."""
    return str(fault).strip().rpartition(f"{type(fault).__module__}.{type(fault).__name__}: ")[2]


def _interrupted() -> int:
    """On a terminal in a line of its own: in the one at hand stand its ^C and maybe a bar."""
    return _fail("interrupted", 130, "\ndensenets: " if sys.stderr.isatty() else "densenets: ")


@contextlib.contextmanager
def _whole_imports() -> Iterator[None]:
    """A first interrupt waits: a library whose own import it breaks off tells of any fault but that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def _fail(message: str, code: int, begin: str = "densenets: error: ") -> int:
    with contextlib.suppress(OSError):  # stderr is gone: the exit code is all that is left to tell
        sys.stderr.writelines(f"{begin}{printable(line)}\n" for line in message.splitlines())
    return code


if __name__ == "__main__":
    sys.exit(main())
