//! Reports for people: one self-contained HTML file per input, and an index over several.
//!
//! Style, drawings and pictures are inside the file; there is no script, and a content security
//! policy forbids the browser to load or run anything. Pages follow the reader's light or dark
//! setting and read well without pictures, on paper and to a screen reader.

mod index;
mod page_names;
mod text;
mod timeline;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::html;
pub use maud::{Markup, PreEscaped};

pub use index::{IndexEntry, index};
pub use page_names::page_names;
pub use text::Text;

use crate::clock::{clock, ranges};
use crate::{
    Evidence, FrameFacts, InputKind, ModelInfo, Observation, Person, Report, Thresholds, Verdict, Warning,
};
use text::{Said, count, size};

/// At most this many pictures of one person, and of frames, are put on a page.
const MOST_PICTURES: usize = 36;

/// The colors of all pages, as CSS variables for light and dark displays, and the classes `tone-real`,
/// `tone-fake`, `tone-unsure` and `tone-none` that choose those of a verdict.
pub const PALETTE: &str = include_str!("palette.css");
/// What the style of all pages begins with: type, headings, cards.
pub const BASE: &str = include_str!("base.css");

/// The report as one HTML file, complete in itself.
///
/// Faces, frames and heat maps are shown if there is `evidence` ([`Scan::evidence`](crate::Scan::evidence)).
pub fn page(report: &Report, evidence: Option<&Evidence>) -> String {
    let none = Evidence::default();
    let evidence = evidence.unwrap_or(&none);
    let body = html! {
        main {
            (banner(report))
            (warnings(&report.warnings))
            (people(report, evidence))
            (frames(report, evidence))
            (table(report))
            div class="two" { (file(report)) (model(&report.model)) }
            (limits(&report.model))
        }
        (footer(&report.deeptell_version))
    };
    document(&format!("{}: {}", report.input.name, verdict_words(report.verdict)), &body)
}

fn document(title: &str, body: &Markup) -> String {
    frame("face manipulation report", title, "", body)
}

/// The frame around every page of deeptell: a whole HTML file of `body` in the style of all pages with `style`, CSS of
/// the program's own, after it. `kind` says beside the name what the page is.
///
/// The browser is forbidden to load or run anything.
pub fn frame(kind: &str, title: &str, style: &str, body: &Markup) -> String {
    const POLICY: &str =
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    const STYLE: &str =
        concat!(include_str!("palette.css"), include_str!("base.css"), include_str!("style.css"));
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (Text(title)) " - deeptell" }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            "\n"
            body {
                header class="top" {
                    span class="mark" { "deep" i { "tell" } }
                    span class="soft" { (Text(kind)) }
                }
                "\n" (body) "\n"
            }
        }
        "\n"
    };
    page.into_string()
}

fn footer(version: &str) -> Markup {
    html! {
        footer {
            "Made by deeptell " (Text(version)) ". A forensic aid, not a judge: a verdict is a reason to look closer, \
             never proof."
        }
    }
}

/// A file name, isolated from the direction of the text around it.
fn name(name: &str) -> Markup {
    html! { bdi { (Text(name)) } }
}

/// The items of a list.
fn list(texts: impl IntoIterator<Item = impl std::fmt::Display>) -> Markup {
    html! {
        @for text in texts {
            li { (Said(text)) }
        }
    }
}

const fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyReal => "Likely real",
        Verdict::Inconclusive => "Inconclusive",
        Verdict::LikelyFake => "Likely fake",
        Verdict::NoFace => "No face found",
    }
}

/// The color of a verdict, as the suffix of a class in the style sheet.
const fn tone_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyReal => "real",
        Verdict::Inconclusive => "unsure",
        Verdict::LikelyFake => "fake",
        Verdict::NoFace => "none",
    }
}

/// The color of a probability.
fn tone(thresholds: Thresholds, probability: f64) -> &'static str {
    if probability >= thresholds.high {
        "fake"
    } else if probability <= thresholds.low {
        "real"
    } else {
        "unsure"
    }
}

