"""Scans, and the stages of a scan."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypedDict, Union, cast

from . import _deeptell
from ._deeptell import OptionError
from ._report import Evidence, Report

if TYPE_CHECKING:
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from . import types

    Path = Union[str, "os.PathLike[str]"]
    Picture = Any
    """An array of shape (height, width, 3) of ``uint8``, or a Pillow image."""
    Contents = Union[bytes, bytearray, memoryview, BinaryIO]
    Input = Union[Path, Contents, Picture]


class Progress(NamedTuple):
    """How far a scan has come."""

    frames_done: int
    """Frames analyzed so far."""
    frames_total: int | None
    """Frames to analyze, where that is known; there may turn out to be fewer."""
    faces: int
    """Faces found so far."""


class Frame(NamedTuple):
    """A frame of a video."""

    image: NDArray[np.uint8]
    """RGB, of shape (height, width, 3)."""
    pts_seconds: float
    """When it is shown, in seconds from the start."""
    number: int | None
    """Its number within the whole video, from 0, where that is known."""


class Face(NamedTuple):
    """A face in a picture. Places are in pixels of it."""

    bbox: tuple[float, float, float, float]
    """Left, top, right, bottom: x1, y1, x2, y2."""
    landmarks: tuple[tuple[float, float], ...]
    """(x, y) of the left eye, the right eye, the nose, and the left and the right corner of the mouth, as they lie
    in the picture."""
    probability: float
    """How sure the face detector is that this is a face, from 0 to 1."""


class Options(TypedDict, total=False):
    """Further options of a scan; see :func:`deeptell.scan`."""

    min_face: float
    min_detection_probability: float
    max_faces_per_frame: int
    max_side: Optional[int]
    stream: Optional[int]
    evidence: bool
    sha256: bool


class ScanResult(NamedTuple):
    """One file of :func:`scan_many`: it has a report or an error."""

    path: Any
    """The file, as it was given."""
    report: Report | None
    """What was found."""
    error: Exception | None
    """Why there is no report."""


_LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_MOST_WORKERS = 256


def _pixels(given: Picture) -> NDArray[Any]:
    """Return ``given`` as an array; its type and shape are checked by whoever reads it."""
    import numpy

    if isinstance(given, numpy.ndarray):
        return given
    if hasattr(given, "convert") and hasattr(given, "getexif"):
        from PIL import ImageOps

        return numpy.asarray(ImageOps.exif_transpose(given).convert("RGB"))
    if hasattr(given, "__array__") or hasattr(given, "__array_interface__"):
        return numpy.asarray(given)
    raise TypeError(
        "expected an array of shape (height, width, 3) of uint8, or a Pillow image; "
        f"found {type(given).__name__}"
    )


def _contents(file: Any) -> bytes:
    contents = file.read()
    if not isinstance(contents, (bytes, bytearray, memoryview)):
        raise TypeError("the file is open as text; open it with mode 'rb'")
    return bytes(contents)


def _named(file: Any) -> str:
    name = getattr(file, "name", None)
    return os.path.basename(name) if isinstance(name, str) else "file"


class Detector:
    """A model that is loaded, and where it computes.

    ``model`` is a model file, by default the one that ships. ``threads`` is how many threads the detector gets for
    itself, by default it shares one per core; with threads of its own, it does one thing at a time. Files are
    decoded in a sandboxed process unless they are ``trusted``, which also allows larger ones and rare formats.

    A detector can be used from several threads. It is pickled as its arguments, so give ``model`` as a path that
    holds wherever it is unpickled.
    """

    __slots__ = ("_arguments", "_engine", "_info")

    def __init__(self, model: Path | None = None, *, threads: int | None = None, trusted: bool = False) -> None:
        """Raise :class:`ModelError` for a file that is not a model, :class:`OptionError` for other ``threads``."""
        path = None if model is None else os.fspath(model)
        self._arguments = (path, threads, trusted)
        self._engine = _deeptell.Detector(path, threads, trusted)
        self._info = cast("types.ModelInfo", json.loads(self._engine.model()))

    @property
    def card(self) -> types.ModelCard:
        """What the model says about itself."""
        return self._info["card"]

    @property
    def sha256(self) -> str:
        """SHA-256 of the model file, in lower-case hexadecimal."""
        return self._info["sha256"]

    def scan(
        self,
        input: Input,  # noqa: A002
        frames: int = 12,
        *,
        progress: Callable[[Progress], object] | None = None,
        name: str | None = None,
        fps: float | None = None,
        **options: Unpack[Options],
    ) -> Report:
        """Scan a video or a picture; see :func:`deeptell.scan`."""
        settings = _settings(frames, options)
        listener = None if progress is None else _listener(progress)
        engine = self._engine
        if isinstance(input, (str, os.PathLike)):
            scanned = engine.scan_file(os.fspath(input), settings, listener)
        elif isinstance(input, (bytes, bytearray, memoryview)):
            scanned = engine.scan_bytes(name or "bytes", bytes(input), settings, listener)
        elif isinstance(input, Frame):
            scanned = engine.scan_picture(name or "frame", input.image, settings, listener)
        elif isinstance(input, (list, tuple)) and all(isinstance(frame, Frame) for frame in input):
            timed = [(frame.image, frame.pts_seconds) for frame in input]
            scanned = engine.scan_frames(name or "frames", timed, settings, listener)
        elif hasattr(input, "read") and not hasattr(input, "convert"):
            scanned = engine.scan_bytes(name or _named(input), _contents(input), settings, listener)
        else:
            pixels = _pixels(input)
            if pixels.ndim == 4:
                if fps is None or not fps > 0:
                    raise OptionError("an array of frames needs their rate: scan(frames, fps=25)")
                timed = [(frame, number / fps) for number, frame in enumerate(pixels)]
                scanned = engine.scan_frames(name or "frames", timed, settings, listener)
            else:
                scanned = engine.scan_picture(name or "picture", pixels, settings, listener)
        document, pictures = scanned
        return Report(document, None if pictures is None else Evidence(*pictures))

    def scan_many(
        self,
        paths: Iterable[Path],
        *,
        workers: int = 2,
        progress: Callable[[int, int | None], object] | None = None,
        frames: int = 12,
        **options: Unpack[Options],
    ) -> Iterator[ScanResult]:
        """Scan many files; see :func:`deeptell.scan_many`."""
        _deeptell.check_options(_settings(frames, options))
        if not 1 <= workers <= _MOST_WORKERS:
            raise OptionError(f"the option `workers` is {workers}, but must be 1 to {_MOST_WORKERS}")
        if isinstance(paths, (str, bytes, os.PathLike)):
            raise TypeError("expected several paths, found one; scan() is for one file")
        return self._scan_many(paths, workers, progress, frames, options)

    def _scan_many(
        self,
        paths: Iterable[Path],
        workers: int,
        progress: Callable[[int, int | None], object] | None,
        frames: int,
        options: Options,
    ) -> Iterator[ScanResult]:
        from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
        from itertools import islice

        is_over = threading.Event()

        def go_on(_: Progress) -> None:
            if is_over.is_set():
                raise InterruptedError("the caller wants no more reports")

        def work(path: Path) -> ScanResult:
            try:
                return ScanResult(path, self.scan(os.fspath(path), frames, progress=go_on, **options), None)
            except Exception as error:
                return ScanResult(path, None, error)

        total = len(paths) if isinstance(paths, Sequence) else None
        rest, running, count = iter(paths), set[Future[ScanResult]](), 0
        with ThreadPoolExecutor(workers, thread_name_prefix="deeptell") as pool:
            try:
                while True:
                    running.update(pool.submit(work, path) for path in islice(rest, workers - len(running)))
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        count += 1
                        if progress is not None:
                            progress(count, total)
                        yield future.result()
            finally:
                is_over.set()

    def faces(
        self, picture: Picture, *, min_face: float = 40.0, min_detection_probability: float = 0.9
    ) -> list[Face]:
        """Find the faces of a picture, the largest first; see :func:`deeptell.faces`."""
        found = self._engine.faces(_pixels(picture), min_face, min_detection_probability)
        return [
            Face((bbox[0], bbox[1], bbox[2], bbox[3]), tuple(landmarks), probability)
            for bbox, landmarks, probability in found
        ]

    def crop(self, picture: Picture, face: Face | types.Observation) -> NDArray[np.uint8]:
        """Cut a face out of a picture, as the model was trained to see it.

        ``face`` is one of :meth:`faces`, or one of :attr:`Report.observations`, which is in pixels of a frame that
        was scaled down to ``max_side``. Raises ``ValueError`` for a face outside of the picture.
        """
        if isinstance(face, Mapping):
            bbox, landmarks = face["bbox"], cast("Mapping[str, types.Point]", face["landmarks"])
            points = [landmarks[name] for name in _LANDMARKS]
            plain = (
                [bbox["x1"], bbox["y1"], bbox["x2"], bbox["y2"]],
                [(point["x"], point["y"]) for point in points],
                face["detection_probability"],
            )
        else:
            plain = (list(face.bbox), list(face.landmarks), face.probability)
        return self._engine.crop(_pixels(picture), plain)

    def score(self, crops: Iterable[Picture], *, batch: int = 16) -> NDArray[np.float64]:
        """Return the probability, from 0 to 1, that each crop shows a manipulated face.

        The crops are those of :meth:`crop`. ``batch`` of them go through the network at once; a crop scores the
        same in any batch but for the last digits.
        """
        return self._engine.score([_pixels(crop) for crop in crops], batch)

    def __repr__(self) -> str:
        model, threads, trusted = self._arguments
        given = [
            f"{model!r}" if model is not None else "",
            f"threads={threads}" if threads is not None else "",
            "trusted=True" if trusted else "",
        ]
        return f"Detector({', '.join(filter(None, given))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_detector, self._arguments)


def _detector(model: str | None, threads: int | None, trusted: bool) -> Detector:
    return Detector(model, threads=threads, trusted=trusted)


_DEFAULTS: dict[str, Any] = {
    "min_face": 40.0,
    "min_detection_probability": 0.9,
    "max_faces_per_frame": 4,
    "max_side": 1920,
    "stream": None,
    "evidence": False,
    "sha256": True,
}


def _settings(frames: int, options: Mapping[str, Any]) -> dict[str, Any]:
    for option in options:
        if option not in _DEFAULTS:
            raise TypeError(f"scan has no option `{option}`; it has frames, {', '.join(_DEFAULTS)}")
    return {**_DEFAULTS, **options, "frames": frames}


def _listener(progress: Callable[[Progress], object]) -> Callable[[int, int | None, int], object]:
    def listen(done: int, total: int | None, faces: int) -> None:
        progress(Progress(done, total, faces))

    return listen


_shipped: Detector | None = None
_shipped_lock = threading.Lock()


def _default() -> Detector:
    """Return the detector of the functions of the module, which is loaded at the first call."""
    global _shipped
    if _shipped is None:
        with _shipped_lock:
            if _shipped is None:
                _shipped = Detector()
    return _shipped


def scan(
    input: Input,  # noqa: A002
    frames: int = 12,
    *,
    progress: Callable[[Progress], object] | None = None,
    name: str | None = None,
    fps: float | None = None,
    **options: Unpack[Options],
) -> Report:
    """Scan a video or a picture with the model that ships.

    ``input`` is

    - the path of a file,
    - the contents of a file: ``bytes``, or a file that is open for reading with mode ``"rb"``,
    - a picture: an array of shape (height, width, 3) of ``uint8``, RGB, or a Pillow image. OpenCV's arrays are BGR:
      pass ``picture[..., ::-1]``,
    - frames that were decoded already: a list of :class:`Frame`, or an array of shape (frames, height, width, 3), of
      which ``fps`` is the rate.

    ``frames`` of a video are sampled, spread evenly over it. ``name`` is what the report calls an input that has no
    path.

    ``progress`` is called with a :class:`Progress` before the first frame and after each; what it raises ends the
    scan and is raised. Ctrl-C ends the scan at the next frame. Other Python threads run during a scan.

    The other options are those of ``deeptell scan``: ``min_face`` (40 pixels), ``min_detection_probability`` (0.9),
    ``max_faces_per_frame`` (4), ``max_side`` (1920 pixels), ``stream`` (the one that players show), ``evidence``
    (also make pictures for the page; False), ``sha256`` (of the file; True).

    Raises :class:`InputError` for a file that cannot be read or decoded, :class:`OptionError` for an option out of
    its range, ``TypeError`` and ``ValueError`` for arrays of another type or shape.
    """
    return _default().scan(input, frames, progress=progress, name=name, fps=fps, **options)


def scan_many(
    paths: Iterable[Path],
    *,
    workers: int = 2,
    progress: Callable[[int, int | None], object] | None = None,
    frames: int = 12,
    **options: Unpack[Options],
) -> Iterator[ScanResult]:
    """Scan many files with the model that ships, ``workers`` at a time, and yield each result as it comes.

    A file that cannot be scanned yields its error, and the others are scanned all the same. ``progress`` is called
    with the number of files done and, where it is known, the number of all, before each result. Nothing is scanned
    before the first result is asked for, and nothing more once the iterator is closed. ``paths`` may be endless.
    """
    return _default().scan_many(paths, workers=workers, progress=progress, frames=frames, **options)


def faces(
    picture: Picture, *, min_face: float = 40.0, min_detection_probability: float = 0.9
) -> list[Face]:
    """Find the faces of a picture, the largest first.

    Faces smaller than ``min_face`` pixels are not looked for, and those that the face detector is less sure of than
    ``min_detection_probability`` are left out.
    """
    return _default().faces(
        picture, min_face=min_face, min_detection_probability=min_detection_probability
    )


def frames(
    path: Path,
    n: int = 12,
    *,
    max_side: int | None = None,
    stream: int | None = None,
    trusted: bool = False,
) -> list[Frame]:
    """Decode ``n`` frames of a video, spread evenly over it, fewer if it has fewer.

    Frames whose longer side is over ``max_side`` pixels are scaled down to it. The arrays are not copied from
    anywhere. Raises :class:`InputError` for a file that cannot be decoded.
    """
    return [Frame(*frame) for frame in _deeptell.frames(os.fspath(path), n, max_side, stream, trusted)]
