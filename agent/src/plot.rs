//! One series as a picture: what was measured, the fit drawn into the future, the limit it runs into, and the moments
//! that matter.
//!
//! Owns nothing but the drawing: values in, SVG text out, the same text for the same values, so that a picture can be
//! compared in a test and kept in a README. It refuses to extrapolate far beyond what was seen: a limit that is
//! further away than a few times the measured span is named in words. Drawn by plotters' SVG backend, which escapes
//! every text. Colours are light ones as attributes, and one style sheet inside the picture replaces them where the
//! reader prefers dark: the same file serves the page, a link and a README, without a script.

mod axis;
mod labels;
mod theme;

use plotters::prelude::*;

use crate::quantity::{Unit, duration, moment, time_of_day};

/// Two points may stand so many times as far apart as their neighbours do before something is missing between them.
const COARSER: f64 = 2.5;

/// What one bucket of history saw. Times in unix seconds, values in the series' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the bucket began.
    pub at: f64,
    /// Its least value: the lower envelope, which is judged, as a line of its own where it is not the value.
    pub low: f64,
    /// Its central value.
    pub value: f64,
    /// Its greatest value.
    pub high: f64,
}

impl Point {
    /// One value, and not a bucket.
    pub fn single(at: f64, value: f64) -> Self {
        Self {
            at,
            low: value,
            value,
            high: value,
        }
    }
}

/// A straight line: `start_value + slope * (t - start)`. Seconds and the series' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Where the fit begins, in unix seconds.
    pub start: f64,
    /// Its value there.
    pub start_value: f64,
    /// Growth per second.
    pub slope: f64,
}

impl Line {
    fn at(&self, time: f64) -> f64 {
        self.start_value + self.slope * (time - self.start)
    }

    /// When the line meets `value`, where it climbs.
    fn reaches(&self, value: f64) -> Option<f64> {
        let time = self.start + (value - self.start_value) / self.slope;
        (self.slope > 0.0 && time.is_finite()).then_some(time)
    }
}

/// A moment worth a mark, in unix seconds, with its word.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When, in unix seconds.
    pub at: f64,
    /// One or two words, such as `alert`.
    pub label: String,
}

/// Everything that the picture shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The first line of text; any text, it is escaped.
    pub title: String,
    /// The unit of the values.
    pub unit: Unit,
    /// History in order of time; may be empty.
    pub points: Vec<Point>,
    /// Longer than this between two points, in seconds, and the line is broken rather than invented.
    pub gap_seconds: f64,
    /// The detector's fit.
    pub fit: Option<Line>,
    /// The level at which the resource runs out.
    pub limit: Option<f64>,
    /// When something else runs out that the series holds as well, with its word, such as `descriptors run out`.
    pub exhaustion: Option<Mark>,
    /// Since when it leaks.
    pub onset: Option<f64>,
    /// By how many seconds that may be wrong, either way; zero where it is not known.
    pub onset_uncertainty: f64,
    /// Other moments: alert, restart, end.
    pub marks: Vec<Mark>,
    /// The present, in unix seconds: left of it is measured, right of it expected.
    pub now: f64,
}

/// How large the picture is, in pixels. Text keeps its size, so that a narrow picture is readable on a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// From 280 to 2,400.
    pub width: u32,
    /// From 180 to 1,600.
    pub height: u32,
}

impl Size {
    /// For a page.
    pub const WIDE: Self = Self {
        width: 960,
        height: 380,
    };
    /// For a phone.
    pub const NARROW: Self = Self {
        width: 400,
        height: 300,
    };

    /// The nearest size that can be drawn.
    pub fn clamped(self) -> Self {
        Self {
            width: self.width.clamp(280, 2_400),
            height: self.height.clamp(180, 1_600),
        }
    }
}

/// The picture could not be laid out; the message is the drawing library's.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub struct PlotError(String);