/// What a verdict means, and what it does not.
const fn lede(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => {
            "The detector sees the marks of face manipulation that it was trained to see. Take this as a lead to follow: some genuine recordings look like this to it."
        }
        Verdict::LikelyReal => {
            "The detector sees none of the marks of face manipulation that it knows. A forgery of a kind it has never met can look like this too."
        }
        Verdict::Inconclusive => {
            "The evidence supports neither answer. That is a result, not a failure: a longer, larger or less compressed copy may tell more."
        }
        Verdict::NoFace => {
            "The detector judges faces and found none, so it says nothing about this material, neither that it is genuine nor that it is not."
        }
    }
}

/// Shapes that tell the verdicts apart without color.
const fn icon(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => {
            r#"<path d="M32 9 58 54H6z"/><path d="M32 26v13"/><path d="M32 46.5v.5" stroke-width="6"/>"#
        }
        Verdict::LikelyReal => r#"<circle cx="32" cy="32" r="25"/><path d="m20.5 33 8 8 15.5-17"/>"#,
        Verdict::Inconclusive => {
            r#"<circle cx="32" cy="32" r="25"/><path d="M24.5 26a7.5 7.5 0 1 1 10.5 7c-2 1-3 2.5-3 5"/><path d="M32 45.5v.5" stroke-width="6"/>"#
        }
        Verdict::NoFace => {
            r#"<circle cx="32" cy="24" r="11"/><path d="M12 54c3-11 11-15 20-15s17 4 20 15"/><path d="M8 8l48 48"/>"#
        }
    }
}

fn banner(report: &Report) -> Markup {
    let verdict = report.verdict;
    html! {
        section class={ "card banner tone-" (tone_of(verdict)) } aria-labelledby="verdict" {
            div class="head" {
                svg class="icon" viewBox="0 0 64 64" fill="none" stroke="currentColor" stroke-width="4.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
                    (PreEscaped(icon(verdict)))
                }
                div {
                    h1 id="verdict" { (verdict_words(verdict)) }
                    p class="file" { (name(&report.input.name)) }
                }
            }
            p class="lede" { (lede(verdict)) }
            @if let Some(score) = report.score {
                (gauge(score, report.model.card.levels.person.thresholds))
            }
            ul { (list(&report.reasons)) }
        }
    }
}

/// The score on its scale, with the zones of the three verdicts.
fn gauge(score: f64, thresholds: Thresholds) -> Markup {
    let percent = |v: f64| 100.0 * v.clamp(0.0, 1.0);
    let width = |share: f64| format!("width:{:.2}%", percent(share));
    let left = |place: f64| format!("left:{place:.2}%");
    html! {
        div class="gauge" {
            div class="bar" role="img" aria-label=(format!("Score {score:.3} on a scale from 0, real, to 1, fake")) {
                span class="tone-real" style=(width(thresholds.low)) {}
                span class="tone-unsure" style=(width(thresholds.high - thresholds.low)) {}
                span class="tone-fake" style=(width(1.0 - thresholds.high)) {}
                b style=(left(percent(score))) {}
            }
            div class="ends" {
                span { "0 real" }
                // Clear of the words at both ends.
                b style=(left(percent(score).clamp(9.0, 91.0))) { (format!("{score:.2}")) }
                span { "1 fake" }
            }
        }
    }
}

fn warnings(warnings: &[Warning]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            section class="card tone-unsure" {
                h2 { "Worth knowing" }
                ul class="notes" { (list(warnings)) }
            }
        }
    }
}

/// A probability as a figure with a small bar.
fn score_bar(tone: &str, probability: f64) -> Markup {
    html! {
        span class={ "meter tone-" (tone) } {
            i style=(format!("--part:{:.1}%", 100.0 * probability)) aria-hidden="true" {}
            (format!("{probability:.3}"))
        }
    }
}

