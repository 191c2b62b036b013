//! Figures of binary detectors, and their intervals.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use deeptell_metrics::{
    BootstrapConfig, MetricsError, average_precision, bootstrap_interval, brier_score, equal_error_rate,
    expected_calibration_error, log_loss, roc_auc, tpr_at_fpr,
};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::compute;
use crate::errors::{self, OptionError};
use crate::options::within;

type Column<'py, T> = PyReadonlyArray1<'py, T>;

/// Its ends, and how many draws were thrown away.
type Interval = (f64, f64, usize);

fn values<T: numpy::Element + Clone>(column: &Column<'_, T>) -> PyResult<Vec<T>> {
    Ok(column.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?.to_vec())
}

/// How the resamples are drawn: how many, which part the interval covers, and the seed.
type Draws = (i64, f64, u64);

fn config((resamples, confidence, seed): Draws) -> PyResult<BootstrapConfig> {
    Ok(BootstrapConfig::default()
        .resamples(within("resamples", resamples)?)
        .confidence(confidence)
        .seed(seed))
}

/// The metric of this name; `setting` is the false positive rate or the number of bins of those that have one.
fn value_of(name: &str, scores: &[f64], labels: &[bool], setting: f64) -> Result<f64, MetricsError> {
    match name {
        "auc" => roc_auc(scores, labels),
        "average_precision" => average_precision(scores, labels),
        "eer" => Ok(equal_error_rate(scores, labels)?.rate),
        "tpr_at_fpr" => tpr_at_fpr(scores, labels, setting),
        "ece" => expected_calibration_error(scores, labels, setting as usize),
        "brier" => brier_score(scores, labels),
        _ => log_loss(scores, labels),
    }
}

/// A metric and its interval, which is absent where there is one group alone; of the equal error rate also the
/// threshold.
#[pyfunction]
pub(crate) fn figure(
    py: Python<'_>,
    name: &str,
    labels: Column<'_, bool>,
    scores: Column<'_, f64>,
    groups: Column<'_, i64>,
    setting: f64,
    draws: Draws,
) -> PyResult<(f64, Option<Interval>, Option<f64>)> {
    let known = ["auc", "average_precision", "eer", "tpr_at_fpr", "ece", "brier", "log_loss"];
    if !known.contains(&name) {
        return Err(OptionError::new_err(format!("there is no metric `{name}`")));
    }
    let (labels, scores, groups) = (values(&labels)?, values(&scores)?, values(&groups)?);
    let config = config(draws)?;
    let interrupted = Mutex::new(None);
    let computed = py.detach(|| -> Result<_, MetricsError> {
        let value = value_of(name, &scores, &labels, setting)?;
        let threshold =
            if name == "eer" { Some(equal_error_rate(&scores, &labels)?.threshold) } else { None };
        let metric = |scores: &[f64], labels: &[bool]| {
            if let Err(error) = compute::check_signals() {
                *interrupted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Err(MetricsError::Empty);
            }
            value_of(name, scores, labels, setting)
        };
        let interval = match bootstrap_interval(&scores, &labels, &groups, metric, &config) {
            Ok(interval) => Some((interval.low, interval.high, interval.redrawn)),
            Err(MetricsError::TooFewGroups { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok((value, interval, threshold))
    });
    match interrupted.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => computed.map_err(errors::of_metrics),
    }
}

/// The interval of a metric that Python computes: called with labels and scores of a resample, it returns a number.
#[pyfunction]
pub(crate) fn interval(
    py: Python<'_>,
    metric: Py<PyAny>,
    labels: Column<'_, bool>,
    scores: Column<'_, f64>,
    groups: Column<'_, i64>,
    draws: Draws,
) -> PyResult<Interval> {
    let (labels, scores, groups) = (values(&labels)?, values(&scores)?, values(&groups)?);
    let raised = Cell::new(None);
    let call = |scores: &[f64], labels: &[bool]| -> Result<f64, MetricsError> {
        let arguments = (PyArray1::from_slice(py, labels), PyArray1::from_slice(py, scores));
        let value = metric.call1(py, arguments).and_then(|value| value.extract(py));
        value.map_err(|error| {
            raised.set(Some(error));
            MetricsError::Empty
        })
    };
    let found = bootstrap_interval(&scores, &labels, &groups, call, &config(draws)?);
    match raised.take() {
        Some(error) => Err(error),
        None => found.map(|found| (found.low, found.high, found.redrawn)).map_err(errors::of_metrics),
    }
}

/// Two areas under ROC curves, their difference, its standard error, its 95% interval, and the probability of one at
/// least as large.
type Comparison = ([f64; 2], f64, f64, [f64; 2], f64);

/// Compares two detectors on the same samples.
#[pyfunction]
pub(crate) fn compare_auc(
    py: Python<'_>,
    labels: Column<'_, bool>,
    first: Column<'_, f64>,
    second: Column<'_, f64>,
    groups: Column<'_, i64>,
) -> PyResult<Comparison> {
    let (labels, first, second, groups) =
        (values(&labels)?, values(&first)?, values(&second)?, values(&groups)?);
    let compared = py.detach(|| deeptell_metrics::compare_auc(&first, &second, &labels, &groups));
    let found = compared.map_err(errors::of_metrics)?;
    Ok((found.auc, found.difference, found.standard_error, found.ci95, found.p_value))
}
