//! Reports for people: one self-contained HTML file an input, and an index over several.
//!
//! Style, drawings and pictures are inside the file; there is no script, and a content security
//! policy forbids the browser to load or run anything. Pages follow the reader's light or dark
//! setting and read well without pictures, on paper and to a screen reader.

mod index;
mod text;
mod timeline;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use index::{IndexEntry, index};
pub use text::Text;

use crate::clock::{clock, ranges};
use crate::{
    Evidence, FrameFacts, InputFacts, InputKind, ModelInfo, Observation, Person, Report, Thresholds, Verdict,
    Warning,
};
use text::{count, size};

/// At most this many pictures of one person, and of frames, are put on a page.
const MOST_PICTURES: usize = 36;

/// The colours of all pages, as CSS variables for light and dark displays, and the classes `tone-real`,
/// `tone-fake`, `tone-unsure` and `tone-none` that choose those of a verdict.
pub const PALETTE: &str = include_str!("palette.css");

/// The report as one HTML file, complete in itself.
///
/// Faces, frames and heat maps are shown if there is `evidence` ([`Scan::evidence`](crate::Scan::evidence)).
pub fn page(report: &Report, evidence: Option<&Evidence>) -> String {
    let none = Evidence::default();
    let evidence = evidence.unwrap_or(&none);
    let body = format!(
        "<main>{banner}{warnings}{people}{frames}{table}<div class=\"two\">{file}{model}</div>{limits}</main>{footer}",
        banner = banner(report),
        warnings = warnings(&report.warnings),
        people = people(report, evidence),
        frames = frames(report, evidence),
        table = table(report),
        file = file(report),
        model = model(&report.model),
        limits = limits(&report.model),
        footer = footer(&report.deeptell_version),
    );
    document(&format!("{}: {}", report.input.name, verdict_words(report.verdict)), &body)
}

fn document(title: &str, body: &str) -> String {
    frame("face manipulation report", title, "", body)
}

/// The frame around every page of deeptell: a whole HTML file of `body`, which is HTML already, in the
/// style of all pages with `style`, CSS, after it. `kind` says beside the name what the page is; it
/// and `title` are escaped here.
///
/// The browser is forbidden to load or run anything.
pub fn frame(kind: &str, title: &str, style: &str, body: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">
<title>{title} - deeptell</title><style>
{house}{style}</style></head>
<body><header class="top"><span class="mark">deep<i>tell</i></span><span class="soft">{kind}</span></header>
{body}
</body></html>
"#,
        title = Text(title),
        kind = Text(kind),
        house = concat!(include_str!("palette.css"), include_str!("style.css")),
    )
}

fn footer(version: &str) -> String {
    format!(
        "<footer>Made by deeptell {version}. A forensic aid, not a judge: a verdict is a reason to look closer, never proof.</footer>",
        version = Text(version),
    )
}

/// A file name, isolated from the direction of the text around it.
fn name(name: &str) -> String {
    format!("<bdi>{}</bdi>", Text(name))
}

/// The items of a list.
fn list(texts: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    texts.into_iter().fold(String::new(), |mut items, text| {
        let _ = write!(items, "<li>{}</li>", Text(&text.to_string()));
        items
    })
}

const fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyReal => "Likely real",
        Verdict::Inconclusive => "Inconclusive",
        Verdict::LikelyFake => "Likely fake",
        Verdict::NoFace => "No face found",
    }
}

/// The colour of a verdict, as the suffix of a class in the style sheet.
const fn tone_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyReal => "real",
        Verdict::Inconclusive => "unsure",
        Verdict::LikelyFake => "fake",
        Verdict::NoFace => "none",
    }
}

/// The colour of a probability.
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

/// Shapes that tell the verdicts apart without colour.
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

fn banner(report: &Report) -> String {
    let verdict = report.verdict;
    let reasons = list(&report.reasons);
    format!(
        r#"<section class="card banner tone-{tone}" aria-labelledby="verdict"><div class="head">
<svg class="icon" viewBox="0 0 64 64" fill="none" stroke="currentColor" stroke-width="4.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{icon}</svg>
<div><h1 id="verdict">{words}</h1><p class="file">{name}</p></div></div>
<p class="lede">{lede}</p>{gauge}<ul>{reasons}</ul></section>"#,
        tone = tone_of(verdict),
        icon = icon(verdict),
        words = verdict_words(verdict),
        name = name(&report.input.name),
        lede = lede(verdict),
        gauge = report
            .score
            .map_or_else(String::new, |score| gauge(score, report.model.card.levels.person.thresholds)),
    )
}

