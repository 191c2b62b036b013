//! Rows that belong together: the frames of a video, the videos of a source.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use crate::MetricsError;
use crate::input::{check_column, check_scores};

/// Numbers the groups by first appearance, so that nothing depends on the hash function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupIndex {
    /// The number of the group of every row.
    pub(crate) group_of_row: Vec<usize>,
    /// The first row of every group.
    pub(crate) first_rows: Vec<usize>,
}

impl GroupIndex {
    pub(crate) fn new<G: Hash + Eq>(groups: &[G]) -> Self {
        let mut number_of = HashMap::new();
        let mut first_rows = Vec::new();
        let group_of_row = groups
            .iter()
            .enumerate()
            .map(|(row, group)| match number_of.entry(group) {
                Entry::Occupied(number) => *number.get(),
                Entry::Vacant(unseen) => {
                    first_rows.push(row);
                    *unseen.insert(first_rows.len() - 1)
                }
            })
            .collect();
        Self { group_of_row, first_rows }
    }
}

/// One score and one label per group, in the order in which the groups first appear.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GroupMeans {
    /// The mean score of every group.
    pub scores: Vec<f64>,
    /// The label of every group.
    pub labels: Vec<bool>,
    /// The first row of every group in the input: look up its name or its source there.
    pub first_rows: Vec<usize>,
    /// Number of rows of every group, at least 1.
    pub counts: Vec<usize>,
}

/// Averages the scores of each group: from frames to videos.
///
/// ```
/// let frame_scores = [0.75, 0.25, 0.25];
/// let frame_labels = [true, false, true];
/// let videos = ["a.mp4", "b.mp4", "a.mp4"];
/// let per_video = deeptell_metrics::mean_by_group(&frame_scores, &frame_labels, &videos)?;
/// assert_eq!(per_video.scores, [0.5, 0.25]);
/// assert_eq!(per_video.labels, [true, false]);
/// assert_eq!(videos[per_video.first_rows[1]], "b.mp4");
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// A group that holds both labels, unequal lengths, no samples, or a score that is not finite.
pub fn mean_by_group<G: Hash + Eq>(
    scores: &[f64],
    labels: &[bool],
    groups: &[G],
) -> Result<GroupMeans, MetricsError> {
    check_scores(scores, labels)?;
    check_column(scores, "groups", groups.len())?;
    let GroupIndex { group_of_row, first_rows } = GroupIndex::new(groups);

    let mut counts = vec![0_usize; first_rows.len()];
    for (row, &group) in group_of_row.iter().enumerate() {
        let first = first_rows[group];
        if labels[row] != labels[first] {
            return Err(MetricsError::MixedGroup { first, other: row });
        }
        counts[group] += 1;
    }
    let mut means = vec![0.0; first_rows.len()];
    for (&group, score) in group_of_row.iter().zip(scores) {
        // Dividing before adding keeps the sum of huge scores finite.
        means[group] += score / counts[group] as f64;
    }
    let labels = first_rows.iter().map(|&row| labels[row]).collect();
    Ok(GroupMeans { scores: means, labels, first_rows, counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_by_first_appearance() {
        let index = GroupIndex::new(&["b", "a", "b", "c"]);
        assert_eq!(index, GroupIndex { group_of_row: vec![0, 1, 0, 2], first_rows: vec![0, 1, 3] });
    }

    #[test]
    fn group_with_two_labels_is_refused() {
        let error = mean_by_group(&[0.1, 0.2, 0.3], &[true, false, false], &[7, 8, 7]).unwrap_err();
        assert_eq!(error, MetricsError::MixedGroup { first: 0, other: 2 });
    }

    #[test]
    fn row_without_a_group_is_refused() {
        let error = mean_by_group(&[0.1, 0.2], &[true, false], &[7]).unwrap_err();
        assert_eq!(error, MetricsError::LengthMismatch { scores: 2, column: "groups", actual: 1 });
    }
}
