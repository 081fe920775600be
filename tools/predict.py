#!/usr/bin/env python
"""The same as `densenets predict`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("predict", sys.argv[1:], "predict.py"))
