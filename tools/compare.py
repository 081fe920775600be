#!/usr/bin/env python
"""The same as `densenets compare`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("compare", sys.argv[1:], "compare.py"))
