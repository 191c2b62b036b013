"""Types: the package's own, and what its users see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import deeptell

USE = """
import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type
import deeptell
from deeptell import metrics, types

report = deeptell.scan("a.mp4", frames=3, min_face=20.0, progress=lambda at: print(at.faces))
assert_type(report.verdict, types.Verdict)
assert_type(report.score, "float | None")
assert_type(report.people[0]["score"], float)
assert_type(report.to_dict(), types.ReportDocument)
for reason in report.reasons:
    if reason["code"] == "score_high":
        assert_type(reason["threshold"], float)
for path, found, error in deeptell.scan_many(["a.mp4"]):
    assert_type(found, "deeptell.Report | None")
assert_type(metrics.auc([1, 0], [0.5, 0.1]).value, float)
detector = deeptell.Detector("m.safetensors", threads=2)
faces = detector.faces(np.zeros((8, 8, 3), np.uint8))
crops = [detector.crop(np.zeros((8, 8, 3), np.uint8), face) for face in faces]
scores: NDArray[np.float64] = detector.score(crops)
"""
WRONG = """
import deeptell
deeptell.scan("a.mp4", frame=3)
deeptell.scan("a.mp4").verdicts
deeptell.Detector(threads="two")
deeptell.scan("a.mp4").people[0]["scores"]
"""


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *arguments], capture_output=True, text=True, check=False
    )


def test_the_package_is_typed_and_so_are_its_users(tmp_path: Path) -> None:
    cache = f"--cache-dir={tmp_path / 'cache'}"
    (tmp_path / "use.py").write_text(USE)
    done = mypy(cache, "-p", "deeptell")
    assert done.returncode == 0, done.stdout
    done = mypy(cache, str(tmp_path / "use.py"))
    assert done.returncode == 0, done.stdout
    (tmp_path / "wrong.py").write_text(WRONG)
    done = mypy(cache, str(tmp_path / "wrong.py"))
    assert all(f"wrong.py:{line}: error" in done.stdout for line in (3, 4, 5, 6)), done.stdout


def test_the_stubs_say_what_the_extension_has() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", "deeptell._deeptell"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_public_name_is_documented() -> None:
    for module in (deeptell, deeptell.metrics):
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing):
                assert thing.__doc__, name
                members = vars(thing).items() if isinstance(thing, type) else ()
                assert all(member.__doc__ for key, member in members if callable(member) and key[0] != "_"), name
