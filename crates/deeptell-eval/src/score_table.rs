//! Scores that another detector gave.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deeptell::Thresholds;
use deeptell_data::{Label, Sample, open_table, parse_number};
use deeptell_files::{error_chain, sha256_of_file};
use deeptell_metrics::sigmoid;
use serde::Deserialize;

use crate::suite::{CropOutcome, CropScore, ScanOutcome, SetScores, Suite, SuiteScores, verdict};
use crate::{EvalError, Scorer, TableInfo};

/// Names that an error lists; more are counted.
const NAMED: usize = 5;
/// What the column `why` says of a file in which the other detector found no face.
const NO_FACE: &str = "no face";

/// A CSV table of scores that another detector gave.
///
/// Columns, in any order; others are ignored:
///
/// | column | meaning |
/// |---|---|
/// | `path` | the file: its path as the data set lists it, or relative to the data set's folder |
/// | `probability` | that it is a fake, in `0..=1`; or |
/// | `logit` | any number, of which the sigmoid is the probability. Where a row has both, the probability counts |
/// | `why` | optional: why a row has no number. `no face` counts as an answer, everything else as missing |
/// | `label` | optional: `real` or `fake`, compared with the data |
/// | `set` | optional: the set of a suite that the row belongs to, if paths are the same in several |
///
/// ```
/// use deeptell_data::{Label, Sample};
/// use deeptell_eval::{ScoreTable, TableInfo, evaluate};
/// use deeptell_metrics::EvaluationConfig;
///
/// # let folder = tempfile::tempdir()?;
/// let table = folder.path().join("other-detector.csv");
/// std::fs::write(&table, "path,probability\nreal/a.png,0.2\nfake/b.png,0.9\n")?;
/// let mut table = ScoreTable::read(&table, TableInfo::HALF)?;
///
/// let samples = [Sample::new("x/real/a.png", Label::Real, "a"), Sample::new("x/fake/b.png", Label::Fake, "b")];
/// let samples: Vec<&Sample> = samples.iter().collect();
/// let crops = table.crops(&samples, "x".as_ref(), None)?;
/// table.check_complete(&crops)?;
/// let found = evaluate(&samples, &crops, &table.info().levels(), &EvaluationConfig::default())?;
/// assert_eq!(found.crops.figures.auc, 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScoreTable {
    path: PathBuf,
    info: TableInfo,
    rows: Vec<Row>,
    /// Numbers of the rows by set, where they name one, and path.
    number_of: HashMap<(Option<String>, String), usize>,
}

#[derive(Debug, Clone)]
struct Row {
    path: String,
    label: Option<Label>,
    /// The probability, or why there is none.
    score: Result<f64, String>,
    /// Whether a sample was found that it belongs to.
    used: bool,
}

#[derive(Deserialize)]
struct Cells {
    path: String,
    probability: Option<String>,
    logit: Option<String>,
    why: Option<String>,
    label: Option<String>,
    set: Option<String>,
}

