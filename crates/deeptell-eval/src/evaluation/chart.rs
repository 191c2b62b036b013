//! Charts as SVG for light and dark pages, narrow screens and screen readers. Colors are those of the page's style
//! sheet.

use deeptell::html::Text;
use deeptell_metrics::{ReliabilityBin, RocBand, RocCurve, ScoreHistogram};
use maud::{Markup, html};

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
}

impl Plot {
    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (self.y[1] - value) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)
    }

    /// Grid lines and numbers at `xs` and `ys`, and the names of the axes.
    fn axes(&self, xs: &[(f64, String)], ys: &[(f64, String)], [across, up]: [&str; 2]) -> Markup {
        let (foot, right) = (self.y(self.y[0]), WIDTH - RIGHT);
        let (middle, center) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, foot));
        html! {
            @for (value, label) in ys {
                @let y = self.y(*value);
                line class="grid" x1=(LEFT) x2=(right) y1=(px(y)) y2=(px(y)) {}
                text class="axis" x=(LEFT - 6.0) y=(px(y + 4.0)) text-anchor="end" { (label) }
            }
            @for (value, label) in xs {
                @let x = self.x(*value);
                // A centered number at the end would reach beyond the drawing.
                @let anchor = if x > right - 8.0 { "end" } else { "middle" };
                line class="grid" x1=(px(x)) x2=(px(x)) y1=(TOP) y2=(px(foot)) {}
                text class="axis" x=(px(x)) y=(px(foot + 15.0)) text-anchor=(anchor) { (label) }
            }
            text class="axis" x=(px(middle)) y=(px(self.height - 6.0)) text-anchor="middle" { (across) }
            @let upwards = format!("translate(11 {center:.1}) rotate(-90)");
            text class="axis" transform=(upwards) text-anchor="middle" { (up) }
        }
    }

    /// The attribute `points` of a line or an area.
    fn points(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let place = |(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y));
        points.into_iter().map(place).collect::<Vec<_>>().join(" ")
    }

    fn line(&self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Markup {
        html! { polyline class=(class) points=(self.points(points)) {} }
    }

    fn area(&self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Markup {
        html! { polygon class=(class) points=(self.points(points)) {} }
    }

    /// The whole drawing; `id` is its own on the page.
    fn drawing(&self, id: &str, title: &str, description: &str, content: &Markup) -> Markup {
        html! {
            @let (title_id, text_id) = (format!("{id}-title"), format!("{id}-text"));
            svg class="plot" viewBox={ "0 0 " (WIDTH) " " (self.height) } role="img"
                aria-labelledby={ (title_id) " " (text_id) } {
                title id=(title_id) { (Text(title)) }
                desc id=(text_id) { (Text(description)) }
                (content)
            }
        }
    }
}

/// A length or a place in the drawing.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// A word inside the drawing that starts at `[x, y]`.
fn word([x, y]: [f64; 2], class: &str, text: &str) -> Markup {
    html! { text class=(class) x=(px(x)) y=(px(y)) text-anchor="start" { (Text(text)) } }
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
    let plot = Plot { height: 340.0, x: [0.0, 1.0], y: [0.0, 1.0] };
    let names = ["reals flagged (false positive rate)", "fakes flagged (true positive rate)"];
    let pairs =
        |x: &[f64], y: &[f64]| -> Vec<(f64, f64)> { x.iter().copied().zip(y.iter().copied()).collect() };
    let content = html! {
        (plot.axes(&fifths(), &fifths(), names))
        (plot.line("chance", [(0.0, 0.0), (1.0, 1.0)]))
        @if let Some(band) = band {
            @let over = pairs(&band.false_positive_rate, &band.high);
            @let under = pairs(&band.false_positive_rate, &band.low);
            (plot.area("band", over.into_iter().chain(under.into_iter().rev())))
        }
        (plot.line("data", pairs(&curve.false_positive_rate, &curve.true_positive_rate)))
        @for (name, fpr, tpr) in marks {
            @let (x, y) = (plot.x(*fpr), plot.y(*tpr));
            circle class="ring" cx=(px(x)) cy=(px(y)) r="5" {
                title { (Text(name)) (format!(": {tpr:.3} of the fakes, {fpr:.3} of the reals")) }
            }
            // Beside the ring, away from the curve.
            (word([x + 10.0, y + 15.0], "note", name))
        }
        (word([plot.x(0.66), plot.y(0.60)], "axis", "chance"))
    };
    plot.drawing(id, "ROC curve", description, &content)
}

/// The reliability diagram, the number of samples of each bin as bars under it.
pub(crate) fn reliability(id: &str, bins: &[ReliabilityBin], description: &str) -> Markup {
    let plot = Plot { height: 340.0, x: [0.0, 1.0], y: [-0.2, 1.0] };
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64;
    let content = html! {
        (plot.axes(&fifths(), &fifths(), ["score", "share that is fake"]))
        (plot.line("chance", [(0.0, 0.0), (1.0, 1.0)]))
        @for bin in bins {
            @let (from, to) = (plot.x(bin.lower), plot.x(bin.upper));
            @let (top, foot) = (plot.y(-0.2 + 0.16 * bin.count as f64 / most), plot.y(-0.2));
            rect class="count" x=(px(from + 0.75)) y=(px(top))
                width=(px((to - from - 1.5).max(0.5))) height=(px((foot - top).max(1.0))) {
                title { (format!("{:.2} to {:.2}: {} crops", bin.lower, bin.upper, bin.count)) }
            }
        }
        @for bin in bins {
            // How far the bin lies from where it should.
            @let (said, found) = (bin.mean_probability, bin.fake_fraction);
            (plot.line("gap", [(said, said), (said, found)]))
        }
        (plot.line("data", bins.iter().map(|bin| (bin.mean_probability, bin.fake_fraction))))
        @for ReliabilityBin { count, mean_probability: said, fake_fraction: found, .. } in bins {
            circle class="point" cx=(px(plot.x(*said))) cy=(px(plot.y(*found))) r="4" {
                title { (format!("said {said:.2}, found {found:.2}, {count} samples")) }
            }
        }
    };
    plot.drawing(id, "Reliability diagram", description, &content)
}

/// The scores of each class: fakes above the line, reals under it, each as a share of its class, with the thresholds.
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
    let (foot, top) = (-1.25 * largest, 1.25 * largest);
    let plot = Plot { height: 300.0, x: [0.0, 1.0], y: [foot, top] };
    let percent = |(value, _): (f64, String)| (value, format!("{:.0}%", 100.0 * value.abs()));
    let ys: Vec<(f64, String)> = ticks(-largest, largest).into_iter().map(percent).collect();
    let bins = fake.len() as f64;
    let zero = plot.y(0.0);
    let halves = [("fake", &counts.fake, &fake, 1.0), ("real", &counts.real, &real, -1.0)];
    let content = html! {
        (plot.axes(&fifths(), &ys, ["score", "share of the class"]))
        @for (class, counts, parts, sign) in halves {
            @let filled = parts.iter().zip(counts).enumerate().filter(|(_, (_, count))| **count > 0);
            @for (bin, (part, count)) in filled {
                @let (from, to) = (bin as f64 / bins, (bin + 1) as f64 / bins);
                @let end = plot.y(sign * part);
                @let (left, width) = (plot.x(from) + 0.75, plot.x(to) - plot.x(from) - 1.5);
                rect class={ "bar tone-" (class) } x=(px(left)) y=(px(zero.min(end)))
                    width=(px(width)) height=(px((zero - end).abs().max(1.0))) {
                    title { (format!("{count} {class} from {from:.2} to {to:.2}")) }
                }
            }
        }
        (plot.line("zero", [(0.0, 0.0), (1.0, 0.0)]))
        @for threshold in thresholds {
            (plot.line("threshold", [(threshold, foot), (threshold, top)]))
        }
        (word([plot.x(0.02), plot.y(top) + 15.0], "name tone-fake", "fakes, upwards"))
        (word([plot.x(0.02), plot.y(foot) - 7.0], "name tone-real", "reals, downwards"))
    };
    plot.drawing(id, "Histogram of scores", description, &content)
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
    let plot = Plot { height: 240.0, x: [1.0, epochs.max(2) as f64], y: [low - room, high + room] };
    let whole = |(value, _): &(f64, String)| value.fract().abs() < 1e-9;
    let xs: Vec<(f64, String)> = if epochs < 6 {
        (1..=epochs.max(2)).map(|epoch| (epoch as f64, epoch.to_string())).collect()
    } else {
        ticks(1.0, epochs as f64).into_iter().filter(whole).collect()
    };
    let best = best.and_then(|epoch| Some((epoch, *lines.first()?.2.get(epoch - 1)?)));
    let content = html! {
        (plot.axes(&xs, &ticks(low - room, high + room), ["epoch", ""]))
        @for (name, class, values) in lines {
            @let places = || (1..).map(f64::from).zip(values.iter().copied());
            (plot.line(&format!("data {class}"), places()))
            @for (epoch, value) in places() {
                circle class={ "point " (class) } cx=(px(plot.x(epoch))) cy=(px(plot.y(value))) r="3" {
                    title { "epoch " (epoch) ": " (Text(name)) (format!(" {value:.4}")) }
                }
            }
        }
        @if let Some((epoch, value)) = best {
            circle class="ring" cx=(px(plot.x(epoch as f64))) cy=(px(plot.y(value))) r="6.5" {}
        }
    };
    plot.drawing(id, title, description, &content)
}

