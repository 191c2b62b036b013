//! The score of one person over time, as an SVG drawing.

use maud::{Markup, html};

use super::text::count;
use super::tone;
use crate::clock::clock;
use crate::{Observation, Person, Report};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 228.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 16.0;
/// Height of a number beside the axis.
const LABEL: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 32.0;

/// From seconds and probabilities to places in the drawing.
struct Axes {
    from_seconds: f64,
    to_seconds: f64,
}

impl Axes {
    fn of(report: &Report) -> Self {
        let times = || report.frames.iter().map(|frame| frame.pts_seconds);
        let first = times().fold(0.0, f64::min);
        let last = times().fold(report.input.duration_seconds.unwrap_or(0.0), f64::max);
        Self { from_seconds: first, to_seconds: if last > first { last } else { first + 1.0 } }
    }

    fn x(&self, seconds: f64) -> f64 {
        let part = (seconds - self.from_seconds) / (self.to_seconds - self.from_seconds);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(probability: f64) -> f64 {
        TOP + (1.0 - probability) * (HEIGHT - TOP - BOTTOM)
    }

    /// Round times, five to ten of them.
    fn ticks(&self) -> Vec<f64> {
        let length = self.to_seconds - self.from_seconds;
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
        let step = steps.into_iter().find(|step| length / step <= 9.0).unwrap_or(length / 6.0);
        let first = (self.from_seconds / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|&t| t <= self.to_seconds).take(32).collect()
    }
}

/// The drawing for `person`: zones of the three verdicts, a dot for every frame with the face,
/// a tick for every frame without, a line through each time range, the person's score as a dashed line.
pub(super) fn timeline(report: &Report, person: &Person) -> Markup {
    let axes = Axes::of(report);
    let thresholds = report.model.card.levels.crop.thresholds;
    let seen: Vec<&Observation> = report.observations_of(person.id).map(|(_, o)| o).collect();
    let missing: Vec<f64> = report
        .frames
        .iter()
        .enumerate()
        .filter(|(frame, _)| seen.iter().all(|o| o.frame != *frame))
        .map(|(_, facts)| facts.pts_seconds)
        .collect();
    let place = |o: &Observation| (axes.x(o.pts_seconds), Axes::y(o.fake_probability));
    let line = |range: &[&Observation]| -> String {
        let points: Vec<String> =
            range.iter().map(|o| place(o)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        points.join(" ")
    };
    let px = |value: f64| format!("{value:.1}");
    let (right, foot, inner) = (WIDTH - RIGHT, HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT);
    let zones = [
        ("real", 0.0, thresholds.low),
        ("unsure", thresholds.low, thresholds.high),
        ("fake", thresholds.high, 1.0),
    ];
    let overall = format!("{:.2}", person.score);
    html! {
        div class="scroll" {
            svg class="timeline" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ "Score over time, " (count(seen.len(), "frame", "frames")) ", overall " (overall) } {
                @for (zone, from, to) in zones {
                    rect class={ "zone tone-" (zone) } x=(LEFT) y=(px(Axes::y(to))) width=(inner) height=(px(Axes::y(from) - Axes::y(to))) {}
                }
                @for value in [0.0, thresholds.low, thresholds.high, 1.0] {
                    line class="grid" x1=(LEFT) x2=(right) y1=(px(Axes::y(value))) y2=(px(Axes::y(value))) {}
                }
                @for value in labeled(thresholds.low, thresholds.high) {
                    text class="axis" x=(LEFT - 8.0) y=(px(Axes::y(value) + 4.0)) text-anchor="end" { (format!("{value:.2}")) }
                }
                @for seconds in axes.ticks() {
                    // The last label would reach beyond the drawing.
                    @let anchor = if axes.x(seconds) > right - 24.0 { "end" } else { "middle" };
                    text class="axis" x=(px(axes.x(seconds))) y=(HEIGHT - 8.0) text-anchor=(anchor) { (clock(seconds)) }
                }
                @for seconds in missing {
                    path class="missing" d=(format!("M{:.1} {foot}v-9", axes.x(seconds))) {
                        title { (clock(seconds)) ": face not seen" }
                    }
                }
                // No line where the person is away.
                @for range in seen.chunk_by(|a, b| a.frame + 1 == b.frame) {
                    polyline class="curve" points=(line(range)) {}
                }
                line class="score" x1=(LEFT) x2=(right) y1=(px(Axes::y(person.score))) y2=(px(Axes::y(person.score))) {}
                @for observation in &seen {
                    @let (x, y) = place(observation);
                    @let tone = tone(thresholds, observation.fake_probability);
                    circle class={ "dot tone-" (tone) } cx=(px(x)) cy=(px(y)) r="6" {
                        title { (clock(observation.pts_seconds)) ": " (format!("{:.3}", observation.fake_probability)) }
                    }
                }
            }
        }
    }
}

/// The probabilities that have a number beside them: the thresholds, and the ends of the axis where
/// they are far enough from those to be read.
fn labeled(low: f64, high: f64) -> Vec<f64> {
    let is_readable = |end: f64, threshold: f64| (Axes::y(end) - Axes::y(threshold)).abs() >= LABEL;
    let ends = [(0.0, low), (1.0, high)];
    let ends = ends.into_iter().filter(|&(end, threshold)| is_readable(end, threshold)).map(|(end, _)| end);
    [low, high].into_iter().chain(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beside_the_axis_do_not_overlap() {
        assert_eq!(labeled(0.37, 0.75), [0.37, 0.75, 0.0, 1.0]);
        assert_eq!(labeled(0.37, 0.988), [0.37, 0.988, 0.0]);
        assert_eq!(labeled(0.01, 0.9), [0.01, 0.9, 1.0]);
    }

    #[test]
    fn the_axes_span_the_drawing() {
        let axes = Axes { from_seconds: 0.0, to_seconds: 10.0 };
        assert_eq!((axes.x(0.0), axes.x(10.0)), (LEFT, WIDTH - RIGHT));
        assert_eq!((Axes::y(1.0), Axes::y(0.0)), (TOP, HEIGHT - BOTTOM));
        assert_eq!(axes.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn ticks_are_few_for_any_length() {
        for length in [0.04, 0.3, 7.0, 61.0, 5_000.0, 1e6] {
            let ticks = Axes { from_seconds: 0.0, to_seconds: length }.ticks().len();
            assert!((1..=10).contains(&ticks), "{ticks} ticks for {length} s");
        }
    }
}
