//! Inputs that failed: why, which are tried again, and how many may.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use deeptell_data::DataError;
use deeptell_video::VideoError;
use serde::{Deserialize, Serialize};

use crate::ExtractError;

/// A row of `failures.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The file.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub path: PathBuf,
    /// The path below the data set.
    pub file: String,
    /// The kind of the error; earlier versions did not write it.
    #[serde(default)]
    pub reason: FailureReason,
    /// Why it failed.
    pub error: String,
    /// Size of the file when it failed; unknown for a member of a shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Why an input failed, by what could help.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureReason {
    /// No frame shows a face that is large and probable enough.
    NoFace,
    /// The file cannot be opened or read: it is gone, or its disk fails.
    Unreadable,
    /// The file is not a video or picture of an allowed format.
    Unsupported,
    /// The file exceeds a limit of size, memory or time.
    Limit,
    /// The file is damaged, or crashes the decoder.
    Damaged,
    /// The decoder was killed twice, perhaps because memory ran out.
    Killed,
    /// The output folder cannot be written.
    Output,
    /// Anything else, or a reason that a later version wrote.
    #[default]
    #[serde(other)]
    Other,
}

impl FailureReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::NoFace,
        Self::Unreadable,
        Self::Unsupported,
        Self::Limit,
        Self::Damaged,
        Self::Killed,
        Self::Output,
        Self::Other,
    ];

    /// Its name in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFace => "no-face",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Damaged => "damaged",
            Self::Killed => "killed",
            Self::Output => "output",
            Self::Other => "other",
        }
    }

    /// The reason of an error of one input, whose crops go to the folder `out`.
    pub(crate) fn of(error: &ExtractError, out: &Path) -> Self {
        match error {
            ExtractError::NoFace { .. } | ExtractError::TooSmall | ExtractError::Crop(_) => Self::NoFace,
            ExtractError::Io { .. } => Self::Output,
            ExtractError::Data(DataError::Io { path, .. }) if path.starts_with(out) => Self::Output,
            ExtractError::Data(DataError::Io { .. } | DataError::NoShard { .. })
            | ExtractError::Video(VideoError::Io { .. }) => Self::Unreadable,
            ExtractError::Video(VideoError::DecoderKilled { .. }) => Self::Killed,
            ExtractError::VideoInPlace
            | ExtractError::Video(
                VideoError::Unsupported { .. }
                | VideoError::NotAFile { .. }
                | VideoError::NoSuchStream { .. }
                | VideoError::NoVideo { .. },
            ) => Self::Unsupported,
            ExtractError::Video(
                VideoError::TooLarge { .. }
                | VideoError::PacketTooLarge { .. }
                | VideoError::Timeout { .. }
                | VideoError::OutOfMemory { .. },
            ) => Self::Limit,
            ExtractError::Data(_)
            | ExtractError::Video(
                VideoError::Picture { .. }
                | VideoError::Corrupt { .. }
                | VideoError::Truncated { .. }
                | VideoError::NoFrames { .. }
                | VideoError::DecoderDied { .. },
            ) => Self::Damaged,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FailureReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|reason| reason.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|reason| reason.name()).collect();
            format!("`{text}` is not a reason: expected all, none, or some of {}", names.join(","))
        })
    }
}

/// Which of the inputs that failed in an earlier run are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redo(BTreeSet<FailureReason>);

impl Redo {
    /// Those that failed for one of these reasons.
    pub fn only(reasons: impl IntoIterator<Item = FailureReason>) -> Self {
        Self(reasons.into_iter().collect())
    }

    /// Whether inputs that failed for this reason are tried again.
    pub fn includes(&self, reason: FailureReason) -> bool {
        self.0.contains(&reason)
    }
}

/// All of them.
impl Default for Redo {
    fn default() -> Self {
        Self::only(FailureReason::ALL)
    }
}

impl FromStr for Redo {
    type Err = String;

    /// Reads `all`, `none`, or reasons separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::default()),
            "none" => Ok(Self::only([])),
            some => Ok(Self(some.split(',').map(FailureReason::from_str).collect::<Result<_, _>>()?)),
        }
    }
}

/// The share of inputs that may fail while the whole still counts as done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AllowedFailures(f64);

impl AllowedFailures {
    /// At most `share` of all inputs, 0 to 1; `None` for other numbers.
    pub fn share(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Whether `failed` of `inputs` are few enough.
    pub fn covers(self, failed: usize, inputs: usize) -> bool {
        failed as f64 <= self.0 * inputs as f64
    }
}

impl FromStr for AllowedFailures {
    type Err = String;

    /// Reads a share such as `0.05` or `5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
            None => text.parse(),
        };
        let share = share.ok().and_then(Self::share);
        share.ok_or_else(|| "expected a share from 0 to 1, or from 0% to 100%".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn reasons_have_one_name_everywhere() {
        for reason in FailureReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
            assert_eq!(reason.name().parse(), Ok(reason));
        }
        assert_eq!(
            serde_json::from_str::<FailureReason>("\"of-later-years\"").unwrap(),
            FailureReason::Other
        );
        let before: Failure = serde_json::from_str(r#"{"path":"/s/a","file":"a","error":"e"}"#).unwrap();
        assert_eq!((before.reason, before.bytes), (FailureReason::Other, None));
    }

    #[test]
    fn a_full_disk_is_not_the_fault_of_the_input() {
        let io = || io::Error::from(io::ErrorKind::StorageFull);
        let of = |error| FailureReason::of(&error, Path::new("/out"));
        let data = |path: &str| ExtractError::Data(DataError::Io { path: path.into(), source: io() });
        assert_eq!(of(data("/out/done/a.jsonl")), FailureReason::Output);
        assert_eq!(of(data("/set/a.png")), FailureReason::Unreadable);
        assert_eq!(of(ExtractError::Io { path: "/out/a".into(), source: io() }), FailureReason::Output);
        assert_eq!(of(ExtractError::NoFace { frames: 3 }), FailureReason::NoFace);
        let damaged = VideoError::NoFrames { path: "/set/a.mp4".into(), packets: 3 };
        assert_eq!(of(damaged.into()), FailureReason::Damaged);
    }

    #[test]
    fn redo_chooses_which_failures_are_tried_again() {
        let redo = |text: &str| text.parse::<Redo>();
        assert_eq!(redo("all"), Ok(Redo::default()));
        assert!(FailureReason::ALL.iter().all(|reason| !redo("none").unwrap().includes(*reason)));
        let some = redo("unreadable,limit").unwrap();
        assert!(some.includes(FailureReason::Limit) && !some.includes(FailureReason::NoFace));
        let said = redo("unreadable,slow").unwrap_err();
        assert!(said.contains("`slow`") && said.contains("no-face,"), "{said}");
        assert!(redo("").is_err() && redo("all,none").is_err());
    }

    #[test]
    fn failures_up_to_the_allowed_share_are_accepted() {
        let share = |text: &str| text.parse::<AllowedFailures>();
        assert_eq!(share("5%"), share("0.05"));
        let five = share("5%").unwrap();
        assert!(five.covers(5, 100) && !five.covers(6, 100) && !five.covers(1, 5) && five.covers(0, 0));
        assert!(share("100%").unwrap().covers(3, 3) && share("1").unwrap().covers(3, 3));
        for wrong in ["", "%", "5", "-1%", "101%", "NaN", "inf"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
