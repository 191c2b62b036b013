use clap::ValueEnum;
use deeptell_data::Split;

/// Which samples of a manifest a command uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhichSplit {
    Train,
    Validation,
    Test,
    /// All samples, also those without a split.
    All,
}

impl WhichSplit {
    pub(crate) fn takes(self, split: Option<Split>) -> bool {
        match self {
            Self::Train => split == Some(Split::Train),
            Self::Validation => split == Some(Split::Validation),
            Self::Test => split == Some(Split::Test),
            Self::All => true,
        }
    }
}
