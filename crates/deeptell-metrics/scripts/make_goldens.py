# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1", "scipy==1.17.1"]
# ///
"""Writes tests/data/goldens.json: what scikit-learn answers for seeded inputs.

Run with `uv run scripts/make_goldens.py`, or in a virtual environment:

    python3 -m venv venv
    venv/bin/pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1
    venv/bin/python scripts/make_goldens.py

The output depends on nothing but this file and those versions.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    roc_auc_score,
    roc_curve,
)

OUTPUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "goldens.json"
FALSE_POSITIVE_RATES = [0.0, 0.01, 0.1, 0.5, 1.0]
RIDGE = 1e-3  # As in src/scaling.rs.


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits))


def gaussian(seed, n_real, n_fake, distance, decimals=6):
    """Logits of two overlapping classes, shuffled."""
    rng = np.random.default_rng(seed)
    logits = np.concatenate([rng.normal(-distance / 2, 1, n_real), rng.normal(distance / 2, 1, n_fake)])
    labels = np.repeat([0, 1], [n_real, n_fake])
    order = rng.permutation(n_real + n_fake)
    return np.round(logits[order], decimals), labels[order]


def inputs():
    """(name, scores, labels); scores within [0, 1] are treated as probabilities too."""
    yield "one of each", np.array([0.3, 0.6]), np.array([0, 1])
    yield "one of each, reversed", np.array([0.6, 0.3]), np.array([0, 1])
    yield "one of each, tied", np.array([0.5, 0.5]), np.array([0, 1])
    yield "all tied", np.full(7, 0.25), np.array([0, 1, 1, 0, 0, 1, 0])
    yield "perfect", np.linspace(0, 1, 12), np.repeat([0, 1], 6)
    yield "reversed", np.linspace(0, 1, 12), np.repeat([1, 0], 6)
    yield "zero with both signs", np.array([-0.0, 0.0, 0.0, -0.0, 1.0, -1.0]), np.array([1, 0, 1, 0, 1, 0])
    yield "huge and tiny", np.array([1e300, -1e300, 5e-324, 0.0, 1.0]), np.array([1, 0, 1, 0, 0])
    for seed, n_real, n_fake, distance in [(1, 5, 3, 1.0), (2, 60, 60, 1.5), (3, 150, 90, 0.4)]:
        logits, labels = gaussian(seed, n_real, n_fake, distance)
        yield f"logits {n_real}:{n_fake}", logits, labels
        yield f"probabilities {n_real}:{n_fake}", np.round(sigmoid(logits), 9), labels
    logits, labels = gaussian(4, 100, 100, 1.0)
    yield "heavy ties, 11 values", np.round(sigmoid(logits), 1), labels
    yield "heavy ties, 3 values", np.clip(np.round(logits), -1, 1), labels
    logits, labels = gaussian(5, 195, 5, 2.0)
    yield "imbalanced 195:5", np.round(sigmoid(logits), 9), labels
    logits, labels = gaussian(6, 2, 118, 1.0)
    yield "imbalanced 2:118", np.round(sigmoid(logits), 2), labels
    logits, labels = gaussian(7, 40, 40, 0.0)
    yield "chance, over-confident", np.round(sigmoid(8 * logits), 9), labels
    yield "certain and half wrong", np.array([0.0, 1.0, 1.0, 0.0]), np.array([0, 0, 1, 1])


def expected_calibration_error(probabilities, labels, bins):
    """The gaps are scikit-learn's; the bins' sizes are counted by the same edges."""
    fraction, mean = calibration_curve(labels, probabilities, n_bins=bins, strategy="uniform")
    index = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities)
    counts = np.bincount(index, minlength=bins)
    return float(np.sum(counts[counts > 0] * np.abs(fraction - mean)) / len(labels))


def golden(name, scores, labels):
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    threshold = float(np.median(scores))
    flagged = scores >= threshold
    tn, fp, fn, tp = confusion_matrix(labels, flagged, labels=[0, 1]).ravel()
    out = {
        "name": name,
        "scores": scores.tolist(),
        "labels": labels.astype(bool).tolist(),
        "roc_auc": roc_auc_score(labels, scores),
        "average_precision": average_precision_score(labels, scores),
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "thresholds": thresholds[1:].tolist()},
        # Along the curve fpr - fnr only grows, so its zero is an interpolation.
        "equal_error_rate": float(np.interp(0.0, fpr - (1 - tpr), fpr)),
        "tpr_at_fpr": [[f, float(tpr[fpr <= f].max())] for f in FALSE_POSITIVE_RATES],
        "confusion": {
            "threshold": threshold,
            "counts": [int(tp), int(fp), int(tn), int(fn)],
            "balanced_accuracy": balanced_accuracy_score(labels, flagged),
        },
        "probability": None,
    }
    if scores.min() >= 0 and scores.max() <= 1:
        out["probability"] = {
            "brier": brier_score_loss(labels, scores),
            "log_loss": log_loss(labels, scores, labels=[0, 1]),
            "ece": [[bins, expected_calibration_error(scores, labels, bins)] for bins in (1, 10, 15)],
        }
    return out


def calibration(name, logits, labels):
    """Logistic regression on standardized logits, expressed for the logits themselves."""
    mean, deviation = logits.mean(), logits.std()
    options = {"C": 1 / RIDGE, "solver": "newton-cholesky", "tol": 1e-12}
    platt = LogisticRegression(**options).fit(((logits - mean) / deviation)[:, None], labels)
    slope = platt.coef_[0, 0] / deviation
    scale = np.sqrt(np.mean(logits**2))
    temperature = LogisticRegression(fit_intercept=False, **options).fit((logits / scale)[:, None], labels)
    return {
        "name": name,
        "logits": logits.tolist(),
        "labels": labels.astype(bool).tolist(),
        "slope": float(slope),
        "intercept": float(platt.intercept_[0] - slope * mean),
        "temperature": float(scale / temperature.coef_[0, 0]),
    }


def main():
    calibrations = [
        calibration("fair", *gaussian(11, 80, 80, 1.5)),
        calibration("imbalanced", *gaussian(12, 140, 20, 1.0)),
        calibration("separable", np.array([-3.0, -1.0, -0.5, 0.25, 1.0, 4.0]), np.array([0, 0, 0, 1, 1, 1])),
    ]
    logits, labels = gaussian(13, 60, 60, 1.5)
    calibrations.append(calibration("over-confident and shifted", np.round(20 * logits + 7, 6), labels))
    goldens = {
        "rankings": [golden(*case) for case in inputs()],
        "calibrations": calibrations,
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(goldens, allow_nan=False, separators=(",", ":")) + "\n")
    print(f"{OUTPUT}: {len(goldens['rankings'])} rankings, {len(calibrations)} calibrations")


if __name__ == "__main__":
    main()
