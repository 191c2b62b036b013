"""Metrics: values known by hand, intervals, groups, errors."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

import deeptell
from deeptell import metrics

Y = [1, 1, 1, 1, 0, 0, 0, 0]
P = [0.95, 0.8, 0.7, 0.3, 0.75, 0.4, 0.2, 0.05]


def test_values_known_by_hand() -> None:
    assert metrics.auc([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1]).value == 3.5 / 4
    assert metrics.auc(Y, P).value == 13 / 16
    assert metrics.eer([1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1])[0] == 0.5
    assert metrics.eer([1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1]).threshold == 0.6
    assert metrics.tpr_at_fpr([1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], fpr=0.01).value == 2 / 3
    assert metrics.brier([1, 0], [0.8, 0.4]).value == pytest.approx((0.04 + 0.16) / 2)
    assert metrics.log_loss([1, 0], [0.5, 0.5]).value == pytest.approx(np.log(2))
    # One bin: all predicted 0.75, half of them fakes.
    assert metrics.ece([1, 1, 0, 0], [0.75] * 4, bins=10).value == pytest.approx(0.25)
    assert metrics.average_precision([1, 0, 1], [0.9, 0.8, 0.7]).value == pytest.approx((1 + 2 / 3) / 2)


def test_inputs_may_be_of_many_kinds() -> None:
    expected = metrics.auc(Y, P)
    assert metrics.auc(np.array(Y, bool), np.array(P, np.float64)) == expected
    assert metrics.auc(np.array(Y, np.float32), P) == expected
    assert metrics.auc(np.repeat(Y, 2)[::2], np.repeat(P, 2)[::2]) == expected
    assert metrics.auc(Y, P, groups=[f"video {row}" for row in range(8)]) == expected
    assert metrics.auc(Y, P, groups=[("a", row) for row in range(8)]) == expected
    assert float(expected) == expected.value and str(expected).startswith("0.8125 [")


def test_intervals_are_of_groups_and_of_the_seed() -> None:
    generator = np.random.default_rng(0)
    videos = np.arange(600) // 10
    labels = videos % 2
    scores = labels + generator.normal(0, 1.5, 60)[videos] + generator.normal(0, 0.1, 600)
    rows = metrics.auc(labels, scores)
    grouped = metrics.auc(labels, scores, groups=videos)
    assert rows.value == grouped.value
    assert rows.low < rows.value < rows.high
    assert grouped.high - grouped.low > 2 * (rows.high - rows.low), "frames of a video are not independent"
    assert metrics.auc(labels, scores, videos) == grouped
    assert metrics.auc(labels, scores, videos, seed=1) != grouped
    narrow = metrics.auc(labels, scores, videos, confidence=0.5)
    assert grouped.low < narrow.low < narrow.high < grouped.high
    single = metrics.auc(labels, scores, groups=[0] * 600)
    assert (single.value, single.low, single.high) == (grouped.value, None, None)
    assert str(single) == f"{single.value:.4f}"


def test_the_bootstrap_of_a_function_is_that_of_the_metric() -> None:
    def area(labels, scores):
        fakes, reals = scores[labels], scores[~labels]
        pairs = fakes[:, None] - reals[None, :]
        return ((pairs > 0) + 0.5 * (pairs == 0)).mean()

    ours = metrics.auc(Y, P, resamples=300)
    theirs = metrics.bootstrap(area, Y, P, resamples=300)
    assert np.allclose(theirs[:3], ours[:3], rtol=1e-12) and theirs.redrawn == ours.redrawn

    class Broken(Exception):
        pass

    broken = Broken()

    def fails(labels, scores):
        if len(scores) == 8 and not np.array_equal(scores, P):
            raise broken
        return 1.0

    with pytest.raises(Broken) as raised:
        metrics.bootstrap(fails, Y, P)
    assert raised.value is broken
    with pytest.raises(ValueError, match="finite"):
        metrics.bootstrap(lambda labels, scores: float("nan"), Y, P)


def test_delong_compares_two_detectors() -> None:
    labels = [1, 1, 1, 0, 0, 0]
    first, second = [0.9, 0.4, 0.6, 0.5, 0.3, 0.7], [0.9, 0.8, 0.6, 0.5, 0.3, 0.7]
    compared = metrics.delong(labels, first, second)
    assert (compared.first, compared.second) == (6 / 9, 8 / 9)
    assert compared.low < compared.difference < compared.high and 0.05 < compared.p_value < 1
    assert metrics.delong(labels, first, first).p_value == 1
    grouped = metrics.delong(labels, first, second, groups="aabbcc")
    assert grouped.difference == compared.difference and grouped.standard_error != compared.standard_error


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.auc([2, 0], [0.1, 0.2]), "0 or 1"),
        (lambda: metrics.auc(["fake", "real"], [0.1, 0.2]), "0 or 1"),
        (lambda: metrics.auc([1, 0], [0.1]), "1 scores but 2 labels"),
        (lambda: metrics.auc([1, 0], [0.1, 0.2], groups=[1]), "1 groups"),
        (lambda: metrics.auc([1, 1], [0.1, 0.2]), "both classes"),
        (lambda: metrics.auc([1, 0], [0.1, float("nan")]), "finite"),
        (lambda: metrics.auc([], []), "no samples"),
        (lambda: metrics.ece([1, 0], [0.1, 1.2]), "probability"),
        (lambda: metrics.auc([[1, 0]], [[0.1, 0.2]]), "one column"),
    ],
)
def test_what_has_no_figure_is_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_settings_out_of_range_are_refused() -> None:
    for settings in ({"confidence": 1.0}, {"resamples": 0}, {"resamples": -1}):
        with pytest.raises(deeptell.OptionError, match=next(iter(settings))):
            metrics.auc(Y, P, **settings)
    for bins in (0, 2.5, -1):
        with pytest.raises(deeptell.OptionError, match="bins"):
            metrics.ece(Y, P, bins=bins)
    with pytest.raises(deeptell.OptionError, match="fpr|false positive"):
        metrics.tpr_at_fpr(Y, P, fpr=2)


def test_ctrl_c_ends_a_long_bootstrap() -> None:
    rows = np.arange(20_000)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        metrics.auc(rows % 2, rows, resamples=10**6)
