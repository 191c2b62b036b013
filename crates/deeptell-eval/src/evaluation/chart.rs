//! Charts as SVG for light and dark pages, narrow screens and screen readers. Colours are those of the page's style
//! sheet.

use std::fmt::Write;

use deeptell::html::Text;
use deeptell_metrics::{ReliabilityBin, RocBand, RocCurve, ScoreHistogram};
use maud::{Markup, PreEscaped};

const WIDTH: f64 = 360.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
/// Under the axis: numbers, and what they are.
const BOTTOM: f64 = 40.0;

/// The axes of a drawing.
struct Plot {
    /// Height of the drawing.
    height: f64,
    /// Ends of the axes, in their own units.
    x: [f64; 2],
    y: [f64; 2],
    svg: String,
}

impl Plot {
    fn new(height: f64, x: [f64; 2], y: [f64; 2]) -> Self {
        Self { height, x, y, svg: String::new() }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (self.y[1] - value) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)
    }

    /// Grid lines and numbers at `xs` and `ys`, and the names of the axes.
    fn axes(&mut self, xs: &[(f64, String)], ys: &[(f64, String)], names: [&str; 2]) {
        let (foot, right) = (self.y(self.y[0]), WIDTH - RIGHT);
        for (value, label) in ys {
            let y = self.y(*value);
            let _ = write!(
                self.svg,
                r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="axis" x="{x}" y="{base:.1}" text-anchor="end">{label}</text>"#,
                x = LEFT - 6.0,
                base = y + 4.0,
            );
        }
        for (value, label) in xs {
            let x = self.x(*value);
            // A centred number at the end would reach beyond the drawing.
            let anchor = if x > right - 8.0 { "end" } else { "middle" };
            let _ = write!(
                self.svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{foot:.1}"/><text class="axis" x="{x:.1}" y="{base:.1}" text-anchor="{anchor}">{label}</text>"#,
                base = foot + 15.0,
            );
        }
        let [across, up] = names;
        let (middle, centre) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, foot));
        let _ = write!(
            self.svg,
            r#"<text class="axis" x="{middle:.1}" y="{base:.1}" text-anchor="middle">{across}</text><text class="axis" transform="translate(11 {centre:.1}) rotate(-90)" text-anchor="middle">{up}</text>"#,
            base = self.height - 6.0,
        );
    }

    fn points(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        points.into_iter().fold(String::new(), |mut list, (x, y)| {
            let _ =
                write!(list, "{}{:.1},{:.1}", if list.is_empty() { "" } else { " " }, self.x(x), self.y(y));
            list
        })
    }

    fn line(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let points = self.points(points);
        let _ = write!(self.svg, r#"<polyline class="{class}" points="{points}"/>"#);
    }

    fn area(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let points = self.points(points);
        let _ = write!(self.svg, r#"<polygon class="{class}" points="{points}"/>"#);
    }

    /// A word inside the drawing.
    fn word(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let _ = write!(
            self.svg,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#,
            text = Text(text),
        );
    }

    /// The whole drawing; `id` is its own on the page.
    fn finish(self, id: &str, title: &str, description: &str) -> Markup {
        PreEscaped(format!(
            r#"<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{id}-title {id}-text"><title id="{id}-title">{title}</title><desc id="{id}-text">{description}</desc>{svg}</svg>"#,
            height = self.height,
            title = Text(title),
            description = Text(description),
            svg = self.svg,
        ))
    }
}

/// 0, 0.2, ... 1 with their numbers.
fn fifths() -> Vec<(f64, String)> {
    (0..=5).map(|i| f64::from(i) / 5.0).map(|value| (value, format!("{value:.1}"))).collect()
}

/// About five round numbers from `low` to `high`.
fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low).max(1e-9) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|part| part * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    (first..=last).map(|i| i as f64 * step).map(|value| (value, format!("{value:.decimals$}"))).collect()
}

