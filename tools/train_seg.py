#!/usr/bin/env python
"""The same as `densenets train-seg`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("train-seg", sys.argv[1:], "train_seg.py"))