impl ScoreTable {
    /// Reads a table, in the dialects of CSV that [`open_table`] knows. Its detector says real up to the lower
    /// threshold, and fake from the upper one on.
    ///
    /// # Errors
    /// [`EvalError::Data`] when the file cannot be read, [`EvalError::OtherTable`] when a column is missing, and
    /// [`EvalError::ScoreRow`] for two rows of one file, an unknown label, or a probability beyond `0..=1`.
    pub fn read(path: &Path, thresholds: Thresholds) -> Result<Self, EvalError> {
        let fault = |source| EvalError::OtherTable { path: path.to_owned(), source };
        let mut table = open_table(path)?;
        let columns = table.headers().map_err(fault)?;
        if !columns.iter().any(|column| matches!(column, "probability" | "logit")) {
            let reason = "it has neither a column `probability` nor a column `logit`".to_owned();
            return Err(EvalError::ScoreRow { path: path.to_owned(), reason });
        }
        let (mut rows, mut number_of) = (Vec::new(), HashMap::new());
        for cells in table.into_deserialize::<Cells>() {
            let cells = cells.map_err(fault)?;
            let refused = |reason: String| EvalError::ScoreRow {
                path: path.to_owned(),
                reason: format!("{}: {reason}", cells.path),
            };
            let label = cells.label.as_deref().map(str::parse).transpose().map_err(refused)?;
            let score = score(&cells).map_err(refused)?;
            if number_of.insert((cells.set.clone(), cells.path.clone()), rows.len()).is_some() {
                return Err(refused("there are two scores of it".to_owned()));
            }
            rows.push(Row { path: cells.path, label, score, used: false });
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = sha256_of_file(path).map_err(EvalError::file(path))?;
        let info = TableInfo { name, sha256, thresholds };
        Ok(Self { path: path.to_owned(), info, rows, number_of })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the table says of its detector.
    pub fn info(&self) -> &TableInfo {
        &self.info
    }

    /// The outcome of each sample of a data set: a manifest or a folder. In a suite, `set` is the name of the set.
    ///
    /// # Errors
    /// [`EvalError::OtherLabel`] where a label is not that of the data.
    pub fn crops(
        &mut self,
        samples: &[&Sample],
        data: &Path,
        set: Option<&str>,
    ) -> Result<Vec<CropScore>, EvalError> {
        let root = if data.is_file() { data.parent().unwrap_or(Path::new("")) } else { data };
        samples
            .iter()
            .map(|sample| {
                let outcome = match self.row_of(sample, root, set) {
                    None => CropOutcome::Missing { why: "the table has no score of it".to_owned() },
                    Some(row) => {
                        row.used = true;
                        let said = row.label.filter(|label| *label != sample.label);
                        let score = row.score.clone();
                        if let Some(said) = said {
                            return Err(EvalError::OtherLabel {
                                table: self.path.clone(),
                                file: sample.path.clone(),
                                said,
                                label: sample.label,
                            });
                        }
                        match score {
                            Ok(probability) => CropOutcome::Given { probability },
                            Err(why) if why.eq_ignore_ascii_case(NO_FACE) => CropOutcome::NoFace,
                            Err(why) => CropOutcome::Missing { why },
                        }
                    }
                };
                Ok(CropScore { outcome, ..CropScore::unscored(sample) })
            })
            .collect()
    }

    fn row_of(&mut self, sample: &Sample, root: &Path, set: Option<&str>) -> Option<&mut Row> {
        let below = sample.path.strip_prefix(root).ok();
        let paths = [Some(sample.path.as_path()), below].into_iter().flatten();
        let mut keys = paths.flat_map(|path| {
            let path = path.display().to_string();
            let sets = [set.map(|set| Some(set.to_owned())), Some(None)].into_iter().flatten();
            sets.map(move |set| (set, path.clone()))
        });
        let number = keys.find_map(|key| self.number_of.get(&key)).copied()?;
        self.rows.get_mut(number)
    }

    /// Paths of the rows that belong to none of the samples that were asked for so far.
    pub fn unknown(&self) -> Vec<&str> {
        self.rows.iter().filter(|row| !row.used).map(|row| row.path.as_str()).collect()
    }

    /// How many rows are [unknown](Self::unknown) and which, as a sentence without an end; `None` when there are none.
    pub fn unknown_note(&self) -> Option<String> {
        let unknown = self.unknown();
        let (count, table) = (unknown.len(), self.path.display());
        (count > 0).then(|| {
            format!("{count} scores in {table} belong to no set of the suite: {}", some_of(&unknown))
        })
    }

    /// Checks that every sample has a score, and every row a sample.
    ///
    /// # Errors
    /// [`EvalError::Unscored`] and [`EvalError::UnknownRows`], which name the first of them.
    pub fn check_complete(&self, crops: &[CropScore]) -> Result<(), EvalError> {
        let unscored = crops.iter().filter(|crop| !matches!(crop.outcome, CropOutcome::Given { .. }));
        let unscored: Vec<String> = unscored.map(|crop| crop.path.display().to_string()).collect();
        if !unscored.is_empty() {
            return Err(EvalError::Unscored {
                table: self.path.clone(),
                count: unscored.len(),
                of: crops.len(),
                names: some_of(&unscored),
            });
        }
        let unknown = self.unknown();
        if !unknown.is_empty() {
            return Err(EvalError::UnknownRows {
                table: self.path.clone(),
                count: unknown.len(),
                names: some_of(&unknown),
            });
        }
        Ok(())
    }

    /// The scores of a suite. What the table does not have is missing in the coverage; rows that belong to no set are
    /// those of [`unknown`](Self::unknown).
    ///
    /// # Errors
    /// As [`crops`](Self::crops).
    pub fn suite(&mut self, suite: &Suite) -> Result<SuiteScores, EvalError> {
        let mut sets = Vec::with_capacity(suite.sets.len());
        for set in &suite.sets {
            let listing = set.readable_samples();
            let (samples, fault) = listing.unwrap_or_else(|error| (Vec::new(), Some(error_chain(&error))));
            let samples: Vec<&Sample> = samples.iter().collect();
            let mut crops = self.crops(&samples, &set.data, Some(&set.name))?;
            if set.scan {
                for crop in &mut crops {
                    if let CropOutcome::Given { probability: score } = crop.outcome {
                        let verdict = verdict(self.info.thresholds, score);
                        crop.outcome = CropOutcome::Scanned(ScanOutcome::new(verdict, score));
                    }
                }
            }
            sets.push(SetScores { fault, crops });
        }
        Ok(SuiteScores { suite: suite.clone(), model: Scorer::Table(self.info.clone()), sets })
    }
}

/// The probability of a row, or why it has none; the outer error is a cell that cannot be read.
fn score(cells: &Cells) -> Result<Result<f64, String>, String> {
    let number = |name: &str, cell: &Option<String>| {
        let number = cell.as_deref().map(|cell| {
            let number = parse_number(cell).filter(|number| number.is_finite());
            number.ok_or_else(|| format!("`{cell}` is not a number, and should be in the column `why`"))
        });
        number.transpose().map_err(|reason| format!("{name}: {reason}"))
    };
    if let Some(probability) = number("probability", &cells.probability)? {
        if !(0.0..=1.0).contains(&probability) {
            return Err(format!(
                "its probability is {probability}, beyond 0 to 1; a score of another range is a `logit`"
            ));
        }
        return Ok(Ok(probability));
    }
    match number("logit", &cells.logit)? {
        Some(logit) => Ok(Ok(sigmoid(logit))),
        None => Ok(Err(cells.why.clone().unwrap_or_else(|| "the table has no number for it".to_owned()))),
    }
}

/// The first names, and how many more there are.
pub fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(NAMED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text = format!("{text} and {} more", names.len() - NAMED);
    }
    text
}

#[cfg(test)]
mod tests {
    use deeptell_metrics::EvaluationConfig;

