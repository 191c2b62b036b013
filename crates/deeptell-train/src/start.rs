//! The name of the initial weights of a run, in its folder, so that a run that was killed before its first epoch ended
//! starts the same way again.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{TrainError, checkpoint};

const FILE: &str = "start.json";

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct Beginning {
    init: String,
}

/// What [`note_init`] wrote into the folder of a run; `None` if it wrote nothing.
///
/// # Errors
/// [`TrainError::Io`] if the file cannot be read, [`TrainError::Resume`] if it is damaged.
pub fn noted_init(run: &Path) -> Result<Option<String>, TrainError> {
    let path = run.join(FILE);
    let text = match deeptell_files::read_text_bounded(&path, 1 << 20) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(TrainError::io(&path))?,
    };
    let noted = serde_json::from_str::<Beginning>(&text).map_err(|error| TrainError::Resume {
        path: run.to_owned(),
        reason: format!("{FILE} is damaged ({error}); name the initial weights again"),
    })?;
    Ok(Some(noted.init))
}

/// Writes the name of the initial weights, in the caller's words, into the folder of a run.
///
/// # Errors
/// [`TrainError::Io`] if the file cannot be written.
pub fn note_init(run: &Path, init: &str) -> Result<(), TrainError> {
    checkpoint::write_whole(&run.join(FILE), &format!("{:#}\n", serde_json::json!({ "init": init })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_are_noted_and_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted_init(folder.path()).unwrap(), None);
        note_init(folder.path(), "weights \"a\".pth").unwrap();
        assert_eq!(noted_init(folder.path()).unwrap().unwrap(), "weights \"a\".pth");
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let error = noted_init(folder.path()).unwrap_err().to_string();
        assert!(error.contains("start.json is damaged"), "{error}");
    }
}
