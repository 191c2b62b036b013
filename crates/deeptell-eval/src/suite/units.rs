//! What is judged together: crops, the crops of a person, the people of a video.

use std::collections::HashMap;

use deeptell::{Levels, Thresholds, Verdict};

use super::scores::{CropOutcome, CropScore, SetScores};
use crate::person::person_score;

/// Crops that are judged together.
#[derive(Debug, Clone)]
pub(super) struct Unit<'a> {
    /// What it is known by in another table of the same suite.
    pub(super) key: String,
    pub(super) source: &'a str,
    /// How the fake was made, where that is known.
    pub(super) method: Option<&'a str>,
    pub(super) is_fake: bool,
    pub(super) score: f64,
    /// What a scan said; where there was none, the thresholds decide.
    pub(super) verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Crops,
    People,
    Videos,
}

pub(super) fn thresholds(levels: &Levels, kind: Kind) -> Thresholds {
    match kind {
        Kind::Crops => levels.crop.thresholds,
        Kind::People | Kind::Videos => levels.person.thresholds,
    }
}

/// The units of a level, in the order in which they first appear.
pub(super) fn units<'a>(set: &'a SetScores, kind: Kind, levels: &Levels) -> Vec<Unit<'a>> {
    let scored: Vec<(&CropScore, f64)> =
        set.crops.iter().filter_map(|crop| Some((crop, crop.probability(levels)?))).collect();
    if kind == Kind::Crops {
        return scored
            .into_iter()
            .map(|(crop, score)| Unit {
                key: crop.path.display().to_string(),
                source: &crop.source,
                method: crop.method.as_deref(),
                is_fake: crop.label.is_fake(),
                score,
                verdict: None,
            })
            .collect();
    }
    let people = grouped(&scored, |(crop, _)| crop.person_key());
    let people: Vec<(Unit<'a>, String)> = people
        .into_iter()
        .filter_map(|(key, members)| {
            let first = members[0].0;
            let crops: Vec<&CropScore> = members.iter().map(|(crop, _)| *crop).collect();
            let score = person_score(levels, &crops)?;
            let is_fake = first.label.is_fake();
            let method = first.method.as_deref();
            let unit = Unit { key, source: &first.source, method, is_fake, score, verdict: None };
            Some((unit, first.video_key()))
        })
        .collect();
    if kind == Kind::People {
        return people.into_iter().map(|(unit, _)| unit).collect();
    }
    let videos = grouped(&people, |(_, video)| video.clone()).into_iter().map(|(key, members)| Unit {
        key,
        source: members[0].0.source,
        method: members.iter().find_map(|(unit, _)| unit.method),
        is_fake: members.iter().any(|(unit, _)| unit.is_fake),
        score: members.iter().map(|(unit, _)| unit.score).fold(f64::NEG_INFINITY, f64::max),
        verdict: None,
    });
    let scans = set.crops.iter().filter_map(|crop| match crop.outcome {
        CropOutcome::Scanned(found) => Some(Unit {
            key: crop.path.display().to_string(),
            source: &crop.source,
            method: crop.method.as_deref(),
            is_fake: crop.label.is_fake(),
            score: found.score,
            verdict: Some(found.verdict),
        }),
        _ => None,
    });
    videos.chain(scans).collect()
}

/// The genuine units of the sets that another one is measured against.
pub(super) fn genuine_of<'a>(opponents: &[&'a SetScores], kind: Kind, levels: &Levels) -> Vec<Unit<'a>> {
    opponents.iter().flat_map(|set| units(set, kind, levels)).filter(|unit| !unit.is_fake).collect()
}

/// Items by key, in the order in which the keys first appear.
fn grouped<T>(items: &[T], key: impl Fn(&T) -> String) -> Vec<(String, Vec<&T>)> {
    let mut number_of = HashMap::new();
    let mut groups: Vec<(String, Vec<&T>)> = Vec::new();
    for item in items {
        let key = key(item);
        let number = *number_of.entry(key.clone()).or_insert(groups.len());
        if number == groups.len() {
            groups.push((key, Vec::new()));
        }
        groups[number].1.push(item);
    }
    groups
}