/// The plot as one SVG document.
pub fn svg(plot: &Plot, size: Size) -> Result<String, PlotError> {
    let size = size.clamped();
    let mut document = String::new();
    let frame = Frame::of(plot);
    {
        let root =
            SVGBackend::with_string(&mut document, (size.width, size.height)).into_drawing_area();
        draw(&root, plot, &frame, size).map_err(|error| PlotError(error.to_string()))?;
        root.present()
            .map_err(|error| PlotError(error.to_string()))?;
    }
    Ok(theme::dress(
        &document,
        &plot.title,
        &describe(plot, &frame),
    ))
}

/// The picture in one sentence, for those who cannot see it and for the page beneath it.
pub fn description(plot: &Plot) -> String {
    describe(plot, &Frame::of(plot))
}

/// What is in view.
struct Frame {
    from: f64,
    to: f64,
    top: f64,
    /// Where the fit meets the limit, if the limit is known and the fit climbs, whether in view or not.
    crossing: Option<f64>,
    limit_in_view: bool,
}

impl Frame {
    /// Whether a moment is in view.
    fn shows(&self, at: f64) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// How far to the right a moment stands: 0 to 1.
    fn share(&self, at: f64) -> f64 {
        (at - self.from) / (self.to - self.from)
    }

    fn of(plot: &Plot) -> Self {
        let first = plot
            .points
            .first()
            .map_or(plot.now - 60.0, |point| point.at);
        let from = match plot.onset {
            // Somewhat earlier than the onset, so that one sees that something begins.
            Some(onset) if onset <= first => onset - (plot.now - onset).max(10.0) * 0.06,
            _ => first,
        };
        let from = from.min(plot.now - 10.0);
        let seen = (plot.now - from).max(10.0);
        let crossing = plot
            .fit
            .zip(plot.limit)
            .and_then(|(fit, limit)| fit.reaches(limit))
            .filter(|crossing| *crossing > plot.now);
        let end = plot
            .exhaustion
            .as_ref()
            .map(|own| own.at)
            .filter(|at| *at > plot.now);
        let end = crossing.into_iter().chain(end).reduce(f64::min);
        let to = match (plot.fit, end) {
            (None, _) => plot.now + seen * 0.02,
            (Some(_), Some(end)) if end - plot.now <= 2.5 * seen => {
                plot.now + (end - plot.now) * 1.15
            }
            (Some(_), _) => plot.now + seen * 0.4,
        };
        let measured = plot
            .points
            .iter()
            .map(|point| point.high)
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max);
        let fitted = plot.fit.map_or(0.0, |fit| fit.at(to)).max(0.0);
        let highest = measured.max(fitted).max(1.0);
        let limit_in_view = plot.limit.is_some_and(|limit| limit <= highest * 1.6);
        let top = if limit_in_view {
            plot.limit.unwrap_or(0.0).max(highest)
        } else {
            highest
        } * 1.12;
        Self {
            from,
            to,
            top,
            crossing,
            limit_in_view,
        }
    }
}

fn describe(plot: &Plot, frame: &Frame) -> String {
    let mut text = String::new();
    match plot.points.last() {
        Some(last) => text.push_str(&format!(
            "{} at {} UTC",
            plot.unit.text(last.value),
            when(last.at, frame)
        )),
        None => text.push_str("No history yet"),
    }
    if let Some(fit) = plot.fit {
        text.push_str(&format!(", {}", plot.unit.growth(fit.slope)));
    }
    if let Some(onset) = plot.onset {
        text.push_str(&format!(", since {} UTC", when(onset, frame)));
    }
    match (plot.limit, frame.crossing) {
        (Some(limit), Some(crossing)) => text.push_str(&format!(
            "; the limit of {} would be met in {}",
            plot.unit.text(limit),
            duration(crossing - plot.now)
        )),
        (Some(limit), None) => text.push_str(&format!("; the limit is {}", plot.unit.text(limit))),
        (None, _) => {}
    }
    if let Some(exhaustion) = plot.exhaustion.as_ref().filter(|own| own.at > plot.now) {
        text.push_str(&format!(
            "; {} in {}",
            exhaustion.label,
            duration(exhaustion.at - plot.now)
        ));
    }
    text.push('.');
    text
}

