#!/usr/bin/env python
"""The same as `densenets profile`."""

import sys

from densenets.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("profile", sys.argv[1:], "profile_model.py"))