    use super::*;
    use crate::{evaluate, report_suite};

    fn table(text: &str) -> (tempfile::TempDir, Result<ScoreTable, EvalError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.csv");
        std::fs::write(&path, text).unwrap();
        let read = ScoreTable::read(&path, TableInfo::HALF);
        (folder, read)
    }

    fn read(text: &str) -> ScoreTable {
        table(text).1.unwrap()
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::new("d/r/1.png", Label::Real, "a").video(Some("v".into())),
            Sample::new("d/r/2.png", Label::Real, "a").video(Some("v".into())),
            Sample::new("d/f/3.png", Label::Fake, "b").method(Some("swap".into())),
        ]
    }

    #[test]
    fn paths_are_found_whole_or_below_the_folder() {
        let samples = samples();
        let samples: Vec<&Sample> = samples.iter().collect();
        let mut table =
            read("more;path;probability;logit\nx;r/1.png;0,2;\nx;d/r/2.png;;-1,0\nx;f/3.png;0.9;5\n");
        let crops = table.crops(&samples, "d".as_ref(), None).unwrap();
        let levels = table.info().levels();
        let scores: Vec<f64> = crops.iter().filter_map(|crop| crop.probability(&levels)).collect();
        assert_eq!(scores, [0.2, sigmoid(-1.0), 0.9]);
        table.check_complete(&crops).unwrap();
        assert_eq!((table.info().name.as_str(), table.info().sha256.len()), ("other", 64));

        // The person of the video has the mean of both, and all groups are there.
        let config = EvaluationConfig::default().resamples(20);
        let found = evaluate(&samples, &crops, &levels, &config).unwrap();
        assert_eq!((found.crops.figures.auc, found.videos.unwrap().figures.n_real), (1.0, 1));
        assert_eq!(found.crops.answers.counts.fake.likely_fake, 1);
    }

