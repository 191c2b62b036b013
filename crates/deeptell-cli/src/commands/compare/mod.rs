mod runs;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use deeptell_metrics::{AucComparison, compare_auc};
use serde::{Deserialize, Serialize};

use crate::{Outcome, output};

/// Compare training runs side by side, or two models by their scores of the same crops.
///
/// Of run folders, prints the settings that differ, the figures on validation with their intervals,
/// the minutes, and, where the validation crops are the same, whether the AUC-ROC really differs
/// from that of the first run. Of two tables that `eval --scores` wrote, says which model has the
/// larger AUC-ROC and how sure that is, as one JSON document. The test is DeLong's, for samples that
/// come in sources.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell compare runs/*                                # settings that differ, figures, minutes
  deeptell eval --manifest split.jsonl --scores old.csv
  deeptell eval --manifest split.jsonl --scores new.csv --model runs/first/detector.safetensors
  deeptell compare old.csv new.csv | jq '.difference, .ci95, .p_value'")]
pub(crate) struct Args {
    /// Run folders that `train` left; or two tables of scores, of the same crops in any order.
    #[arg(required = true, value_name = "RUN|SCORES")]
    inputs: Vec<PathBuf>,
    /// Write the JSON document here; `-` is standard output, where that of scores goes by itself.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A line of a table of scores; further columns are passed over.
#[derive(Debug, Deserialize)]
struct Row {
    path: String,
    label: String,
    source: String,
    probability: f64,
}

#[derive(Serialize)]
struct Document<'a> {
    first: &'a Path,
    second: &'a Path,
    crops: usize,
    #[serde(flatten)]
    comparison: AucComparison,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(folder) = args.inputs.iter().find(|input| input.is_dir()) {
        if let Some(file) = args.inputs.iter().find(|input| !input.is_dir()) {
            anyhow::bail!(
                "{} is a folder and {} is none: pass run folders, or two tables of scores",
                folder.display(),
                file.display()
            );
        }
        return runs::run(&args.inputs, args.json.as_deref());
    }
    let [first, second] = &args.inputs[..] else {
        anyhow::bail!("pass run folders, or exactly two tables of scores");
    };
    let document = Document::of(first, second)?;
    output::write_json(&document, args.json.as_deref().unwrap_or("-".as_ref()))?;
    Ok(Outcome::Done)
}

impl<'a> Document<'a> {
    /// The comparison of two tables of scores.
    fn of(first_path: &'a Path, second_path: &'a Path) -> anyhow::Result<Self> {
        let (first, second) = (read(first_path)?, read(second_path)?);
        let mut other: HashMap<&str, &Row> = second.iter().map(|row| (row.path.as_str(), row)).collect();
        let mut scores = Vec::with_capacity(first.len());
        for row in &first {
            let twin = other.remove(row.path.as_str()).with_context(|| {
                format!(
                    "{} has no score of {}: score the same crops with both models",
                    second_path.display(),
                    row.path
                )
            })?;
            if twin.label != row.label {
                anyhow::bail!("{} is {} in one table and {} in the other", row.path, row.label, twin.label);
            }
            scores.push(twin.probability);
        }
        if let Some(path) = other.keys().min() {
            anyhow::bail!(
                "{} has no score of {path}: score the same crops with both models",
                first_path.display()
            );
        }
        let of_first: Vec<f64> = first.iter().map(|row| row.probability).collect();
        let labels: Vec<bool> = first.iter().map(|row| row.label == "fake").collect();
        let sources: Vec<&str> = first.iter().map(|row| row.source.as_str()).collect();
        Ok(Self {
            first: first_path,
            second: second_path,
            crops: first.len(),
            comparison: compare_auc(&of_first, &scores, &labels, &sources)?,
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let table = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: Vec<Row> = table
        .into_deserialize()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is no table that `deeptell eval --scores` writes", path.display()))?;
    if let Some(row) = rows.iter().find(|row| !matches!(row.label.as_str(), "real" | "fake")) {
        anyhow::bail!(
            "{}: the label of {} is {}; it must be real or fake",
            path.display(),
            row.path,
            row.label
        );
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(row) = rows.iter().find(|row| !seen.insert(row.path.as_str())) {
        anyhow::bail!("{} has two scores of {}", path.display(), row.path);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_meet_by_path_and_misfits_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("path,label,source,video,probability\n{rows}")).unwrap();
            path
        };
        let first = write("a.csv", "1,fake,s,,0.9\n2,fake,t,,0.3\n3,real,u,,0.5\n4,real,v,,0.1\n");
        let second = write("b.csv", "4,real,v,,0.2\n3,real,u,,0.1\n2,fake,t,,0.8\n1,fake,s,,0.7\n");
        let json = folder.path().join("out.json");
        run(&Args { inputs: vec![first.clone(), second.clone()], json: Some(json.clone()) }).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!((document["auc"][0].as_f64(), document["auc"][1].as_f64()), (Some(0.75), Some(1.0)));
        assert_eq!(document["crops"], 4);

        let refused = |rows: &str| {
            let other = write("c.csv", rows);
            let args = Args { inputs: vec![first.clone(), other], json: Some(json.clone()) };
            format!("{:#}", run(&args).unwrap_err())
        };
        assert!(refused("1,fake,s,,0.9\n").contains("no score of 2"));
        assert!(refused("1,real,s,,0.9\n2,fake,t,,0.3\n").contains("1 is fake in one table"));
        assert!(refused("1,maybe,s,,0.9\n").contains("must be real or fake"));
        assert!(refused("1,fake,s,,0.9\n1,fake,s,,0.9\n").contains("two scores of 1"));
        assert!(refused("1,fake,s,,x\n").contains("no table that"));
        let more = std::fs::read_to_string(&second).unwrap().split_once('\n').unwrap().1.to_owned()
            + "5,real,v,,0.2\n";
        assert!(refused(&more).contains("no score of 5"));
        let args = |inputs| Args { inputs, json: None };
        let alone = run(&args(vec![first.clone()])).unwrap_err();
        assert!(alone.to_string().contains("exactly two tables"));
        let mixed = run(&args(vec![folder.path().to_owned(), first])).unwrap_err();
        assert!(mixed.to_string().contains("pass run folders, or two tables"));
    }
}
