#!/usr/bin/env python
"""The same as `densenets eval-det`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("eval-det", sys.argv[1:], "eval_det.py"))