/// A moment within the frame: with its day where the frame holds more than one.
fn when(at: f64, frame: &Frame) -> String {
    if frame.to - frame.from > 86_400.0 {
        let text = moment(at);
        text.strip_suffix(" UTC").unwrap_or(&text).to_owned()
    } else {
        time_of_day(at)
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<axis::Axis, axis::Axis>>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(root: &Area<'_>, plot: &Plot, frame: &Frame, size: Size) -> Drawn {
    root.fill(&theme::PAPER)?;
    let narrow = size.width < 600;
    let title_size = if narrow { 17 } else { 20 };
    root.draw(&Text::new(
        theme::shortened(&plot.title, size.width, title_size),
        (14, 12),
        theme::text(title_size, theme::INK),
    ))?;
    root.draw(&Text::new(
        theme::shortened(&describe(plot, frame), size.width, 15),
        (14, 36),
        theme::text(15, theme::QUIET),
    ))?;
    let times = axis::times(frame.from, frame.to, size.width / 110);
    let values = axis::values(frame.top, plot.unit, size.height / 60);
    let mut chart = ChartBuilder::on(root)
        .margin_top(62)
        .margin_right(18)
        .margin_bottom(8)
        .margin_left(8)
        .x_label_area_size(26)
        .y_label_area_size(if narrow { 58 } else { 72 })
        .build_cartesian_2d(
            axis::Axis::new(frame.from..frame.to, times.moments.clone()),
            axis::Axis::new(0.0..frame.top, values.clone()),
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(theme::GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(theme::GRID)
        .label_style(theme::text(14, theme::QUIET))
        .x_label_formatter(&|at| times.label(*at))
        .y_label_formatter(&|value| plot.unit.text(*value))
        .x_labels(times.moments.len().max(2))
        .y_labels(values.len().max(2))
        .draw()?;
    moments(&mut chart, plot, frame)?;
    // The measured line last: it is the truth, and the fit must not hide it.
    future(&mut chart, plot, frame, narrow)?;
    history(&mut chart, plot)?;
    // Labels last, so that no line runs through a letter.
    labels::draw(&mut chart, plot, frame)
}

/// Upright lines: since when, marks, now.
fn moments(chart: &mut Chart<'_, '_>, plot: &Plot, frame: &Frame) -> Drawn {
    let upright = |at: f64| [(at, 0.0), (at, frame.top)];
    if let Some(onset) = plot.onset.filter(|onset| *onset >= frame.from) {
        let early = (onset - plot.onset_uncertainty).max(frame.from);
        let late = (onset + plot.onset_uncertainty).min(frame.to);
        if plot.onset_uncertainty > 0.0 {
            chart.draw_series(std::iter::once(Rectangle::new(
                [(early, 0.0), (late, frame.top)],
                theme::ONSET.mix(0.12).filled(),
            )))?;
        }
        chart.draw_series(DashedLineSeries::new(
            upright(onset),
            3,
            4,
            theme::ONSET.stroke_width(1),
        ))?;
    }
    for mark in plot.marks.iter().filter(|mark| frame.shows(mark.at)) {
        chart.draw_series(DashedLineSeries::new(
            upright(mark.at),
            3,
            4,
            theme::QUIET.stroke_width(1),
        ))?;
    }
    if let Some(exhaustion) = plot.exhaustion.as_ref().filter(|own| frame.shows(own.at)) {
        chart.draw_series(DashedLineSeries::new(
            upright(exhaustion.at),
            5,
            4,
            theme::LIMIT.stroke_width(2),
        ))?;
    }
    chart.draw_series(LineSeries::new(
        upright(plot.now),
        theme::QUIET.stroke_width(1),
    ))?;
    Ok(())
}

/// The measured line, broken at gaps, within the band of each bucket's least and greatest value.
fn history(chart: &mut Chart<'_, '_>, plot: &Plot) -> Drawn {
    let finite = plot
        .points
        .iter()
        .filter(|point| point.low.is_finite() && point.value.is_finite() && point.high.is_finite());
    let finite: Vec<Point> = finite.copied().collect();
    for segment in segments(&finite, plot.gap_seconds) {
        let above = segment.iter().map(|point| (point.at, point.high.max(0.0)));
        let below = segment
            .iter()
            .rev()
            .map(|point| (point.at, point.low.max(0.0)));
        let band: Vec<(f64, f64)> = above.chain(below).collect();
        if segment.iter().any(|point| point.high > point.low) {
            chart.draw_series(std::iter::once(Polygon::new(
                band,
                theme::MEASURED.mix(0.18),
            )))?;
        }
        if segment.iter().any(|point| point.low < point.value) {
            let envelope = segment.iter().map(|point| (point.at, point.low.max(0.0)));
            chart.draw_series(LineSeries::new(envelope, theme::ENVELOPE.stroke_width(1)))?;
        }
        let line = segment.iter().map(|point| (point.at, point.value.max(0.0)));
        chart.draw_series(LineSeries::new(line, theme::MEASURED.stroke_width(2)))?;
        if let [lonely] = segment {
            chart.draw_series(std::iter::once(Circle::new(
                (lonely.at, lonely.value.max(0.0)),
                2,
                theme::MEASURED.filled(),
            )))?;
        }
    }
    Ok(())
}

/// The points between gaps. Old buckets are hours long: where the points before stand as far apart, nothing is missing.
fn segments(points: &[Point], gap_seconds: f64) -> Vec<&[Point]> {
    let apart: Vec<f64> = points
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    let mut segments = Vec::new();
    let mut begin = 0;
    // The first two have nobody before them: those after them say how far apart points stand.
    let mut usual = apart.get(1).copied().unwrap_or(0.0);
    for (index, apart) in apart.iter().enumerate() {
        if *apart > gap_seconds.max(usual * COARSER) {
            segments.push(&points[begin..=index]);
            begin = index + 1;
            usual = 0.0;
        } else {
            usual = *apart;
        }
    }
    segments.push(&points[begin..]);
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// The fit as far as it was measured, then dashed into the future; the limit; where they meet.
fn future(chart: &mut Chart<'_, '_>, plot: &Plot, frame: &Frame, narrow: bool) -> Drawn {
    if let Some(limit) = plot.limit.filter(|_| frame.limit_in_view) {
        chart.draw_series(LineSeries::new(
            [(frame.from, limit), (frame.to, limit)],
            theme::LIMIT.stroke_width(2),
        ))?;
    }
    let Some(fit) = plot.fit else { return Ok(()) };
    let clip = |from: f64, to: f64| {
        // A fit that starts below zero would be drawn over the axis.
        let zero = if fit.slope > 0.0 {
            fit.start - fit.start_value / fit.slope
        } else {
            from
        };
        let from = from.max(zero);
        (from < to).then(|| [(from, fit.at(from)), (to, fit.at(to))])
    };
    if let Some(seen) = clip(fit.start.max(frame.from), plot.now) {
        chart.draw_series(LineSeries::new(seen, theme::FIT.stroke_width(1)))?;
    }
    if let Some(expected) = clip(plot.now.max(fit.start), frame.to) {
        chart.draw_series(DashedLineSeries::new(
            expected,
            7,
            5,
            theme::FIT.stroke_width(2),
        ))?;
    }
    if let Some((crossing, limit)) = frame
        .crossing
        .zip(plot.limit)
        .filter(|(crossing, _)| *crossing <= frame.to)
    {
        chart.draw_series(std::iter::once(Circle::new(
            (crossing, limit),
            if narrow { 4 } else { 5 },
            theme::LIMIT.filled(),
        )))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