/// The score on its scale, with the zones of the three verdicts.
fn gauge(score: f64, thresholds: Thresholds) -> String {
    let percent = |v: f64| 100.0 * v.clamp(0.0, 1.0);
    format!(
        r#"<div class="gauge"><div class="bar" role="img" aria-label="Score {score:.3} on a scale from 0, real, to 1, fake"><span class="tone-real" style="width:{real:.2}%"></span><span class="tone-unsure" style="width:{unsure:.2}%"></span><span class="tone-fake" style="width:{fake:.2}%"></span><b style="left:{at:.2}%"></b></div>
<div class="ends"><span>0 real</span><b style="left:{label:.2}%">{score:.2}</b><span>1 fake</span></div></div>"#,
        real = percent(thresholds.low),
        unsure = percent(thresholds.high - thresholds.low),
        fake = percent(1.0 - thresholds.high),
        at = percent(score),
        // Clear of the words at both ends.
        label = percent(score).clamp(9.0, 91.0),
    )
}

fn warnings(warnings: &[Warning]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let items = list(warnings);
    format!(
        r#"<section class="card tone-unsure"><h2>Worth knowing</h2><ul class="notes">{items}</ul></section>"#
    )
}

/// A probability as a figure with a small bar.
fn score_bar(tone: &str, probability: f64) -> String {
    format!(
        r#"<span class="meter tone-{tone}"><i style="--part:{part:.1}%" aria-hidden="true"></i>{probability:.3}</span>"#,
        part = 100.0 * probability,
    )
}

fn people(report: &Report, evidence: &Evidence) -> String {
    if report.people.is_empty() {
        return String::new();
    }
    let mut people: Vec<&Person> = report.people.iter().collect();
    let first = |p: &Person| Some(p.id) == report.decisive_person;
    people.sort_by(|a, b| {
        first(b).cmp(&first(a)).then(b.judgeable.cmp(&a.judgeable)).then(b.score.total_cmp(&a.score))
    });
    let (people, others): (Vec<&Person>, Vec<&Person>) = people.into_iter().partition(|p| p.is_confirmed);
    let each =
        |people: &[&Person]| -> String { people.iter().map(|one| person(report, evidence, one)).collect() };
    let heading = if people.is_empty() {
        "Nobody for certain".to_owned()
    } else {
        count(people.len(), "person", "people")
    };
    let folded = if others.is_empty() {
        String::new()
    } else {
        format!(
            r#"<details class="others"><summary>{not_counted} not counted as {what}</summary>{others}</details>"#,
            not_counted = count(others.len(), "possible face", "possible faces"),
            what = if others.len() == 1 { "a person" } else { "people" },
            others = each(&others),
        )
    };
    format!(
        r#"<section class="card"><h2>{heading}</h2>{switch}{people}{folded}</section>"#,
        switch = heat_switch(evidence),
        people = each(&people),
    )
}

/// What shows and hides the heat maps; a style rule does the work, as the page runs no script.
fn heat_switch(evidence: &Evidence) -> &'static str {
    if evidence.heat.is_empty() {
        return "";
    }
    r#"<input type="checkbox" id="heat" class="switch"><label for="heat">Show where the evidence for manipulation lies</label><p class="soft heat-key">Grad-CAM, one scale for all pictures of this page: the redder, the stronger. It tells where the network looked, not what is wrong there.</p>"#
}

