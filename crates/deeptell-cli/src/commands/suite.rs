use std::path::{Path, PathBuf};

use anyhow::Context as _;
use deeptell::{Detector, ModelCard, ScanOptions};
use deeptell_eval::{
    Instruments, ScanOutcome, Scanning, Scoring, Suite, SuiteScores, report_suite, score_suite, suite_page,
};
use deeptell_metrics::EvaluationConfig;

use crate::detector::model_file;
use crate::device::{DeviceName, PrecisionName};
use crate::found_faces::with_found_faces;
use crate::isolation::decoding;
use crate::output::say;
use crate::progress::Tasks;
use crate::views::Views;
use crate::{Outcome, output};

/// Measure a model on a suite of data sets and print one table.
///
/// A suite is a TOML file that lists sets of labelled crops. For each set the table has the AUC-ROC of
/// crops, people and videos with intervals by source, what the model calls likely fake and likely real
/// of the genuine and of the manipulated, and how many samples were scored; below stand the means over
/// the sets and the sets that do worst. Ends with exit code 3 when a sample is missing.
///
/// With --scores every score is kept in a file; passed in place of the suite, it gives the table again,
/// and `deeptell compare` tests two of them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell suite suite.toml                                   # the detector that ships
  deeptell suite suite.toml --model runs/first/detector.safetensors --scores first.jsonl
  deeptell suite first.jsonl --html first.html                # the table again, without scoring
  deeptell compare first.jsonl second.jsonl                   # two models over all sets

A suite:
  name = \"my suite\"
  [[set]]
  name = \"swaps\"
  data = \"crops/manifest.jsonl\"        # or a data set folder; relative to the suite
  split = \"test\"                       # absent: all
  methods = [\"FaceSwap\"]               # of the fakes; genuine ones stay
  expect = { real = 120, fake = 118 }
  [[set]]
  name = \"press photographs\"
  data = \"press\"
  role = \"genuine\"                     # or manipulated
  detect = true                        # find the face again in each picture

Further keys: scan = true (scan whole videos), folder, datasets, sample, against, domain,
whole_without_face.")]
pub(crate) struct Args {
    /// A suite in TOML, or scores that --scores wrote.
    #[arg(value_name = "SUITE|SCORES")]
    suite: PathBuf,
    /// Model file [default: the detector that ships with deeptell].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Views of each crop that a score is averaged over [default: as the model has it].
    #[arg(long, value_enum)]
    views: Option<Views>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// What the classifier computes in; finding faces stays in f32.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// Bootstrap resamples.
    #[arg(long, default_value_t = EvaluationConfig::default().resamples)]
    resamples: usize,
    /// Keep every score in this file, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Keep the faces that were found in this file, so that they are found once [default: SUITE with
    /// the extension `faces.jsonl`].
    #[arg(long, value_name = "FILE")]
    faces: Option<PathBuf>,
    /// Write the table as JSON; `-` is standard output, in place of the text.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table as a page for people.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let bytes =
        std::fs::read(&args.suite).with_context(|| format!("cannot read {}", args.suite.display()))?;
    let scores = if SuiteScores::is_saved(&bytes) {
        let mut scores = SuiteScores::from_bytes(&bytes, &args.suite)?;
        if let Some(model) = &args.model {
            judge_by(&mut scores, model)?;
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
        for row in report.to_string().lines() {
            say!("{row}");
        }
    }
    Ok(if report.complete { Outcome::Done } else { Outcome::Incomplete })
}

/// Applies the calibration and thresholds of another model file with the same weights.
fn judge_by(scores: &mut SuiteScores, model: &Path) -> anyhow::Result<()> {
    let file = model_file(Some(model))?;
    scores.model.card = file.card().clone();
    file.sha256().clone_into(&mut scores.model.sha256);
    Ok(())
}

fn score(args: &Args) -> anyhow::Result<Option<SuiteScores>> {
    let suite = Suite::read(&args.suite)?;
    let device = args.device.open()?;
    let mut file = model_file(args.model.as_deref())?;
    if let Some(views) = args.views {
        let card = ModelCard { views: views.list(), ..file.card().clone() };
        file = file.with_card(card)?;
    }
    let model = file.load(&device)?.with_precision(args.precision.on(args.device))?;
    let scanner = Scanner(Detector::new(model.clone(), &device)?.with_decoding(decoding(false)));
    with_found_faces(&args.suite, args.faces.as_deref(), &device, |detector, faces| {
        let instruments = Instruments { model: &model, faces: detector, scanner: &scanner };
        score_suite(&suite, instruments, Scoring::default(), faces, &mut Tasks::default())
    })
}

struct Scanner(Detector);

impl Scanning for Scanner {
    fn scan(&self, path: &Path) -> Result<Option<ScanOutcome>, Box<dyn std::error::Error + Send + Sync>> {
        let report = self.0.scan(path, &ScanOptions::default().sha256(false))?.report;
        let outcome =
            |score| ScanOutcome { verdict: report.verdict, score, people: report.confirmed_people().count() };
        Ok(report.score.map(outcome))
    }
}