    #[test]
    fn missing_and_unknown_rows_are_named() {
        let samples = samples();
        let samples: Vec<&Sample> = samples.iter().collect();
        let mut table = read("path,probability,why\nr/1.png,,No face\nr/2.png,,torn\nx.png,0.5,\n");
        let crops = table.crops(&samples, "d".as_ref(), None).unwrap();
        assert_eq!(crops[0].outcome, CropOutcome::NoFace);
        assert_eq!(crops[1].outcome, CropOutcome::Missing { why: "torn".into() });
        assert_eq!(table.unknown(), ["x.png"]);
        let error = table.check_complete(&crops).unwrap_err();
        let EvalError::Unscored { count, of, names, .. } = &error else { panic!("{error}") };
        assert_eq!((*count, *of, names.as_str()), (3, 3, "d/r/1.png, d/r/2.png, d/f/3.png"));
        let error = table.check_complete(&[]).unwrap_err().to_string();
        assert!(error.contains("scores of 1 files that the data does not list: x.png"), "{error}");
        assert_eq!(some_of(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }

    #[test]
    fn invalid_tables_are_refused() {
        let refused = |text: &str| table(text).1.unwrap_err().to_string();
        assert!(refused("path,probability\na,1.5\n").contains("a: its probability is 1.5, beyond 0 to 1"));
        assert!(refused("path,probability\na,much\n").contains("`much` is not a number"));
        assert!(refused("path,logit\na,inf\n").contains("`inf` is not a number"));
        assert!(refused("path,probability\na,0.5\na,0.6\n").contains("a: there are two scores of it"));
        assert!(refused("path,probability,label\na,0.5,1\n").contains("label `1` must be"));
        assert!(refused("path,score\na,0.5\n").contains("neither a column `probability`"));
        assert!(refused("file,probability\na,0.5\n").contains("the columns `path` and `probability`"));
        assert!(refused("").contains("neither a column"));

        let samples = samples();
        let mut swapped = read("path,probability,label\nr/1.png,0.5,Fake\n");
        let error = swapped.crops(&[&samples[0]], "d".as_ref(), None).unwrap_err();
        assert!(
            matches!(error, EvalError::OtherLabel { said: Label::Fake, label: Label::Real, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_suite_is_scored_set_by_set() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one/real/a.png", "one/fake/b.png", "two/real/a.png", "two/fake/b.png"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let text = "name = \"s\"\n[[set]]\nname = \"one\"\ndata = \"one\"\nscan = true\n\
                    [[set]]\nname = \"two\"\ndata = \"two\"\n";
        let suite = Suite::parse(text, folder.path()).unwrap();
        let mut table = read(
            "set,path,probability,why\none,real/a.png,0.1,\none,fake/b.png,0.8,\ntwo,real/a.png,0.7,\n\
             two,fake/b.png,,no face\nthree,real/a.png,0.1,\n",
        );
        let scores = table.suite(&suite).unwrap();
        assert_eq!(table.unknown(), ["real/a.png"]);
        let saved = SuiteScores::from_bytes(&scores.to_bytes().unwrap(), "s".as_ref()).unwrap();
        let report = report_suite(&saved, 20).unwrap();
        let [one, two] = &report.sets[..] else { panic!("{report:?}") };
        let shares = one.videos.as_ref().unwrap();
        assert_eq!(shares.auc, Some(1.0));
        assert_eq!(shares.genuine.unwrap().likely_real.count, 1);
        assert_eq!((two.coverage.scored, two.coverage.no_face, two.coverage.missing), (1, 1, 0));
        assert!(two.videos.is_none() && two.crops.genuine.unwrap().likely_fake.count == 1);
        assert_eq!((report.model.as_str(), report.views, report.complete), ("other", None, true));
        let text = report.to_string();
        assert!(text.starts_with("other on the suite s (") && !text.contains("view"), "{text}");
    }
}
