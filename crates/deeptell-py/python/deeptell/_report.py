"""What a scan found."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from . import _deeptell

if TYPE_CHECKING:
    from . import types


class Evidence(NamedTuple):
    """Pictures of a scan, as files in memory; ``scan(..., evidence=True)`` makes them."""

    frames: list[bytes]
    """One JPEG file per frame, in the order of :attr:`Report.frames`."""
    faces: list[bytes]
    """One JPEG file per face, in the order of :attr:`Report.observations`."""
    heat: list[bytes]
    """Where the evidence lies in each face: PNG files with transparency, in the same order."""


class Report:
    """Everything that one scan found out about one input.

    The attributes are those of the JSON document that ``deeptell scan --json`` writes, and hold the same numbers; their
    types are in :mod:`deeptell.types`. The same input, model and options give the same report. In a notebook, a report
    shows its page. Reports can be pickled.
    """

    __slots__ = ("_data", "_document", "_evidence")

    _data: types.ReportDocument
    _document: str
    _evidence: Evidence | None

    def __init__(self, document: str, evidence: Evidence | None = None) -> None:
        """Take what the extension returns; to read a file use :meth:`from_json`."""
        self._document = document
        self._evidence = evidence
        self._data = json.loads(document)

    @classmethod
    def from_json(cls, document: str | bytes) -> Report:
        """Read a report that was written by :meth:`to_json` or by ``deeptell scan --json``.

        Raises ``ValueError`` for anything else, and for reports of another version.
        """
        text = document if isinstance(document, str) else document.decode()
        _deeptell.check(text)
        return cls(text)

    def to_json(self) -> str:
        """Return the report as one line of JSON."""
        return self._document

    def to_dict(self) -> types.ReportDocument:
        """Return the report as a dict of its own, which can be changed."""
        return cast("types.ReportDocument", json.loads(self._document))

    @property
    def verdict(self) -> types.Verdict:
        """``likely_real``, ``inconclusive``, ``likely_fake`` or ``no_face``."""
        return self._data["verdict"]

    @property
    def score(self) -> float | None:
        """Probability from 0 to 1 that the decisive face is manipulated; ``None`` without a face."""
        return self._data.get("score")

    @property
    def decisive_person(self) -> int | None:
        """The ``id`` of the person that the verdict rests on; ``None`` without a face."""
        return self._data.get("decisive_person")

    @property
    def reasons(self) -> list[types.Reason]:
        """Why the verdict is what it is, most important first."""
        return self._data["reasons"]

    @property
    def input(self) -> types.InputFacts:
        """The file, or what is known of the pixels."""
        return self._data["input"]

    @property
    def frames(self) -> list[types.FrameFacts]:
        """The analyzed frames, in order of time."""
        return self._data["frames"]

    @property
    def people(self) -> list[types.Person]:
        """The people seen, in order of first appearance."""
        return self._data["people"]

    @property
    def observations(self) -> list[types.Observation]:
        """Every face that was judged, in order of time."""
        return self._data["observations"]

    @property
    def warnings(self) -> list[types.Warning]:
        """What went less than perfectly."""
        return self._data["warnings"]

    @property
    def face_detector(self) -> types.FaceDetectorId | None:
        """What found the faces, with its settings; ``None`` in reports of earlier versions."""
        return self._data.get("face_detector")

    @property
    def model(self) -> types.ModelInfo:
        """The model that gave the scores."""
        return self._data["model"]

    @property
    def options(self) -> types.ScanOptions:
        """The options of the scan."""
        return self._data["options"]

    @property
    def schema_version(self) -> int:
        """Version of the JSON form."""
        return self._data["schema_version"]

    @property
    def deeptell_version(self) -> str:
        """Version of deeptell that made the report."""
        return self._data["deeptell_version"]

    @property
    def evidence(self) -> Evidence | None:
        """Pictures; ``None`` unless the scan was asked for them."""
        return self._evidence

    def html(self) -> str:
        """Return the page of the report, as one file of HTML; with pictures if there is :attr:`evidence`."""
        pictures = self._evidence
        if pictures is None:
            return _deeptell.page(self._document)
        return _deeptell.page(self._document, (pictures.frames, pictures.faces, pictures.heat))

    def _repr_html_(self) -> str:
        page = html.escape(self.html(), quote=True)
        style = "width: 100%; height: 45em; border: 1px solid #8884; border-radius: 4px"
        return f'<iframe srcdoc="{page}" sandbox title="Report of deeptell" style="{style}"></iframe>'

    def __repr__(self) -> str:
        verdict = {"no_face": "no face found"}.get(self.verdict, self.verdict.replace("_", " "))
        score = "" if self.score is None else f" {self.score:.2f}"
        frames = "1 frame" if len(self.frames) == 1 else f"{len(self.frames)} frames"
        return f"<Report of {self.input['name']!r}: {verdict}{score}, {frames}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        return (self._document, self._evidence) == (other._document, other._evidence)

    def __hash__(self) -> int:
        return hash(self._document)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Report, (self._document, self._evidence))
