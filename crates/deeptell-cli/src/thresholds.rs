use deeptell::Thresholds;
use deeptell_data::parse_number;

/// Reads `LOW:HIGH`, for example `0.3:0.7`.
pub(crate) fn thresholds(text: &str) -> Result<Thresholds, String> {
    let ends = text.split_once(':').and_then(|(low, high)| Some((parse_number(low)?, parse_number(high)?)));
    match ends {
        Some((low, high)) if 0.0 <= low && low < high && high <= 1.0 => Ok(Thresholds { low, high }),
        _ => Err("expected two numbers from 0 to 1, the lower one first, such as 0.3:0.7".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_two_numbers_in_order() {
        assert_eq!(thresholds("0.3:0.7"), Ok(Thresholds { low: 0.3, high: 0.7 }));
        for text in ["0.7:0.3", "0.5:0.5", "0.5", "-0.1:1", "0:1.1", "nan:1", "0:nan", "a:b"] {
            assert!(thresholds(text).is_err(), "{text}");
        }
    }
}
