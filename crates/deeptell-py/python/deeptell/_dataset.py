"""Labeled pictures."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, Dict, List, TypedDict, cast

from . import _deeptell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._detector import Path
    from .types import Landmarks, Rect


class _Sample(TypedDict):
    path: str
    label: str
    source: str


class Sample(_Sample, total=False):
    """A row of a manifest; the crate deeptell-data describes the fields."""

    split: str
    video: str
    pts_seconds: float
    bbox: Rect
    landmarks: Landmarks
    detector: str
    method: str
    dataset: str
    identities: List[str]
    extra: Dict[str, Any]


class Dataset:
    """The pictures of a manifest, such as ``deeptell extract`` writes, with their labels.

    ``dataset[i]`` is a pair: an array of shape (height, width, 3) of ``uint8``, RGB, or what ``transform`` makes of
    it, and the label, 1 for a fake and 0 for a real one. That is a map-style data set of PyTorch: pass it to a
    ``DataLoader``. Pictures are read when they are asked for, from files and from tar archives. It works in forked
    processes, and it is pickled as its arguments.

    ``split`` chooses ``"train"``, ``"validation"`` or ``"test"``. Raises :class:`InputError` for a manifest that
    cannot be read, and later for a picture that cannot.
    """

    def __init__(
        self,
        manifest: Path,
        *,
        split: str | None = None,
        transform: Callable[[NDArray[np.uint8]], Any] | None = None,
    ) -> None:
        self.manifest = os.fspath(manifest)
        self.split = split
        self.transform = transform
        self._rows = _deeptell.Manifest(self.manifest, split)

    def __len__(self) -> int:
        return len(self._rows)

    def _index(self, index: int) -> int:
        number = operator.index(index)
        return number + len(self) if -len(self) <= number < 0 else number

    def _checked(self, index: int) -> int:
        number = self._index(index)
        if not 0 <= number < len(self):
            raise IndexError(f"there is no sample {index} among {len(self)}")
        return number

    def __getitem__(self, index: int) -> tuple[Any, int]:
        number = self._checked(index)
        picture = self._rows.picture(number)
        return (picture if self.transform is None else self.transform(picture), self._rows.label(number))

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return (self[index] for index in range(len(self)))

    def sample(self, index: int) -> Sample:
        """Return a row of the manifest; its path is absolute, or relative to the current folder."""
        return cast("Sample", json.loads(self._rows.row(self._checked(index))))

    @property
    def labels(self) -> NDArray[np.uint8]:
        """All labels, in order: 1 for a fake."""
        return self._rows.labels()

    @property
    def sources(self) -> list[str]:
        """The source of each sample, in order: the groups for the intervals of :mod:`deeptell.metrics`."""
        return self._rows.sources()

    @property
    def shards(self) -> list[str]:
        """The tar archives that pictures are in; each is a shard of WebDataset, of members ``KEY.png`` and
        ``KEY.json``."""
        return [os.fspath(shard) for shard in self._rows.shards()]

    def __repr__(self) -> str:
        split = "" if self.split is None else f", split={self.split!r}"
        return f"<Dataset of {self.manifest!r}{split}: {len(self)} samples>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_dataset, (self.manifest, self.split, self.transform))


def _dataset(manifest: str, split: str | None, transform: Any) -> Dataset:
    return Dataset(manifest, split=split, transform=transform)