fn person(report: &Report, evidence: &Evidence, person: &Person) -> String {
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
    // The banner has the reasons of the decisive one.
    let reasons = if Some(person.id) == report.decisive_person {
        String::new()
    } else {
        let items = list(&person.reasons);
        format!(r#"<ul class="notes soft">{items}</ul>"#)
    };
    format!(
        r#"<div class="person"><div class="head"><h3>{name}</h3><span class="pill tone-{tone}">{words}</span><span class="soft">{seen}</span></div>{reasons}{timeline}{faces}</div>"#,
        name = if person.is_confirmed {
            format!("Person {}", person.id + 1)
        } else {
            format!("Possible face {}", person.id + 1)
        },
        tone = tone_of(person.verdict),
        words = if person.is_confirmed { verdict_words(person.verdict) } else { "not judged" },
        timeline = if moving { timeline::timeline(report, person) } else { String::new() },
        faces = faces(report, evidence, person),
    )
}

/// The person's face in every frame.
fn faces(report: &Report, evidence: &Evidence, person: &Person) -> String {
    let seen: Vec<(usize, &Observation)> = report.observations_of(person.id).collect();
    let mut items = String::new();
    for &(number, observation) in thinned(&seen) {
        let Some(picture) = evidence.faces.get(number) else { continue };
        let (at, p) = (clock(observation.pts_seconds), observation.fake_probability);
        let _ = write!(
            items,
            r#"<li><figure class="tone-{tone}"><div class="face"><img src="{src}" alt="Face at {at}, score {p:.2}" width="144" height="144">{heat}</div><figcaption><span>{at}</span><b>{p:.2}</b></figcaption></figure></li>"#,
            tone = tone(report.model.card.levels.crop.thresholds, p),
            src = data_url("jpeg", picture),
            heat = evidence.heat.get(number).map_or_else(String::new, |map| {
                format!(r#"<img class="heat" src="{}" alt="" width="28" height="28">"#, data_url("png", map))
            }),
        );
    }
    if items.is_empty() { items } else { format!(r#"<ul class="strip">{items}</ul>"#) }
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
fn frames(report: &Report, evidence: &Evidence) -> String {
    let all: Vec<(usize, &FrameFacts)> = report.frames.iter().enumerate().collect();
    let mut items = String::new();
    for &(number, facts) in thinned(&all) {
        let Some(picture) = evidence.frames.get(number) else { continue };
        let faces = report.observations.iter().filter(|o| o.frame == number);
        let marks: String = faces.map(|o| mark(o, facts, report.model.card.levels.crop.thresholds)).collect();
        let _ = write!(
            items,
            r#"<li><figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="Frame at {at}, {found}"><image href="{src}" width="{width}" height="{height}"/>{marks}</svg><figcaption>{at}{index} &middot; {found}</figcaption></figure></li>"#,
            width = facts.width,
            height = facts.height,
            at = clock(facts.pts_seconds),
            index = facts.index.map_or_else(String::new, |i| format!(" \u{b7} frame {i}")),
            found = count(facts.faces, "face", "faces"),
            src = data_url("jpeg", picture),
        );
    }
    if items.is_empty() {
        return items;
    }
    let heading = match (report.frames.len(), report.input.kind) {
        (_, InputKind::Image) => "The picture".to_owned(),
        (n, _) if n > MOST_PICTURES => format!("{MOST_PICTURES} of {n} sampled frames"),
        (n, _) => count(n, "sampled frame", "sampled frames"),
    };
    format!(r#"<section class="card"><h2>{heading}</h2><ul class="frames">{items}</ul></section>"#)
}

/// The box of one face with the number of its person, in pixels of the frame.
fn mark(observation: &Observation, facts: &FrameFacts, thresholds: Thresholds) -> String {
    let bbox = observation.bbox;
    let unit = facts.width.max(facts.height) as f32 / 24.0;
    let label = format!("{} \u{b7} {:.2}", observation.person + 1, observation.fake_probability);
    let tag_width = (0.62 * label.chars().count() as f32 + 0.5) * unit;
    let tag_left = bbox.x1.min(facts.width as f32 - tag_width).max(0.0);
    let tag_top = if bbox.y1 >= 1.4 * unit { bbox.y1 - 1.4 * unit } else { bbox.y1 };
    format!(
        r#"<g class="tone-{tone}"><rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="{r:.1}"/><rect class="tag" x="{tag_left:.1}" y="{tag_top:.1}" width="{tag_width:.1}" height="{tag_height:.1}" rx="{r:.1}"/><text x="{text_x:.1}" y="{text_y:.1}" font-size="{unit:.1}">{label}</text></g>"#,
        tone = tone(thresholds, observation.fake_probability),
        x = bbox.x1,
        y = bbox.y1,
        w = bbox.width().max(0.0),
        h = bbox.height().max(0.0),
        r = 0.2 * unit,
        tag_height = 1.4 * unit,
        text_x = tag_left + 0.4 * unit,
        text_y = tag_top + 1.05 * unit,
    )
}

/// Every observation as a row.
fn table(report: &Report) -> String {
    if report.observations.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for o in &report.observations {
        let _ = write!(
            rows,
            r#"<tr><th scope="row">{at}</th><td>{index}</td><td>{person}</td><td>{score}</td><td>{detection:.3}</td><td>{width:.0}</td><td>{x1:.0}, {y1:.0} &ndash; {x2:.0}, {y2:.0}</td></tr>"#,
            at = clock(o.pts_seconds),
            index = report
                .frames
                .get(o.frame)
                .and_then(|f| f.index)
                .map_or_else(|| "\u{2013}".to_owned(), |i| i.to_string()),
            person = o.person + 1,
            score = score_bar(
                tone(report.model.card.levels.crop.thresholds, o.fake_probability),
                o.fake_probability
            ),
            detection = o.detection_probability,
            width = o.crop_width,
            x1 = o.bbox.x1,
            y1 = o.bbox.y1,
            x2 = o.bbox.x2,
            y2 = o.bbox.y2,
        );
    }
    format!(
        r#"<section class="card"><details><summary>Every face in figures</summary><div class="scroll" tabindex="0" role="region" aria-label="Every face in figures"><table>
<thead><tr><th scope="col">Time</th><th scope="col">Frame</th><th scope="col">Person</th><th scope="col">Fake probability</th><th scope="col">Is a face</th><th scope="col">Width, px</th><th scope="col">Box, px</th></tr></thead>
<tbody>{rows}</tbody></table></div></details></section>"#
    )
}

/// A section with a list of facts, terms and values; those without a value are left out. The heading,
/// the terms and the values are HTML already: put [`Text`] around what is not.
pub fn facts(heading: &str, facts: &[(&str, Option<String>)]) -> String {
    let mut items = String::new();
    for (term, value) in facts {
        if let Some(value) = value {
            let _ = write!(items, "<dt>{term}</dt><dd>{value}</dd>");
        }
    }
    format!(r#"<section class="card"><h2>{heading}</h2><dl>{items}</dl></section>"#)
}

fn file(report: &Report) -> String {
    let InputFacts {
        name: input,
        path,
        kind,
        sha256,
        bytes,
        container,
        codec,
        width,
        height,
        duration_seconds,
        frames_per_second,
        frame_count,
    } = &report.input;
    let text = |value: &Option<String>| value.as_ref().map(|v| Text(v).to_string());
    facts(
        match kind {
            InputKind::Video => "The video",
            InputKind::Image => "The picture file",
            InputKind::Frames => "The frames",
        },
        &[
            ("Name", Some(name(input))),
            ("Path", path.as_ref().filter(|p| *p != input).map(|p| name(p))),
            ("SHA-256", sha256.as_ref().map(|hash| format!("<code>{}</code>", Text(hash)))),
            ("Size", bytes.map(size)),
            ("Format", text(container)),
            ("Codec", text(codec)),
            ("Picture", width.zip(*height).map(|(w, h)| format!("{w} \u{d7} {h}"))),
            ("Length", duration_seconds.map(clock)),
            ("Frame rate", frames_per_second.map(|fps| format!("{fps:.2} a second"))),
            ("Frames", frame_count.map(|n| n.to_string())),
            ("Looked at", Some(count(report.frames.len(), "frame", "frames"))),
        ],
    )
}

fn model(model: &ModelInfo) -> String {
    let card = &model.card;
    let measures: Vec<String> = card
        .measures
        .iter()
        .map(|m| {
            let interval =
                m.low.zip(m.high).map_or_else(String::new, |(low, high)| format!(" ({low:.3} to {high:.3})"));
            format!("{}: <b>{:.3}</b>{interval}", Text(&m.name), m.value)
        })
        .collect();
    facts(
        "The detector",
        &[
            ("Name", Some(Text(&card.name).to_string())),
            ("What it does", Some(Text(&card.summary).to_string())),
            ("Trained on", Some(Text(&card.trained_on).to_string())),
            ("Measured", (!measures.is_empty()).then(|| measures.join("<br>"))),
            ("Says real", Some(format!("up to {:.3}", card.levels.person.thresholds.low))),
            ("Says fake", Some(format!("from {:.3}", card.levels.person.thresholds.high))),
            ("SHA-256", Some(format!("<code>{}</code>", Text(&model.sha256)))),
        ],
    )
}

fn limits(model: &ModelInfo) -> String {
    let own = list(&model.card.limits);
    format!(
        r#"<section class="card"><h2>What this report cannot say</h2><ul class="notes">
<li>This is a forensic aid, not a judge. Nobody should be accused or cleared by it alone: look at the source, the context and the material itself.</li>
<li>The score is a probability on material like the detector's own validation data. On other material it can be wrong with great confidence.</li>
<li>Only faces are judged: not voices, backgrounds, captions or cuts.</li>{own}</ul></section>"#
    )
}
