"""Finds manipulated faces in videos and pictures.

>>> import deeptell
>>> report = deeptell.scan("interview.mp4")         # doctest: +SKIP
>>> report.verdict, report.score                    # doctest: +SKIP
('likely_fake', 0.93)

A verdict is a reason to look closer, never proof. Pixels are RGB: OpenCV's are BGR, so pass ``picture[..., ::-1]``.
"""

from . import metrics
from ._dataset import Dataset
from ._deeptell import InputError, ModelError, OptionError, __version__
from ._detector import Detector, Face, Frame, Progress, ScanResult, faces, frames, scan, scan_many
from ._report import Evidence, Report

__all__ = [
    "Dataset",
    "Detector",
    "Evidence",
    "Face",
    "Frame",
    "InputError",
    "ModelError",
    "OptionError",
    "Progress",
    "Report",
    "ScanResult",
    "__version__",
    "faces",
    "frames",
    "metrics",
    "scan",
    "scan_many",
]
