"""Reports: attributes, documents, pages."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

import deeptell
from conftest import ROOT


def test_every_part_of_a_report_is_an_attribute(clip: str) -> None:
    report = deeptell.scan(clip, 2)
    document = report.to_dict()
    assert document == json.loads(report.to_json())
    schema = json.loads((ROOT / "crates/deeptell/schema/report.json").read_text(encoding="utf-8"))
    for name in schema["properties"]:
        assert getattr(report, name) == document[name], name
    document["score"] = -1.0
    assert report.score != -1.0
    assert report.verdict == "inconclusive" and report.score is not None and 0 < report.score < 1


def test_a_report_is_named_in_short(clip: str) -> None:
    report = deeptell.scan(clip, 2)
    assert repr(report) == f"<Report of 'nasa-collins.mp4': inconclusive {report.score:.2f}, 2 frames>"
    grey = deeptell.scan(np.full((64, 64, 3), 99, np.uint8), name="wall\n")
    assert repr(grey) == "<Report of 'wall\\n': no face found, 1 frame>" and grey.score is None


def test_the_page_is_shown_in_a_frame_of_its_own(clip: str) -> None:
    report = deeptell.scan(clip, 2, evidence=True)
    assert report.evidence is not None
    assert [len(files) for files in report.evidence] == [2, len(report.observations), len(report.observations)]
    assert report.evidence.frames[0].startswith(b"\xff\xd8") and report.evidence.heat[0].startswith(b"\x89PNG")
    page = report.html()
    assert page.startswith("<!doctype html>") and "nasa-collins.mp4" in page and "data:image/jpeg" in page
    shown = report._repr_html_()
    match = re.fullmatch(r'<iframe srcdoc="([^"]*)" sandbox [^<]*></iframe>', shown, re.DOTALL)
    assert match and html.unescape(match[1]) == page
    plain = deeptell.scan(clip, 2)
    assert plain.evidence is None and "data:image/jpeg" not in plain.html()


def test_reports_of_the_command_line_are_read(reports: dict[str, str], clip: str) -> None:
    report = deeptell.Report.from_json(reports[clip].encode())
    assert report == deeptell.scan(clip) and report.html() == deeptell.scan(clip).html()
    for other in ("", "{}", '{"schema_version": 1}'):
        with pytest.raises(ValueError, match="deeptell|report"):
            deeptell.Report.from_json(other)


def test_the_page_of_the_command_line_is_the_same(program: str, clip: str, tmp_path: Path) -> None:
    import subprocess

    subprocess.run([program, "scan", clip, "--html", str(tmp_path), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    assert deeptell.scan(clip, evidence=True).html() in pages
