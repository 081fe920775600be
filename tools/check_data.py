#!/usr/bin/env python
"""The same as `densenets check-data`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("check-data", sys.argv[1:], "check_data.py"))
