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
    /// The split; `None` for all samples.
    pub(crate) fn split(self) -> Option<Split> {
        match self {
            Self::Train => Some(Split::Train),
            Self::Validation => Some(Split::Validation),
            Self::Test => Some(Split::Test),
            Self::All => None,
        }
    }

    /// The value on the command line.
    pub(crate) fn name(self) -> Option<String> {
        self.to_possible_value().map(|value| value.get_name().to_owned())
    }

    /// Whether a sample of this split is used.
    pub(crate) fn takes(self, split: Option<Split>) -> bool {
        self.split().is_none_or(|wanted| split == Some(wanted))
    }
}
