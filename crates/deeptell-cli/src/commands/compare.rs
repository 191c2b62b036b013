use std::fmt::Display;
use std::path::{Path, PathBuf};

use deeptell_eval::{SuiteScores, compare_runs, compare_scores, compare_suites};
use deeptell_files::check_outputs;
use serde::Serialize;

use crate::{Outcome, output};

/// Compare training runs, or two models by their scores on the same samples.
///
/// For run folders: prints the settings that differ, the validation figures with their intervals, the
/// minutes, and, where the validation crops are the same, whether the AUC-ROC differs significantly
/// from that of the first run. For two tables from `eval --scores`: prints one JSON document with the
/// difference in AUC-ROC, its interval and its p-value. For two files from `suite --scores`: prints
/// these for every set. The test is DeLong's, for samples clustered by source.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell compare runs/*
  deeptell eval --manifest split.jsonl --scores old.csv
  deeptell eval --manifest split.jsonl --scores new.csv --model runs/first/detector.safetensors
  deeptell compare old.csv new.csv | jq '.difference, .ci95, .p_value'")]
pub(crate) struct Args {
    /// Run folders of `train`; or two score tables of the same crops, in any order; or two score files
    /// of the same suite.
    #[arg(required = true, value_name = "RUN|SCORES")]
    inputs: Vec<PathBuf>,
    /// Write the result as JSON; `-` is standard output, the default for two score tables.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    check_outputs(&args.json, &args.inputs)?;
    if let Some(folder) = args.inputs.iter().find(|input| input.is_dir()) {
        if let Some(file) = args.inputs.iter().find(|input| !input.is_dir()) {
            anyhow::bail!(
                "cannot compare the folder {} with the file {}: pass run folders only, or two score tables",
                folder.display(),
                file.display()
            );
        }
        return show(&compare_runs(&args.inputs)?, args.json.as_deref());
    }
    let [first, second] = &args.inputs[..] else {
        anyhow::bail!("pass run folders, or exactly two score tables");
    };
    if let [Some(first), Some(second)] = [SuiteScores::read(first)?, SuiteScores::read(second)?] {
        return show(&compare_suites(&first, &second)?, args.json.as_deref());
    }
    let document = compare_scores(first, second)?;
    output::write_json(&document, args.json.as_deref().unwrap_or("-".as_ref()))?;
    Ok(Outcome::Done)
}

/// Writes the result as JSON, or prints its table.
fn show(result: &(impl Serialize + Display), json: Option<&Path>) -> anyhow::Result<Outcome> {
    match json {
        Some(path) => output::write_figures(result, path)?,
        None => output::lines(result)?,
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_score_tables_are_compared_and_mixed_inputs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("path,label,source,video,probability\n{rows}")).unwrap();
            path
        };
        let first = write("a.csv", "1,fake,s,,0.1\n2,real,t,,0.3\n");
        let second = write("b.csv", "1,fake,s,,0.8\n2,real,t,,0.3\n");
        let json = folder.path().join("out.json");
        run(&Args { inputs: vec![first.clone(), second], json: Some(json.clone()) }).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!((document["auc"][0].as_f64(), document["auc"][1].as_f64()), (Some(0.0), Some(1.0)));
        assert_eq!(document["crops"], 2);

        let args = |inputs| Args { inputs, json: None };
        let alone = run(&args(vec![first.clone()])).unwrap_err();
        assert!(alone.to_string().contains("exactly two score tables"));
        let mixed = run(&args(vec![folder.path().to_owned(), first])).unwrap_err();
        assert!(mixed.to_string().contains("pass run folders only, or two score tables"));
    }
}
