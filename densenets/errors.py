"""What ends a command: a line for each problem and an exit code, never a traceback.

Exit codes: 0 ok, 1 a bug of ours (the only one with a traceback) or a dead worker, 2 bad input or configuration,
3 training diverged, 4 storage, 130 interrupted (SIGINT), 143 terminated (SIGTERM), these two with a checkpoint saved.
"""

PROBLEMS_SHOWN = 20


class DensenetsError(Exception):
    """A fault outside this program. Each line of the message is one problem and names the file and the item."""

    exit_code = 2
    outcome: object = None  # what the command has to tell nevertheless


class InputError(DensenetsError):
    """A file, folder, item or setting that cannot be used; exit code 2."""


class WorkerError(DensenetsError):
    """A process that loads or trains died or hangs; exit code 1."""

    exit_code = 1


class DivergedError(DensenetsError):
    """A loss, weight or prediction that is not finite; exit code 3."""

    exit_code = 3


class StorageError(DensenetsError):
    """What had to be written could not be; exit code 4."""

    exit_code = 4


class Stopped(DensenetsError):
    """The training was asked to stop, and saved. Exit code 128 + the number of the signal.

    again: a batch system is to start the same command once more.
    """

    again = False

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


class Problems:
    """Gathers what is wrong with one input, in the order found, to tell all of it at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def add(self, line: str) -> None:
        """One problem: "FILE: ITEM: what is wrong [CODE]", already `printable`."""
        self.count += 1
        if len(self.lines) < PROBLEMS_SHOWN:
            self.lines.append(line)

    def refuse(self, kind: type[DensenetsError] = InputError) -> None:
        """Raise `kind` with a line for each of the first problems and a count of the rest, where there are any."""
        if self.count > len(self.lines):
            raise kind("\n".join([*self.lines, f"and {self.count - len(self.lines)} more problems"]))
        if self.lines:
            raise kind("\n".join(self.lines))


def printable(text: object) -> str:
    """`text` with line ends, control characters and lone surrogates escaped: no name can forge or break a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
