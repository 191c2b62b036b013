//! The figures in brief: AUC-ROC and its companions, for crops, people and videos.

use deeptell::html::Text;
use maud::{Markup, html};

use super::Subject;
use super::parts::{cell, crops_words, ends, table, thousands};
use crate::evaluation::{Evaluation, Level};

pub(super) fn lead(subject: &Subject<'_>, found: &Evaluation) -> Markup {
    let figures = &found.crops.figures;
    let mut listed = figures.figures().into_iter();
    let main = listed.next().map_or("", |main| main.name);
    let tiles = listed.filter_map(|figure| Some((figure.name, figure.value?, figure.ci95)));
    html! {
        section class="card" aria-labelledby="top" {
            h1 id="top" { (Text(subject.scorer.name())) }
            p class="file" {
                "on " bdi { (Text(&subject.data)) }
                @if let Some(split) = subject.split { ", split " (Text(split)) }
            }
            p class="soft" {
                (crops_words(found))
                @if let Some(kind) = &subject.distortion { ", each after " (Text(kind)) }
            }
            div class="lead" {
                p class="auc" {
                    span class="what" { (main) ", single crops" }
                    b { (format!("{:.3}", figures.auc)) }
                    span class="soft" { "95% interval by source: " (ends(figures.auc_ci95)) }
                }
                ul class="tiles" {
                    @for (name, value, ci95) in tiles {
                        li {
                            span { (name) }
                            b { (format!("{value:.3}")) }
                            span class="soft" { (ends(ci95)) }
                        }
                    }
                }
            }
            p class="lede" {
                "Of a fake and a real crop drawn at random, the fake has the higher score "
                (format!("{:.1}", 100.0 * figures.auc))
                " times in a hundred; a coin would have it 50 times."
            }
            @if let Some([short, why]) = subject.caution {
                p class="lede" { strong { (short) } " " (why) }
            }
        }
    }
}

/// The figures of crops, people and videos, one row per level.
pub(super) fn levels(found: &Evaluation) -> Markup {
    let listed = found.crops.figures.figures();
    let mut headings = vec!["Level", "#Real", "#Fake"];
    headings.extend(listed.iter().map(|figure| figure.heading));
    headings.extend(["Fakes called fake", "Reals called fake"]);
    let levels = [
        ("Single crops", Some(&found.crops)),
        ("People in a video", found.people.as_ref()),
        ("Whole videos", found.videos.as_ref()),
    ];
    let rows = html! {
        @for (name, level) in levels {
            @if let Some(Level { figures, answers, .. }) = level {
                tr {
                    th scope="row" { (name) }
                    td class="number" { (thousands(figures.n_real)) }
                    td class="number" { (thousands(figures.n_fake)) }
                    @for figure in figures.figures() {
                        td { @if let Some(value) = figure.value { (cell(value, figure.ci95)) } @else { "none" } }
                    }
                    td { (cell(answers.detection_rate.value, answers.detection_rate.ci95)) }
                    td { (cell(answers.false_alarm_rate.value, answers.false_alarm_rate.ci95)) }
                }
            }
        }
    };
    let how = if found.people.is_some() {
        "A person's score joins those of their crops as a scan does; a video's is the highest of its people."
    } else {
        "A video's score joins those of its crops as a scan does."
    };
    html! {
        @if found.people.is_some() || found.videos.is_some() {
            section class="card levels" {
                h2 { "Crops and videos" }
                (table("Figures of every level", None, &headings, &rows))
                p class="soft" { (how) " Intervals resample whole sources." }
            }
        }
    }
}