fn people(report: &Report, evidence: &Evidence) -> Markup {
    let mut people: Vec<&Person> = report.people.iter().collect();
    let first = |p: &Person| Some(p.id) == report.decisive_person;
    people.sort_by(|a, b| {
        first(b).cmp(&first(a)).then(b.judgeable.cmp(&a.judgeable)).then(b.score.total_cmp(&a.score))
    });
    let (people, others): (Vec<&Person>, Vec<&Person>) = people.into_iter().partition(|p| p.is_confirmed);
    let heading = if people.is_empty() {
        "Nobody for certain".to_owned()
    } else {
        count(people.len(), "person", "people")
    };
    let what = if others.len() == 1 { "a person" } else { "people" };
    html! {
        @if !report.people.is_empty() {
            section class="card" {
                h2 { (heading) }
                (heat_switch(evidence))
                @for one in &people { (person(report, evidence, one)) }
                @if !others.is_empty() {
                    details class="others" {
                        summary {
                            (count(others.len(), "possible face", "possible faces")) " not counted as " (what)
                        }
                        @for one in &others { (person(report, evidence, one)) }
                    }
                }
            }
        }
    }
}

/// What shows and hides the heat maps; a style rule does the work, as the page runs no script.
fn heat_switch(evidence: &Evidence) -> Markup {
    html! {
        @if !evidence.heat.is_empty() {
            input type="checkbox" id="heat" class="switch";
            label for="heat" { "Show where the evidence for manipulation lies" }
            p class="soft heat-key" {
                "One scale for all pictures of this page: the redder, the stronger. It tells where the network finds \
                 traces, not what they are; a genuine face can have warm areas, too."
            }
        }
    }
}

fn person(report: &Report, evidence: &Evidence, person: &Person) -> Markup {
    let moving = report.frames.len() > 1;
    let seen = if moving {
        format!(
            "score {score:.2} \u{b7} in {frames} of {all} \u{b7} {when} \u{b7} about {width:.0} px wide",
            score = person.score,
            frames = person.frames,
            all = count(report.frames.len(), "frame", "frames"),
            when = ranges(&person.ranges),
            width = person.median_crop_width,
        )
    } else {
        format!("score {:.2} \u{b7} about {:.0} px wide", person.score, person.median_crop_width)
    };
    let (kind, words) = if person.is_confirmed {
        ("Person", verdict_words(person.verdict))
    } else {
        ("Possible face", "not judged")
    };
    html! {
        div class="person" {
            div class="head" {
                h3 { (kind) " " (person.id + 1) }
                span class={ "pill tone-" (tone_of(person.verdict)) } { (words) }
                span class="soft" { (seen) }
            }
            // The banner has the reasons of the decisive one.
            @if Some(person.id) != report.decisive_person {
                ul class="notes soft" { (list(&person.reasons)) }
            }
            @if moving { (timeline::timeline(report, person)) }
            (faces(report, evidence, person))
        }
    }
}

/// The person's face in every frame.
fn faces(report: &Report, evidence: &Evidence, person: &Person) -> Markup {
    let seen: Vec<(usize, &Observation)> = report.observations_of(person.id).collect();
    let items = html! {
        @for &(number, observation) in thinned(&seen) {
            @if let Some(picture) = evidence.faces.get(number) {
                @let at = clock(observation.pts_seconds);
                @let p = format!("{:.2}", observation.fake_probability);
                @let tone = tone(report.model.card.levels.crop.thresholds, observation.fake_probability);
                li {
                    figure class={ "tone-" (tone) } {
                        div class="face" {
                            img src=(data_url("jpeg", picture)) alt={ "Face at " (at) ", score " (p) } width="144" height="144";
                            @if let Some(map) = evidence.heat.get(number) {
                                img class="heat" src=(data_url("png", map)) alt="" width="28" height="28";
                            }
                        }
                        figcaption { span { (at) } b { (p) } }
                    }
                }
            }
        }
    };
    html! {
        @if !items.0.is_empty() { ul class="strip" { (items) } }
    }
}

/// All of a short list, else [`MOST_PICTURES`] evenly spread over it.
fn thinned<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let kept = all.len().min(MOST_PICTURES);
    (0..kept).map(move |i| &all[i * all.len() / kept])
}