/// The ROC curve with its band, chance, and a ring at each of the named points `(name, FPR, TPR)`.
pub(crate) fn roc(
    id: &str,
    curve: &RocCurve,
    band: Option<&RocBand>,
    marks: &[(&str, f64, f64)],
    description: &str,
) -> Markup {
    let mut plot = Plot::new(340.0, [0.0, 1.0], [0.0, 1.0]);
    plot.axes(
        &fifths(),
        &fifths(),
        ["reals flagged (false positive rate)", "fakes flagged (true positive rate)"],
    );
    plot.line("chance", [(0.0, 0.0), (1.0, 1.0)]);
    if let Some(band) = band {
        let side = |heights: &[f64]| -> Vec<(f64, f64)> {
            band.false_positive_rate.iter().copied().zip(heights.iter().copied()).collect()
        };
        let (over, under) = (side(&band.high), side(&band.low));
        plot.area("band", over.into_iter().chain(under.into_iter().rev()));
    }
    let rates = &curve.false_positive_rate;
    plot.line("data", rates.iter().copied().zip(curve.true_positive_rate.iter().copied()));
    for (name, fpr, tpr) in marks {
        let (x, y) = (plot.x(*fpr), plot.y(*tpr));
        let _ = write!(
            plot.svg,
            r#"<circle class="ring" cx="{x:.1}" cy="{y:.1}" r="5"><title>{shown}: {tpr:.3} of the fakes, {fpr:.3} of the reals</title></circle>"#,
            shown = Text(name),
        );
        // Beside the ring, away from the curve.
        plot.word(x + 10.0, y + 15.0, "start", "note", name);
    }
    let word = (plot.x(0.66), plot.y(0.60));
    plot.word(word.0, word.1, "start", "axis", "chance");
    plot.finish(id, "ROC curve", description)
}

/// The reliability diagram, the number of samples of each bin as bars under it.
pub(crate) fn reliability(id: &str, bins: &[ReliabilityBin], description: &str) -> Markup {
    let mut plot = Plot::new(340.0, [0.0, 1.0], [-0.2, 1.0]);
    let xs = fifths();
    plot.axes(&xs, &xs, ["score", "part that is fake"]);
    plot.line("chance", [(0.0, 0.0), (1.0, 1.0)]);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64;
    for bin in bins {
        let (from, to) = (plot.x(bin.lower), plot.x(bin.upper));
        let (top, foot) = (plot.y(-0.2 + 0.16 * bin.count as f64 / most), plot.y(-0.2));
        let _ = write!(
            plot.svg,
            r#"<rect class="count" x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"><title>{lower:.2} to {upper:.2}: {count} crops</title></rect>"#,
            x = from + 0.75,
            width = (to - from - 1.5).max(0.5),
            height = (foot - top).max(1.0),
            lower = bin.lower,
            upper = bin.upper,
            count = bin.count,
        );
    }
    for bin in bins {
        // How far the bin lies from where it should.
        plot.line(
            "gap",
            [(bin.mean_probability, bin.mean_probability), (bin.mean_probability, bin.fake_fraction)],
        );
    }
    plot.line("data", bins.iter().map(|bin| (bin.mean_probability, bin.fake_fraction)));
    for bin in bins {
        let (x, y) = (plot.x(bin.mean_probability), plot.y(bin.fake_fraction));
        let _ = write!(
            plot.svg,
            r#"<circle class="point" cx="{x:.1}" cy="{y:.1}" r="4"><title>said {said:.2}, found {found:.2}, {count} samples</title></circle>"#,
            said = bin.mean_probability,
            found = bin.fake_fraction,
            count = bin.count,
        );
    }
    plot.finish(id, "Reliability diagram", description)
}

