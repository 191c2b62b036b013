"""What the tests share: the sample of the repository, and the command line to compare with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "datasets" / "sample"

# A shell starts what runs in its background with Ctrl-C ignored, and Python leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def clip() -> str:
    """A manipulated clip with one person."""
    return str(SAMPLE / "fake" / "nasa-collins.mp4")


@pytest.fixture(scope="session")
def program() -> str:
    """The command line that was built from the same sources."""
    return os.environ["DEEPTELL_PROGRAM"]


@pytest.fixture(scope="session")
def reports(program: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the command line says of every clip of the sample, by path: each a line of JSON."""
    lines = tmp_path_factory.mktemp("reports") / "reports.jsonl"
    command = [program, "scan", str(SAMPLE), "--jsonl", str(lines), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    documents = [(json.loads(line), line) for line in lines.read_text().splitlines()]
    return {document["input"]["path"]: line for document, line in documents}
