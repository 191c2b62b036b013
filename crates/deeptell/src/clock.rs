//! Times in words.

use crate::TimeRange;

/// At most this many ranges are named one by one.
const MOST_RANGES: usize = 6;

/// `0:07.3`, or `1:02:07.3` from an hour on.
pub(crate) fn clock(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let tenths = (seconds.abs() * 10.0).round() as u64;
    let (hours, minutes, rest) = (tenths / 36_000, tenths / 600 % 60, (tenths % 600) as f64 / 10.0);
    if hours > 0 {
        format!("{sign}{hours}:{minutes:02}:{rest:04.1}")
    } else {
        format!("{sign}{minutes}:{rest:04.1}")
    }
}

/// `from 0:00.0 to 0:05.2 and at 0:09.0`.
pub(crate) fn ranges(ranges: &[TimeRange]) -> String {
    let named = if ranges.len() > MOST_RANGES { MOST_RANGES - 1 } else { ranges.len() };
    let mut parts: Vec<String> = ranges[..named].iter().map(range).collect();
    if named < ranges.len() {
        parts.push(format!("{} times more", ranges.len() - named));
    }
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn range(range: &TimeRange) -> String {
    let (from, to) = (clock(range.first_pts_seconds), clock(range.last_pts_seconds));
    if from == to { format!("at {from}") } else { format!("from {from} to {to}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_minutes_and_hours() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(3727.3), "1:02:07.3");
        assert_eq!(clock(-1.25), "-0:01.3");
    }

    #[test]
    fn time_ranges_are_listed_and_shortened() {
        let range =
            |first_pts_seconds: f64, last_pts_seconds: f64| TimeRange { first_pts_seconds, last_pts_seconds };
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[range(0.0, 5.2)]), "from 0:00.0 to 0:05.2");
        assert_eq!(ranges(&[range(0.0, 5.2), range(9.0, 9.0)]), "from 0:00.0 to 0:05.2 and at 0:09.0");
        let many: Vec<TimeRange> = (0..8).map(|i| range(f64::from(i), f64::from(i))).collect();
        assert_eq!(ranges(&many), "at 0:00.0, at 0:01.0, at 0:02.0, at 0:03.0, at 0:04.0 and 3 times more");
        assert!(ranges(&many[..6]).ends_with("at 0:04.0 and at 0:05.0"));
    }
}