/// The scores of each class: fakes above the line, reals under it, each as parts of its class, with the thresholds.
pub(crate) fn histogram(
    id: &str,
    counts: &ScoreHistogram,
    thresholds: [f64; 2],
    description: &str,
) -> Markup {
    let parts = |counts: &[usize]| -> Vec<f64> {
        let total = counts.iter().sum::<usize>().max(1) as f64;
        counts.iter().map(|&count| count as f64 / total).collect()
    };
    let (real, fake) = (parts(&counts.real), parts(&counts.fake));
    let largest = real.iter().chain(&fake).copied().fold(0.05, f64::max);
    let mut plot = Plot::new(300.0, [0.0, 1.0], [-1.25 * largest, 1.25 * largest]);
    let ys: Vec<(f64, String)> = ticks(-largest, largest)
        .into_iter()
        .map(|(value, _)| (value, format!("{:.0}%", 100.0 * value.abs())))
        .collect();
    plot.axes(&fifths(), &ys, ["score", "part of the class"]);
    let bins = fake.len() as f64;
    for (class, parts, sign) in [("fake", &fake, 1.0), ("real", &real, -1.0)] {
        let counts = if class == "fake" { &counts.fake } else { &counts.real };
        for (bin, (part, count)) in parts.iter().zip(counts).enumerate().filter(|(_, (_, count))| **count > 0)
        {
            let (from, to) = (bin as f64 / bins, (bin + 1) as f64 / bins);
            let (zero, end) = (plot.y(0.0), plot.y(sign * part));
            let _ = write!(
                plot.svg,
                r#"<rect class="bar tone-{class}" x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"><title>{count} {class} from {from:.2} to {to:.2}</title></rect>"#,
                x = plot.x(from) + 0.75,
                top = zero.min(end),
                width = plot.x(to) - plot.x(from) - 1.5,
                height = (zero - end).abs().max(1.0),
            );
        }
    }
    plot.line("zero", [(0.0, 0.0), (1.0, 0.0)]);
    let (top, foot) = (plot.y[1], plot.y[0]);
    for threshold in thresholds {
        plot.line("threshold", [(threshold, foot), (threshold, top)]);
    }
    let (left, upper, lower) = (plot.x(0.02), plot.y(top) + 15.0, plot.y(foot) - 7.0);
    plot.word(left, upper, "start", "name tone-fake", "fakes, upwards");
    plot.word(left, lower, "start", "name tone-real", "reals, downwards");
    plot.finish(id, "Histogram of scores", description)
}

/// One line of a course: its name, its class in the style sheet, its values.
pub(crate) type Line<'a> = (&'a str, &'a str, Vec<f64>);

