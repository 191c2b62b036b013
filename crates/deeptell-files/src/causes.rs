use std::error::Error;

/// An error and its causes on one line, joined by colons. A cause that already ends the text before it, as in some
/// libraries, is not repeated.
///
/// ```
/// use deeptell_files::error_chain;
///
/// let error = std::io::Error::other("no space");
/// assert_eq!(error_chain(&error), "no space");
/// ```
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text = if text.is_empty() { part } else { format!("{text}: {part}") };
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// A text with the rest as its causes.
    #[derive(Debug)]
    struct Said(&'static str, Option<Box<Self>>);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Said {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    fn of(texts: &[&'static str]) -> String {
        let said = texts.iter().rev().fold(None, |cause, text| Some(Box::new(Said(text, cause))));
        error_chain(&*said.unwrap())
    }

    #[test]
    fn each_cause_is_named_once() {
        assert_eq!(of(&["saving", "cannot write x", "disk on fire"]), "saving: cannot write x: disk on fire");
        // A library that prints its cause itself.
        assert_eq!(of(&["cannot write x: disk on fire", "disk on fire"]), "cannot write x: disk on fire");
        // A cause whose words occur earlier in the text is still printed.
        let text = of(&["disk on fire, or so it says, at 5", "disk on fire"]);
        assert_eq!(text, "disk on fire, or so it says, at 5: disk on fire");
    }
}