fn data_url(format: &str, bytes: &[u8]) -> String {
    format!("data:image/{format};base64,{}", STANDARD.encode(bytes))
}

/// The frames with the faces marked.
fn frames(report: &Report, evidence: &Evidence) -> Markup {
    let all: Vec<(usize, &FrameFacts)> = report.frames.iter().enumerate().collect();
    let shown: Vec<(usize, &FrameFacts, &Vec<u8>)> = thinned(&all)
        .filter_map(|&(number, facts)| Some((number, facts, evidence.frames.get(number)?)))
        .collect();
    let heading = match (report.frames.len(), report.input.kind) {
        (_, InputKind::Image) => "The picture".to_owned(),
        (n, _) if n > MOST_PICTURES => format!("{MOST_PICTURES} of {n} sampled frames"),
        (n, _) => count(n, "sampled frame", "sampled frames"),
    };
    let thresholds = report.model.card.levels.crop.thresholds;
    html! {
        @if !shown.is_empty() {
            section class="card" {
                h2 { (heading) }
                ul class="frames" {
                    @for (number, facts, picture) in shown {
                        @let at = clock(facts.pts_seconds);
                        @let found = count(facts.faces, "face", "faces");
                        li {
                            figure {
                                svg viewBox={ "0 0 " (facts.width) " " (facts.height) } role="img" aria-label={ "Frame at " (at) ", " (found) } {
                                    image href=(data_url("jpeg", picture)) width=(facts.width) height=(facts.height) {}
                                    @for observation in report.observations.iter().filter(|o| o.frame == number) {
                                        (mark(observation, facts, thresholds))
                                    }
                                }
                                figcaption {
                                    (at)
                                    @if let Some(index) = facts.index { " \u{b7} frame " (index) }
                                    " \u{b7} " (found)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The box of one face with the number of its person, in pixels of the frame.
fn mark(observation: &Observation, facts: &FrameFacts, thresholds: Thresholds) -> Markup {
    let bbox = observation.bbox;
    let unit = facts.width.max(facts.height) as f32 / 24.0;
    let label = format!("{} \u{b7} {:.2}", observation.person + 1, observation.fake_probability);
    let tag_width = (0.62 * label.chars().count() as f32 + 0.5) * unit;
    let tag_left = bbox.x1.min(facts.width as f32 - tag_width).max(0.0);
    let tag_top = if bbox.y1 >= 1.4 * unit { bbox.y1 - 1.4 * unit } else { bbox.y1 };
    let px = |value: f32| format!("{value:.1}");
    let radius = px(0.2 * unit);
    html! {
        g class={ "tone-" (tone(thresholds, observation.fake_probability)) } {
            rect x=(px(bbox.x1)) y=(px(bbox.y1)) width=(px(bbox.width().max(0.0))) height=(px(bbox.height().max(0.0))) rx=(radius) {}
            rect class="tag" x=(px(tag_left)) y=(px(tag_top)) width=(px(tag_width)) height=(px(1.4 * unit)) rx=(radius) {}
            text x=(px(tag_left + 0.4 * unit)) y=(px(tag_top + 1.05 * unit)) font-size=(px(unit)) { (label) }
        }
    }
}

/// Every observation as a row.
fn table(report: &Report) -> Markup {
    const HEADINGS: [&str; 7] =
        ["Time", "Frame", "Person", "Fake probability", "Is a face", "Width, px", "Box, px"];
    let thresholds = report.model.card.levels.crop.thresholds;
    html! {
        @if !report.observations.is_empty() {
            section class="card" {
                details {
                    summary { "Every face in figures" }
                    div class="scroll" tabindex="0" role="region" aria-label="Every face in figures" {
                        table {
                            thead { tr { @for heading in HEADINGS { th scope="col" { (heading) } } } }
                            tbody {
                                @for o in &report.observations {
                                    @let index = report.frames.get(o.frame).and_then(|frame| frame.index);
                                    tr {
                                        th scope="row" { (clock(o.pts_seconds)) }
                                        td {
                                            @match index {
                                                Some(index) => { (index) }
                                                None => { "\u{2013}" }
                                            }
                                        }
                                        td { (o.person + 1) }
                                        td { (score_bar(tone(thresholds, o.fake_probability), o.fake_probability)) }
                                        td { (format!("{:.3}", o.detection_probability)) }
                                        td { (format!("{:.0}", o.crop_width)) }
                                        td {
                                            (format!("{:.0}, {:.0} \u{2013} {:.0}, {:.0}", o.bbox.x1, o.bbox.y1, o.bbox.x2, o.bbox.y2))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A section with a list of facts, terms and values; those without a value are left out.
pub fn facts(heading: &str, facts: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        section class="card" {
            h2 { (heading) }
            dl {
                @for (term, value) in facts {
                    @if let Some(value) = value { dt { (term) } dd { (value) } }
                }
            }
        }
    }
}

fn text(value: &str) -> Markup {
    html! { (Text(value)) }
}

fn code(value: &str) -> Markup {
    html! { code { (Text(value)) } }
}

fn file(report: &Report) -> Markup {
    let input = &report.input;
    let path = input.path.as_ref().filter(|path| **path != input.name);
    let picture = input.width.zip(input.height).map(|(width, height)| format!("{width} \u{d7} {height}"));
    let frame_rate = input.frames_per_second.map(|fps| format!("{fps:.2} a second"));
    let plain = |value: Option<String>| value.as_deref().map(text);
    facts(
        match input.kind {
            InputKind::Video => "The video",
            InputKind::Image => "The picture file",
            InputKind::Frames => "The frames",
        },
        &[
            ("Name", Some(name(&input.name))),
            ("Path", path.map(|path| name(path))),
            ("SHA-256", input.sha256.as_deref().map(code)),
            ("Size", plain(input.bytes.map(size))),
            ("Format", input.container.as_deref().map(text)),
            ("Codec", input.codec.as_deref().map(text)),
            ("Decoded by", input.decoder.as_deref().map(text)),
            ("Picture", plain(picture)),
            ("Length", plain(input.duration_seconds.map(clock))),
            ("Frame rate", plain(frame_rate)),
            ("Frames", plain(input.frame_count.map(|n| n.to_string()))),
            ("Looked at", plain(Some(count(report.frames.len(), "frame", "frames")))),
        ],
    )
}

fn model(model: &ModelInfo) -> Markup {
    let card = &model.card;
    let measures = html! {
        @for (number, measure) in card.measures.iter().enumerate() {
            @if number > 0 { br; }
            (Text(&measure.name)) ": " b { (format!("{:.3}", measure.value)) }
            @if let Some((low, high)) = measure.low.zip(measure.high) { (format!(" ({low:.3} to {high:.3})")) }
        }
    };
    let thresholds = card.levels.person.thresholds;
    facts(
        "The detector",
        &[
            ("Name", Some(text(&card.name))),
            ("What it does", Some(text(&card.summary))),
            ("Trained on", Some(text(&card.trained_on))),
            ("Measured", (!card.measures.is_empty()).then_some(measures)),
            ("Says real", Some(text(&format!("up to {:.3}", thresholds.low)))),
            ("Says fake", Some(text(&format!("from {:.3}", thresholds.high)))),
            ("SHA-256", Some(code(&model.sha256))),
        ],
    )
}

fn limits(model: &ModelInfo) -> Markup {
    html! {
        section class="card" {
            h2 { "What this report cannot say" }
            ul class="notes" {
                li {
                    "This is a forensic aid, not a judge. Nobody should be accused or cleared by it alone: look at the \
                     source, the context and the material itself."
                }
                li {
                    "The score is a probability on material like the detector's own validation data. On other material \
                     it can be wrong with great confidence."
                }
                li { "Only faces are judged: not voices, backgrounds, captions or cuts." }
                (list(&model.card.limits))
            }
        }
    }
}
