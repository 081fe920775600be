#!/usr/bin/env python
"""The same as `densenets eval-seg`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("eval-seg", sys.argv[1:], "eval_seg.py"))
