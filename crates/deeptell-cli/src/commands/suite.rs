use std::path::{Path, PathBuf};

use deeptell::Thresholds;
use deeptell_eval::{
    ScoreOptions, ScoreTable, ScoringTools, Suite, SuiteScores, TableInfo, report_suite, score_suite,
    suite_page,
};
use deeptell_files::check_outputs;
use deeptell_metrics::EvaluationConfig;

use crate::detector::{detector, model_file};
use crate::found_faces::with_found_faces;
use crate::model_args::ModelArgs;
use crate::output::note;
use crate::progress::Tasks;
use crate::{Outcome, output};

/// Measure a detector on a suite of data sets and print its tables.
///
/// A suite is a TOML file that lists sets of labeled crops. The table has, for each set, the AUC-ROC of
/// crops, people and videos with intervals by source, the shares of genuine and of manipulated samples
/// called likely fake and likely real, and the number of samples scored; and below, the means over the
/// sets and the worst sets, the figures by generator, separately for generators held out of training,
/// and the coverage: what was expected, scored and missing, and why. Exits with code 3 if a sample
/// is missing.
///
/// --scores saves every score. Given instead of a suite, such a file makes the table again without
/// scoring, and `deeptell compare` tests two of them against each other. --scores-from takes the scores
/// of another detector from a CSV table.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell suite suite.toml                                   # the shipped model
  deeptell suite suite.toml --model runs/first/detector.safetensors --scores first.jsonl
  deeptell suite first.jsonl --html first.html                # the table again, without scoring
  deeptell suite suite.toml --scores-from other.csv --scores other.jsonl   # another detector
  deeptell compare first.jsonl other.jsonl                    # two detectors, on all sets

A suite:
  name = \"my suite\"
  [[set]]
  name = \"swaps\"
  data = \"crops/manifest.jsonl\"        # or a data set folder; relative to the suite
  split = \"test\"                       # default: all samples
  methods = [\"FaceSwap\", \"SimSwap\"]    # only fakes by these; genuine samples are kept
  left_out = [\"SimSwap\"]               # the training had none of these; shown apart
  expect = { real = 120, fake = 118 }
  [[set]]
  name = \"press photographs\"
  data = \"press\"
  role = \"genuine\"                     # or manipulated
  detect = true                        # find the face in each picture

Further keys: scan = true (scan whole videos), folder, datasets, sample, against, domain,
whole_without_face. The documentation of `deeptell_eval::SuiteSet` explains them.")]
pub(crate) struct Args {
    /// Suite in TOML, or a file written by --scores.
    #[arg(value_name = "SUITE|SCORES")]
    suite: PathBuf,
    /// Take the scores of another detector from this CSV table, with the columns `path` and `probability` (or
    /// `logit`); optional are `set`, `label`, and `why`, which says why a row has no number.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "views", "device", "dtype", "faces"])]
    scores_from: Option<PathBuf>,
    /// Thresholds for --scores-from: real up to LOW, fake from HIGH on [default: real below 0.5].
    #[arg(long, value_name = "LOW:HIGH", requires = "scores_from")]
    thresholds: Option<Thresholds>,
    #[command(flatten)]
    model: ModelArgs,
    /// Number of bootstrap resamples for the intervals.
    #[arg(long, default_value_t = EvaluationConfig::default().resamples, value_name = "N")]
    resamples: usize,
    /// Save every score in this file, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Cache the detected faces in this file [default: SUITE with the extension `faces.jsonl`].
    #[arg(long, value_name = "FILE")]
    faces: Option<PathBuf>,
    /// Write the table as JSON; `-` is standard output, instead of the text.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table as an HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let inputs = [Some(&args.suite), args.scores_from.as_ref()];
    let outputs = [&args.scores, &args.json, &args.html].into_iter().flatten();
    check_outputs(outputs, inputs.into_iter().flatten())?;
    let saved = SuiteScores::read(&args.suite)?;
    let scores = if let Some(table) = &args.scores_from {
        if saved.is_some() {
            anyhow::bail!("{} has scores already: pass a suite with --scores-from", args.suite.display());
        }
        from_table(table, args)?
    } else if let Some(mut scores) = saved {
        if let Some(model) = args.model.path()
            && !scores.judge_by(&model_file(Some(model))?)
        {
            anyhow::bail!(
                "these scores are of another detector, so no model can judge them: leave out --model"
            );
        }
        scores
    } else {
        let Some(scores) = score(args)? else { return Ok(Outcome::Interrupted) };
        scores
    };
    if let Some(path) = &args.scores {
        output::write_file(path, &scores.to_bytes()?)?;
    }
    let report = report_suite(&scores, args.resamples)?;
    if let Some(path) = &args.html {
        output::write_file(path, suite_page(&report).as_bytes())?;
    }
    if let Some(path) = &args.json {
        output::write_figures(&report, path)?;
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        output::lines(&report)?;
    }
    Ok(if report.complete { Outcome::Done } else { Outcome::Incomplete })
}

/// The scores that another detector gave.
fn from_table(table: &Path, args: &Args) -> anyhow::Result<SuiteScores> {
    let suite = Suite::read(&args.suite)?;
    let mut read = ScoreTable::read(table, args.thresholds.unwrap_or(TableInfo::HALF))?;
    let scores = read.suite(&suite)?;
    if let Some(unknown) = read.unknown_note() {
        note!("{unknown}");
    }
    Ok(scores)
}

fn score(args: &Args) -> anyhow::Result<Option<SuiteScores>> {
    let suite = Suite::read(&args.suite)?;
    let (model, device) = args.model.load()?;
    let scanner = detector(model.clone(), None, &device, false)?;
    with_found_faces(&args.suite, args.faces.as_deref(), model.card(), &device, |finder, faces| {
        let tools = ScoringTools::new(&model, finder, &scanner);
        score_suite(&suite, tools, ScoreOptions::default(), faces, &mut Tasks::default())
    })
}