/// Values over the epochs from 1, with a ring at the best one where it is on the first line.
pub(crate) fn course(
    id: &str,
    title: &str,
    lines: &[Line<'_>],
    best: Option<usize>,
    description: &str,
) -> Markup {
    let epochs = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(1);
    let values = || lines.iter().flat_map(|(_, _, values)| values.iter().copied());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let room = (0.08 * (high - low)).max(0.005);
    let mut plot = Plot::new(240.0, [1.0, epochs.max(2) as f64], [low - room, high + room]);
    let whole = |(value, _): &(f64, String)| value.fract().abs() < 1e-9;
    let xs: Vec<(f64, String)> = if epochs < 6 {
        (1..=epochs.max(2)).map(|epoch| (epoch as f64, epoch.to_string())).collect()
    } else {
        ticks(1.0, epochs as f64).into_iter().filter(whole).collect()
    };
    plot.axes(&xs, &ticks(low - room, high + room), ["epoch", ""]);
    for (name, class, values) in lines {
        plot.line(&format!("data {class}"), values.iter().enumerate().map(|(i, v)| ((i + 1) as f64, *v)));
        for (epoch, value) in values.iter().enumerate() {
            let (x, y) = (plot.x((epoch + 1) as f64), plot.y(*value));
            let _ = write!(
                plot.svg,
                r#"<circle class="point {class}" cx="{x:.1}" cy="{y:.1}" r="3"><title>epoch {epoch}: {name} {value:.4}</title></circle>"#,
                epoch = epoch + 1,
            );
        }
    }
    if let Some((epoch, value)) = best.and_then(|epoch| Some((epoch, *lines.first()?.2.get(epoch - 1)?))) {
        let (x, y) = (plot.x(epoch as f64), plot.y(value));
        let _ = write!(plot.svg, r#"<circle class="ring" cx="{x:.1}" cy="{y:.1}" r="6.5"/>"#);
    }
    plot.finish(id, title, description)
}

/// A figure from 0.5 to 1 with its interval, for a cell of a table that says the numbers as well.
pub(crate) fn whisker(value: f64, ci95: Option<[f64; 2]>) -> Markup {
    let x = |value: f64| 4.0 + (value.clamp(0.5, 1.0) - 0.5) / 0.5 * 112.0;
    let reach = ci95.map_or_else(String::new, |[low, high]| {
        format!(r#"<line class="reach" x1="{:.1}" x2="{:.1}" y1="9" y2="9"/>"#, x(low), x(high))
    });
    PreEscaped(format!(
        r#"<svg class="whisker" viewBox="0 0 120 18" aria-hidden="true"><line class="grid" x1="4" x2="116" y1="9" y2="9"/><line class="grid" x1="4" x2="4" y1="4" y2="14"/><line class="grid" x1="116" x2="116" y1="4" y2="14"/>{reach}<circle class="point" cx="{at:.1}" cy="9" r="4"/></svg>"#,
        at = x(value),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_span_the_drawing() {
        let plot = Plot::new(200.0, [0.0, 2.0], [-1.0, 1.0]);
        assert_eq!((plot.x(0.0), plot.x(2.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!((plot.y(1.0), plot.y(-1.0)), (TOP, 200.0 - BOTTOM));
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |low, high| ticks(low, high).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(0.91, 0.96), ["0.91", "0.92", "0.93", "0.94", "0.95", "0.96"]);
        for (low, high) in [(0.0, 1e-12), (0.3, 0.3), (1.0, 40.0), (-0.7, 0.7), (0.0, 123_456.0)] {
            assert!((1..=8).contains(&ticks(low, high).len()) || high - low < 1e-6, "{low} to {high}");
        }
    }

    #[test]
    fn drawings_say_what_they_show_and_escape_it() {
        let curve = RocCurve {
            false_positive_rate: vec![0.0, 0.0, 1.0],
            true_positive_rate: vec![0.0, 0.5, 1.0],
            thresholds: vec![f64::INFINITY, 0.9, 0.1],
        };
        let svg = roc("r", &curve, None, &[("at <0.5>", 0.1, 0.5)], "area 0.75 & no band").into_string();
        assert!(
            svg.contains(r#"aria-labelledby="r-title r-text""#) && svg.contains("area 0.75 &amp; no band")
        );
        // Up the left edge, then over to the corner.
        assert!(
            svg.contains(r#"<polyline class="data" points="46.0,300.0 46.0,155.0 350.0,10.0"/>"#),
            "{svg}"
        );
        assert!(svg.contains("at &lt;0.5&gt;</text>"));
    }

    #[test]
    fn bars_are_as_long_as_their_part() {
        let counts = ScoreHistogram { real: vec![3, 1], fake: vec![0, 2] };
        let svg = histogram("h", &counts, [0.3, 0.7], "").into_string();
        // Two reals bars and one of fakes, the empty bin has none.
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("<title>3 real from 0.00 to 0.50</title>"), "{svg}");
    }

    #[test]
    fn a_run_of_one_epoch_has_a_course() {
        let svg = course("c", "AUC", &[("AUC", "", vec![0.8])], Some(1), "one epoch").into_string();
        assert!(svg.contains("epoch 1: AUC 0.8000") && svg.contains(r#"class="ring""#));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
