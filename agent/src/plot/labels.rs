//! The words in the picture: at the moments that matter, at the limit, and where the fit meets it.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Chart, Drawn, Frame, Plot, theme};
use crate::quantity::duration;

/// Moments that have their word; more would cover the line.
const MARKS_NAMED: usize = 6;

/// A few words at a point.
struct Label {
    text: String,
    at: f64,
    value: f64,
    colour: RGBColor,
    vertical: VPos,
    /// Whether they end at the point, or begin there.
    before: bool,
}

pub(super) fn draw(chart: &mut Chart<'_, '_>, plot: &Plot, frame: &Frame) -> Drawn {
    for label in moment_labels(plot, frame)
        .into_iter()
        .chain(limit_labels(plot, frame))
    {
        // A no-break space keeps the words off the line that they belong to.
        let (text, horizontal) = match label.before {
            true => (format!("{}\u{a0}", label.text), HPos::Right),
            false => (format!("\u{a0}{}", label.text), HPos::Left),
        };
        let style = theme::text(14, label.colour).pos(Pos::new(horizontal, label.vertical));
        chart.draw_series(std::iter::once(Text::new(
            text,
            (label.at, label.value),
            style,
        )))?;
    }
    Ok(())
}

fn moment_labels(plot: &Plot, frame: &Frame) -> Vec<Label> {
    // Each upright line has a row of its own, so that neighbours do not write over one another.
    let row = |index: usize| frame.top * (1.0 - 0.07 * index as f64);
    let mut labels = Vec::new();
    if let Some(onset) = plot.onset.filter(|onset| *onset >= frame.from) {
        labels.push(Label {
            text: format!("since {}", super::when(onset, frame)),
            at: onset,
            value: row(0),
            colour: theme::ONSET,
            vertical: VPos::Top,
            // What follows an onset stands to its right: its own words stand to its left where there is room.
            before: frame.share(onset) > 0.2,
        });
    }
    let visible = plot.marks.iter().filter(|mark| frame.shows(mark.at));
    labels.extend(
        visible
            .take(MARKS_NAMED)
            .enumerate()
            .map(|(index, mark)| Label {
                text: theme::printable(&mark.label),
                at: mark.at,
                value: row(index + 1),
                colour: theme::QUIET,
                vertical: VPos::Top,
                before: frame.share(mark.at) > 0.8,
            }),
    );
    if let Some(exhaustion) = plot.exhaustion.as_ref().filter(|own| frame.shows(own.at)) {
        labels.push(Label {
            text: theme::printable(&exhaustion.label),
            at: exhaustion.at,
            value: row(0),
            colour: theme::LIMIT,
            vertical: VPos::Top,
            before: true,
        });
    }
    if plot.fit.is_some() {
        labels.push(Label {
            text: "now".to_owned(),
            at: plot.now,
            value: 0.0,
            colour: theme::QUIET,
            vertical: VPos::Bottom,
            before: true,
        });
    }
    labels
}

fn limit_labels(plot: &Plot, frame: &Frame) -> Vec<Label> {
    let Some(limit) = plot.limit else {
        return Vec::new();
    };
    let text = format!("limit {}", plot.unit.text(limit));
    let label = |text: String, at: f64, value: f64, vertical: VPos, before: bool| Label {
        text,
        at,
        value,
        colour: theme::LIMIT,
        vertical,
        before,
    };
    if !frame.limit_in_view {
        return vec![label(
            format!("\u{2191} {text}"),
            frame.to,
            frame.top,
            VPos::Top,
            true,
        )];
    }
    let crossing = frame.crossing.filter(|crossing| *crossing <= frame.to);
    let mut moments = plot
        .onset
        .into_iter()
        .chain(plot.marks.iter().map(|mark| mark.at));
    let is_crowded = moments.any(|at| (0.0..0.25).contains(&frame.share(at)));
    let mut labels = vec![if is_crowded && crossing.is_none() {
        label(text, frame.to, limit, VPos::Bottom, true)
    } else {
        label(text, frame.from, limit, VPos::Bottom, false)
    }];
    if let Some(crossing) = crossing {
        let text = format!("runs out in {}", duration(crossing - plot.now));
        labels.push(label(text, crossing, limit, VPos::Bottom, true));
    }
    labels
}
