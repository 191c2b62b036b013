//! The checks that every metric makes first.

use crate::MetricsError;

/// How many samples there are of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClassCounts {
    pub(crate) n_real: usize,
    pub(crate) n_fake: usize,
}

/// Accepts one finite score and one label per sample, and at least one sample.
pub(crate) fn check_scores(scores: &[f64], labels: &[bool]) -> Result<ClassCounts, MetricsError> {
    check_column(scores, "labels", labels.len())?;
    if scores.is_empty() {
        return Err(MetricsError::Empty);
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(MetricsError::NotFinite { index, value: scores[index] });
    }
    let n_fake = labels.iter().filter(|&&is_fake| is_fake).count();
    Ok(ClassCounts { n_real: labels.len() - n_fake, n_fake })
}

/// As [`check_scores`], and both classes must be there.
pub(crate) fn check_both_classes(scores: &[f64], labels: &[bool]) -> Result<ClassCounts, MetricsError> {
    let counts = check_scores(scores, labels)?;
    let ClassCounts { n_real, n_fake } = counts;
    if n_real == 0 || n_fake == 0 {
        return Err(MetricsError::OneClass { n_real, n_fake });
    }
    Ok(counts)
}

/// As [`check_scores`], and every score must lie in `[0, 1]`.
pub(crate) fn check_probabilities(scores: &[f64], labels: &[bool]) -> Result<ClassCounts, MetricsError> {
    let counts = check_scores(scores, labels)?;
    if let Some(index) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
        return Err(MetricsError::NotAProbability { index, value: scores[index] });
    }
    Ok(counts)
}

/// Accepts a column that has one value per score.
pub(crate) fn check_column(scores: &[f64], column: &'static str, actual: usize) -> Result<(), MetricsError> {
    if actual == scores.len() {
        Ok(())
    } else {
        Err(MetricsError::LengthMismatch { scores: scores.len(), column, actual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_classes_are_counted() {
        let counts = check_both_classes(&[0.1, 0.2, 0.3], &[true, false, true]).unwrap();
        assert_eq!(counts, ClassCounts { n_real: 1, n_fake: 2 });
    }

    #[test]
    fn invalid_scores_and_labels_are_named() {
        assert_eq!(check_scores(&[], &[]), Err(MetricsError::Empty));
        assert_eq!(
            check_scores(&[0.5], &[true, false]),
            Err(MetricsError::LengthMismatch { scores: 1, column: "labels", actual: 2 })
        );
        assert!(matches!(
            check_scores(&[0.5, f64::NAN], &[true, false]),
            Err(MetricsError::NotFinite { index: 1, value }) if value.is_nan()
        ));
        assert_eq!(
            check_scores(&[f64::NEG_INFINITY], &[true]),
            Err(MetricsError::NotFinite { index: 0, value: f64::NEG_INFINITY })
        );
        assert_eq!(
            check_both_classes(&[0.1, 0.2], &[true, true]),
            Err(MetricsError::OneClass { n_real: 0, n_fake: 2 })
        );
        assert_eq!(
            check_probabilities(&[0.0, 1.0, 1.5], &[true, false, true]),
            Err(MetricsError::NotAProbability { index: 2, value: 1.5 })
        );
    }
}
