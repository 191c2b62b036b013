use plotters::prelude::*;

use crate::EpochRecord;

const TRAIN: RGBColor = RGBColor(0x7a, 0x86, 0x9a);
const VALIDATION: RGBColor = RGBColor(0x1f, 0x5f, 0xd0);
const AUC: RGBColor = RGBColor(0x0b, 0x8a, 0x5a);

/// What a curve shows of an epoch.
type Value = fn(&EpochRecord) -> f64;

/// The history of a run as an SVG chart: losses on the left axis, validation AUC on the right, over
/// epochs. `None` before the first epoch has finished.
pub fn history_svg(records: &[EpochRecord]) -> Option<String> {
    let (first, last) = (records.first()?.epoch as f64, records.last()?.epoch as f64);
    let losses = || records.iter().flat_map(|r| [r.train_loss, r.validation_loss]);
    let top = losses().fold(0.1f64, f64::max) * 1.1;
    let worst = records.iter().map(|r| r.validation_auc).fold(0.5f64, f64::min);
    let epochs = (first - 0.2)..(last.max(first + 1.0) + 0.2);
    let mut svg = String::new();
    draw(&mut svg, records, epochs, top, worst).ok()?;
    Some(svg)
}

fn draw(
    svg: &mut String,
    records: &[EpochRecord],
    epochs: std::ops::Range<f64>,
    top: f64,
    worst: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, (820, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .right_y_label_area_size(56)
        .build_cartesian_2d(epochs.clone(), 0.0..top)?
        .set_secondary_coord(epochs, (worst - 0.02)..1.0);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.08))
        .x_desc("epoch")
        .y_desc("loss")
        .x_labels(records.len().clamp(2, 12))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()?;
    chart.configure_secondary_axes().y_desc("validation AUC").draw()?;
    let points = |value: Value| records.iter().map(move |r| (r.epoch as f64, value(r)));
    let lines: [(&str, RGBColor, Value); 2] =
        [("training loss", TRAIN, |r| r.train_loss), ("validation loss", VALIDATION, |r| r.validation_loss)];
    for (name, color, value) in lines {
        chart
            .draw_series(LineSeries::new(points(value), color.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .draw_secondary_series(
            LineSeries::new(points(|r| r.validation_auc), AUC.stroke_width(2)).point_size(3),
        )?
        .label("validation AUC")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], AUC.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_svg_draws_each_line_and_none_for_empty_history() {
        assert_eq!(history_svg(&[]), None);
        let record = |epoch: usize, auc: f64| EpochRecord {
            epoch,
            train_loss: 0.6 / epoch as f64,
            validation_loss: 0.65 / epoch as f64,
            validation_auc: auc,
            learning_rate: 1e-3,
            samples: 100,
            seconds: 1.0,
            training_seconds: 0.9,
            data_wait_seconds: 0.0,
            skipped_steps: 0,
        };
        let svg = history_svg(&[record(1, 0.6), record(2, 0.8), record(3, 0.85)]).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.matches("<polyline").count() >= 3);
        assert!(svg.contains("validation AUC"));
        assert!(history_svg(&[record(1, 0.5)]).is_some());
    }
}
