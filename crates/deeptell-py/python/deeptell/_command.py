"""The command ``deeptell``."""

import sys

from ._deeptell import run_program


def main() -> int:
    """Run the program with the arguments of this process and return its exit code."""
    return run_program(["deeptell", *sys.argv[1:]])
