"""What the documents show works: the page in docs, the README, the notebook."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import pytest

import deeptell
from conftest import ROOT, SAMPLE


@pytest.mark.parametrize("page", ["docs/python.md", "crates/deeptell-py/README.md"])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str) -> None:
    shutil.copy(clip, tmp_path / "interview.mp4")
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    ran = doctest.testfile(str(ROOT / page), module_relative=False, optionflags=options, encoding="utf-8")
    assert ran.attempted > 3 and ran.failed == 0


def test_the_examples_of_the_metrics_run() -> None:
    ran = doctest.testmod(deeptell.metrics)
    assert ran.attempted and not ran.failed


def test_the_notebook_runs_from_the_sample_to_a_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    path = ROOT / "crates/deeptell-py/examples/sample.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs do not belong into the repository"
    monkeypatch.setenv("DEEPTELL_SAMPLE", str(SAMPLE))
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [data for cell in notebook.cells for output in cell.get("outputs", []) for data in [output.get("data", {})]]
    assert any("image/png" in data for data in shown), "a plot"
    assert any("<iframe" in data.get("text/html", "") for data in shown), "a report"
