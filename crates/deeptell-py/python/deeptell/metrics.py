"""Figures of binary detectors, with intervals.

Labels come first and scores after them, as in scikit-learn: a label is 1 or ``True`` for a fake, and a higher score
means more likely fake. Each figure is an :class:`Estimate`: the value and its bootstrap interval, for which whole
groups are drawn. Pass as ``groups`` what makes samples alike, such as the video or the source of each; without it,
each sample is its own. The same data and seed give the same interval on every machine.

>>> from deeptell import metrics
>>> metrics.auc([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1]).value
0.875

Raises ``ValueError`` for labels other than 0 and 1, scores that are not finite, columns of unequal lengths, and one
class where two are needed; :class:`deeptell.OptionError` for a setting out of its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from . import _deeptell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Groups = Union[Sequence[Any], NDArray[Any], None]
    _Columns = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]

__all__ = [
    "Comparison",
    "Estimate",
    "auc",
    "average_precision",
    "bootstrap",
    "brier",
    "delong",
    "ece",
    "eer",
    "log_loss",
    "tpr_at_fpr",
]


class Estimate(NamedTuple):
    """A figure and its interval."""

    value: float
    """The figure."""
    low: float | None
    """Lower end of its interval; ``None`` where there is one group alone."""
    high: float | None
    """Upper end of its interval."""
    redrawn: int = 0
    """How many draws lacked a class and were drawn again; where they are many, the interval should not be trusted."""
    threshold: float | None = None
    """Of the equal error rate: the score at which the two rates of error are closest."""

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Comparison(NamedTuple):
    """The areas under the ROC curves of two detectors on the same samples."""

    first: float
    """The area of the first."""
    second: float
    """The area of the second."""
    difference: float
    """The second less the first."""
    low: float
    """Lower end of the 95% interval of the difference."""
    high: float
    """Upper end of it."""
    standard_error: float
    """Standard error of the difference."""
    p_value: float
    """Probability of a difference at least this far from zero, to either side, if there were none."""


def _column(values: ArrayLike, what: str) -> NDArray[Any]:
    import numpy

    column = numpy.asarray(values)
    if column.ndim != 1:
        raise ValueError(f"{what} must be one column, found an array of shape {column.shape}")
    return column


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    import numpy

    return numpy.ascontiguousarray(_column(values, "scores"), dtype=numpy.float64)


def _columns(y: ArrayLike, s: ArrayLike, groups: Groups) -> _Columns:
    import numpy

    labels = _column(y, "labels")
    if labels.dtype != numpy.bool_:
        if labels.dtype.kind not in "iuf" or not numpy.isin(labels, (0, 1)).all():
            raise ValueError("labels must be 0 or 1, or False or True; 1 is a fake")
        labels = labels.astype(numpy.bool_)
    if groups is None:
        numbers = numpy.arange(len(labels), dtype=numpy.int64)
    else:
        known: dict[Any, int] = {}
        values = groups.tolist() if isinstance(groups, numpy.ndarray) else list(groups)
        numbers = numpy.array([known.setdefault(group, len(known)) for group in values], dtype=numpy.int64)
    return numpy.ascontiguousarray(labels), _scores(s), numbers


def _figure(
    name: str,
    y: ArrayLike,
    s: ArrayLike,
    groups: Groups,
    draws: tuple[int, float, int],
    setting: float = 0.0,
) -> Estimate:
    value, interval, threshold = _deeptell.figure(name, *_columns(y, s, groups), setting, draws)
    low, high, redrawn = interval or (None, None, 0)
    return Estimate(value, low, high, redrawn, threshold)


def auc(
    y: ArrayLike,
    s: ArrayLike,
    groups: Groups = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the area under the ROC curve: the probability that a fake scores higher than a real one."""
    return _figure("auc", y, s, groups, (resamples, confidence, seed))


def average_precision(
    y: ArrayLike,
    s: ArrayLike,
    groups: Groups = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the average precision, without interpolation."""
    return _figure("average_precision", y, s, groups, (resamples, confidence, seed))


def eer(
    y: ArrayLike,
    s: ArrayLike,
    groups: Groups = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the equal error rate, at which as many reals are flagged as fakes are missed, and its threshold."""
    return _figure("eer", y, s, groups, (resamples, confidence, seed))


def tpr_at_fpr(
    y: ArrayLike,
    s: ArrayLike,
    groups: Groups = None,
    *,
    fpr: float,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the highest part of the fakes that is flagged where at most a part ``fpr`` of the reals is."""
    return _figure("tpr_at_fpr", y, s, groups, (resamples, confidence, seed), fpr)


def ece(
    y: ArrayLike,
    p: ArrayLike,
    groups: Groups = None,
    *,
    bins: int = 15,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the expected calibration error of probabilities, over ``bins`` bins of equal width.

    It is biased upwards, and so is its interval: the fewer samples, the more.
    """
    if isinstance(bins, bool) or bins != int(bins) or not 1 <= bins <= 1 << 20:
        raise _deeptell.OptionError(f"the option `bins` is {bins}, but must be a whole number from 1")
    return _figure("ece", y, p, groups, (resamples, confidence, seed), float(bins))


def brier(
    y: ArrayLike,
    p: ArrayLike,
    groups: Groups = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the Brier score: the mean squared distance of the probabilities from the labels."""
    return _figure("brier", y, p, groups, (resamples, confidence, seed))


def log_loss(
    y: ArrayLike,
    p: ArrayLike,
    groups: Groups = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the mean negative log likelihood of the labels, in nats."""
    return _figure("log_loss", y, p, groups, (resamples, confidence, seed))


def bootstrap(
    metric: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    y: ArrayLike,
    s: ArrayLike,
    groups: Groups = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the value of any metric and its interval.

    ``metric`` is called with labels and scores, and returns a finite number. It gets the rows of a resample sorted by
    falling score; what it raises is raised.
    """
    labels, scores, numbers = _columns(y, s, groups)
    value = float(metric(labels, scores))
    if len(set(numbers.tolist())) < 2:
        return Estimate(value, None, None)
    return Estimate(
        value, *_deeptell.interval(metric, labels, scores, numbers, (resamples, confidence, seed))
    )


def delong(y: ArrayLike, first: ArrayLike, second: ArrayLike, groups: Groups = None) -> Comparison:
    """Compare the areas under the ROC curves of two detectors that scored the same samples.

    The test of DeLong et al. (1988); with ``groups`` in the form of Obuchowski (1997), which knows that the samples
    of a group are alike. It rests on the normal distribution, and so on some dozens of groups of each class.
    """
    labels, scores, numbers = _columns(y, first, groups)
    auc, difference, error, (low, high), p_value = _deeptell.compare_auc(
        labels, scores, _scores(second), numbers
    )
    return Comparison(auc[0], auc[1], difference, low, high, error, p_value)
