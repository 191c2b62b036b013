use clap::ValueEnum;
use deeptell::View;

/// Number of views of a crop that a score averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Views {
    /// The crop itself.
    #[value(name = "1")]
    One,
    /// The crop and its mirror image.
    #[value(name = "2")]
    Two,
    /// The crop and two enlargements of its center, each with its mirror image.
    #[value(name = "6")]
    Six,
}

impl Views {
    pub(crate) fn list(self) -> Vec<View> {
        match self {
            Self::One => vec![View::WHOLE],
            Self::Two => View::two(),
            Self::Six => View::six(),
        }
    }
}
