#!/usr/bin/env python
"""The same as `densenets train-det`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("train-det", sys.argv[1:], "train_det.py"))
