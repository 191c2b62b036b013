//! Agreement with linfa's own metrics, which count in `f32`.

use deeptell_metrics::{confusion, log_loss, roc_auc};
use linfa::dataset::Pr;
use linfa::prelude::{BinaryClassification, ToConfusionMatrix};
use ndarray::Array1;
use proptest::prelude::*;

/// Probabilities that `f32` holds exactly, few enough for ties, above 0 since linfa's curve begins there.
fn probabilities_and_labels() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    prop::collection::vec((1_u32..64, any::<bool>()), 2..80)
        .prop_map(|rows| rows.into_iter().map(|(k, is_fake)| (f64::from(k) / 64.0, is_fake)).unzip())
        .prop_filter("both classes", |(_, labels): &(Vec<f64>, Vec<bool>)| {
            labels.contains(&true) && labels.contains(&false)
        })
}

fn as_linfa(probabilities: &[f64]) -> Vec<Pr> {
    probabilities.iter().map(|&p| Pr::try_from(p as f32).unwrap()).collect()
}

proptest! {
    #[test]
    fn auc_matches_linfa((probabilities, labels) in probabilities_and_labels()) {
        let theirs = as_linfa(&probabilities);
        let theirs = theirs.as_slice().roc(&labels[..]).unwrap().area_under_curve();
        let ours = roc_auc(&probabilities, &labels).unwrap();
        prop_assert!((ours - f64::from(theirs)).abs() < 1e-5, "{ours} and not {theirs}");
    }

    #[test]
    fn log_loss_matches_linfa((probabilities, labels) in probabilities_and_labels()) {
        let theirs = as_linfa(&probabilities);
        let theirs = theirs.as_slice().log_loss(&labels[..]).unwrap();
        let ours = log_loss(&probabilities, &labels).unwrap();
        prop_assert!((ours - f64::from(theirs)).abs() < 1e-5, "{ours} and not {theirs}");
    }

    /// The symmetric figures only: linfa 0.8 exchanges precision and recall.
    #[test]
    fn confusion_matches_linfa(
        (probabilities, labels) in probabilities_and_labels(),
        threshold in 0.0..1.0,
    ) {
        let flagged: Array1<bool> = probabilities.iter().map(|&p| p >= threshold).collect();
        let theirs = flagged.confusion_matrix(Array1::from(labels.clone())).unwrap();
        let ours = confusion(&probabilities, &labels, threshold).unwrap();
        prop_assert!((ours.accuracy().unwrap() - f64::from(theirs.accuracy())).abs() < 1e-6);
        if ours.true_positives > 0 {
            let (precision, recall) = (ours.precision().unwrap(), ours.true_positive_rate().unwrap());
            let f1 = 2.0 * precision * recall / (precision + recall);
            prop_assert!((f1 - f64::from(theirs.f1_score())).abs() < 1e-5);
        }
    }
}
