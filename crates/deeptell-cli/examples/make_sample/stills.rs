//! The table of stills that `datasets/fetch_stills.py` writes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// One still portrait.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Still {
    /// Who is in it.
    pub(crate) source: String,
    pub(crate) file: PathBuf,
    /// Package, version and path inside it.
    pub(crate) origin: String,
    pub(crate) licence: String,
    /// Of the picture as it is in the package.
    pub(crate) sha256: String,
}

/// Reads the table of a folder; the files get the folder before their names.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<Still>> {
    let table = folder.join("stills.csv");
    let explain = || format!("{}: fill the folder with datasets/fetch_stills.py", table.display());
    let mut stills = Vec::new();
    for row in csv::Reader::from_path(&table).with_context(explain)?.into_deserialize() {
        let still: Still = row.with_context(explain)?;
        // Its notice asks that the picture not be manipulated, and manipulating is what comes next.
        ensure!(
            !still.licence.contains("not be manipulated"),
            "{}: {}; fetch the stills without it",
            still.file.display(),
            still.licence
        );
        stills.push(Still { file: folder.join(&still.file), ..still });
    }
    Ok(stills)
}

/// The stills of each person together, people in the order of the table.
pub(crate) fn by_person(stills: Vec<Still>) -> Vec<Vec<Still>> {
    let mut people: Vec<Vec<Still>> = Vec::new();
    for still in stills {
        match people.iter_mut().find(|person| person[0].source == still.source) {
            Some(person) => person.push(still),
            None => people.push(vec![still]),
        }
    }
    people
}