/// A figure from 0.5 to 1 with its interval, for a cell of a table that says the numbers as well.
pub(crate) fn whisker(value: f64, ci95: Option<[f64; 2]>) -> Markup {
    let x = |value: f64| px(4.0 + (value.clamp(0.5, 1.0) - 0.5) / 0.5 * 112.0);
    html! {
        svg class="whisker" viewBox="0 0 120 18" aria-hidden="true" {
            line class="grid" x1="4" x2="116" y1="9" y2="9" {}
            line class="grid" x1="4" x2="4" y1="4" y2="14" {}
            line class="grid" x1="116" x2="116" y1="4" y2="14" {}
            @if let Some([low, high]) = ci95 {
                line class="reach" x1=(x(low)) x2=(x(high)) y1="9" y2="9" {}
            }
            circle class="point" cx=(x(value)) cy="9" r="4" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_span_the_drawing() {
        let plot = Plot { height: 200.0, x: [0.0, 2.0], y: [-1.0, 1.0] };
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
    fn drawings_have_a_description_and_escape_text() {
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
            svg.contains(r#"<polyline class="data" points="46.0,300.0 46.0,155.0 350.0,10.0"></polyline>"#),
            "{svg}"
        );
        assert!(svg.contains("at &lt;0.5&gt;</text>"));
        let svg = course("c", "AUC", &[("<b>", "", vec![0.8])], None, "").into_string();
        assert!(svg.contains("epoch 1: &lt;b&gt; 0.8000"), "{svg}");
    }

    #[test]
    fn empty_bins_have_no_bar() {
        let counts = ScoreHistogram { real: vec![3, 1], fake: vec![0, 2] };
        let svg = histogram("h", &counts, [0.3, 0.7], "").into_string();
        // Two reals bars and one of fakes, the empty bin has none.
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("<title>3 real from 0.00 to 0.50</title>"), "{svg}");
    }

    #[test]
    fn run_of_one_epoch_is_drawn() {
        let svg = course("c", "AUC", &[("AUC", "", vec![0.8])], Some(1), "one epoch").into_string();
        assert!(svg.contains("epoch 1: AUC 0.8000") && svg.contains(r#"class="ring""#));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
