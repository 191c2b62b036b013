use std::path::{Path, PathBuf};

use crate::is_same_file;

/// An output is one of the inputs, and would be written over it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is an input, which would be overwritten: choose another name for the output", output.display())]
#[non_exhaustive]
pub struct OverwritesInput {
    /// The output, as it was given.
    pub output: PathBuf,
}

/// Refuses to write over a file that is read.
///
/// ```
/// use deeptell_files::check_outputs;
///
/// let folder = tempfile::tempdir()?;
/// let (table, figures) = (folder.path().join("scores.csv"), folder.path().join("figures.json"));
/// std::fs::write(&table, "")?;
/// assert!(check_outputs([&figures], [&table]).is_ok());
/// assert!(check_outputs([&figures, &table], [&table]).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If one of the `outputs` exists and is one of the `inputs`, by whatever name or link.
pub fn check_outputs<O: AsRef<Path>, I: AsRef<Path>>(
    outputs: impl IntoIterator<Item = O>,
    inputs: impl IntoIterator<Item = I>,
) -> Result<(), OverwritesInput> {
    let mut outputs = outputs.into_iter().filter(|output| output.as_ref().exists()).peekable();
    if outputs.peek().is_none() {
        return Ok(());
    }
    let inputs: Vec<I> = inputs.into_iter().collect();
    match outputs.find(|output| inputs.iter().any(|input| is_same_file(output.as_ref(), input.as_ref()))) {
        Some(output) => Err(OverwritesInput { output: output.as_ref().to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_input_is_recognized_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in.csv"), "").unwrap();
        fs::write(at("other.csv"), "").unwrap();
        fs::hard_link(at("in.csv"), at("link.json")).unwrap();
        for output in ["in.csv", "./in.csv", "link.json"] {
            let error = check_outputs([at("new.json"), at(output)], [at("other.csv"), at("in.csv")]);
            let error = error.unwrap_err();
            assert_eq!(error.output, at(output));
            assert!(error.to_string().ends_with("choose another name for the output"), "{error}");
        }
        let none: [&Path; 0] = [];
        check_outputs([at("new.json"), at("other.csv")], [at("in.csv"), at("missing.csv")]).unwrap();
        check_outputs(none, [at("in.csv")]).unwrap();
        check_outputs([at("in.csv")], none).unwrap();
    }
}
