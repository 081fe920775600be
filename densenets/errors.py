"""What ends a command: one line for the user and an exit code, never a traceback.

Exit codes: 0 ok, 1 a bug of ours (the only one with a traceback), 2 bad input or configuration, 3 training diverged.
"""


class DensenetsError(Exception):
    """A fault outside this program. The message is one line that names the file and the item."""

    exit_code = 2


class InputError(DensenetsError):
    """A file, folder, item or setting that cannot be used; exit code 2."""


class DivergedError(DensenetsError):
    """A loss that is not finite; exit code 3."""

    exit_code = 3


def printable(text: object) -> str:
    """`text` with line ends, control characters and lone surrogates escaped: no name can forge or break a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
