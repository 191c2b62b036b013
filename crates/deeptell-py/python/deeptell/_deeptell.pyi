"""The extension module. It is not for use; the package around it is."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "InputError",
    "ModelError",
    "OptionError",
    "Detector",
    "Manifest",
    "frames",
    "check_options",
    "check",
    "page",
    "figure",
    "interval",
    "compare_auc",
    "serve_decoding",
    "run_program",
]

__version__: str

class InputError(OSError): ...
class ModelError(ValueError): ...
class OptionError(ValueError): ...

_Pictures = tuple[list[bytes], list[bytes], list[bytes]]
_Scanned = tuple[str, _Pictures | None]
_OnProgress = Callable[[int, int | None, int], object]
_Face = tuple[list[float], list[tuple[float, float]], float]
_Draws = tuple[int, float, int]
_Interval = tuple[float, float, int]

@final
class Detector:
    def __new__(cls, model: str | None, threads: int | None, trusted: bool) -> Detector: ...
    def model(self) -> str: ...
    def scan_file(
        self, path: str, options: dict[str, Any], progress: _OnProgress | None = None
    ) -> _Scanned: ...
    def scan_bytes(
        self, name: str, contents: bytes, options: dict[str, Any], progress: _OnProgress | None = None
    ) -> _Scanned: ...
    def scan_picture(
        self, name: str, picture: NDArray[Any], options: dict[str, Any], progress: _OnProgress | None = None
    ) -> _Scanned: ...
    def scan_frames(
        self,
        name: str,
        frames: list[tuple[NDArray[Any], float]],
        options: dict[str, Any],
        progress: _OnProgress | None = None,
    ) -> _Scanned: ...
    def faces(self, picture: NDArray[Any], min_face: float, min_detection_probability: float) -> list[_Face]: ...
    def crop(self, picture: NDArray[Any], face: tuple[Any, Any, float]) -> NDArray[np.uint8]: ...
    def score(self, crops: list[NDArray[Any]], batch: int) -> NDArray[np.float64]: ...

@final
class Manifest:
    def __new__(cls, path: str, split: str | None = None) -> Manifest: ...
    def __len__(self) -> int: ...
    def row(self, index: int) -> str: ...
    def label(self, index: int) -> int: ...
    def picture(self, index: int) -> NDArray[np.uint8]: ...
    def labels(self) -> NDArray[np.uint8]: ...
    def sources(self) -> list[str]: ...
    def shards(self) -> list[str]: ...

def check_options(options: dict[str, Any]) -> None: ...
def frames(
    path: str, count: int, max_side: int | None, stream: int | None, trusted: bool
) -> list[tuple[NDArray[np.uint8], float, int | None]]: ...
def check(document: str) -> None: ...
def page(document: str, pictures: _Pictures | None = None) -> str: ...
def figure(
    name: str,
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    groups: NDArray[np.int64],
    setting: float,
    draws: _Draws,
) -> tuple[float, _Interval | None, float | None]: ...
def interval(
    metric: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    groups: NDArray[np.int64],
    draws: _Draws,
) -> _Interval: ...
def compare_auc(
    labels: NDArray[np.bool_],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> tuple[list[float], float, float, list[float], float]: ...
def serve_decoding() -> int: ...
def run_program(words: list[str]) -> int: ...
