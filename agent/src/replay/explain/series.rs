//! One explained series: what its detector said and when, and what it looked like.

use std::fmt::Write as _;

use leak_detect::{Evidence, Interval, Timestamp, Undecided, Verdict};

use crate::engine::Engine;
use crate::history::Series;
use crate::labels::Labels;
use crate::plot::{Line, Mark, Plot, Point};
use crate::quantity::{Unit, count, duration, moment};
use crate::replay::VerdictLine;

/// Changes that are kept: the first so many, and the last so many.
const CHANGES: usize = 100;

/// Points of a picture.
const POINTS: usize = 720;

/// What happened to one series.
#[derive(Debug)]
pub(super) struct Explained {
    series: Series,
    target: Labels,
    first: Vec<(Timestamp, String)>,
    last: Vec<(Timestamp, String)>,
    /// Changes that were neither among the first nor among the last.
    dropped: usize,
    /// What kind of verdict it was last, so that figures that move alone are no change.
    saying: String,
    case: Option<Evidence>,
    limit: Option<f64>,
    /// Beginnings of its process' lives.
    lives: Vec<Timestamp>,
    samples: u64,
    span: Option<(Timestamp, Timestamp)>,
    value: f64,
    history: Thinning,
}

/// Values over time, in a bounded number of buckets that widen as time passes.
#[derive(Debug, Default)]
struct Thinning {
    points: Vec<(Point, f64)>,
    bucket_seconds: f64,
}

impl Thinning {
    fn push(&mut self, at: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        match self.points.last_mut() {
            Some((point, values)) if at - point.at < self.bucket_seconds => {
                point.low = point.low.min(value);
                point.high = point.high.max(value);
                point.value = (point.value * *values + value) / (*values + 1.0);
                *values += 1.0;
            }
            _ => self.points.push((Point::single(at, value), 1.0)),
        }
        if self.points.len() > POINTS {
            let span = at - self.points[0].0.at;
            self.bucket_seconds = (self.bucket_seconds * 2.0).max(2.0 * span / POINTS as f64);
            let old = std::mem::take(&mut self.points);
            for (point, values) in old {
                self.merge(point, values);
            }
        }
    }

    fn merge(&mut self, point: Point, values: f64) {
        match self.points.last_mut() {
            Some((own, count)) if point.at - own.at < self.bucket_seconds => {
                own.low = own.low.min(point.low);
                own.high = own.high.max(point.high);
                own.value = (own.value * *count + point.value * values) / (*count + values);
                *count += values;
            }
            _ => self.points.push((point, values)),
        }
    }
}

impl Explained {
    pub(super) fn new(series: Series, target: Labels) -> Self {
        Self {
            series,
            target,
            first: Vec::new(),
            last: Vec::new(),
            dropped: 0,
            saying: String::new(),
            case: None,
            limit: None,
            lives: Vec::new(),
            samples: 0,
            span: None,
            value: 0.0,
            history: Thinning::default(),
        }
    }

    /// Takes a sample, after the engine has.
    pub(super) fn take(&mut self, engine: &Engine, at: Timestamp, value: f64) {
        self.samples += 1;
        self.span = Some((self.span.map_or(at, |(first, _)| first), at));
        self.value = value;
        self.history.push(at.seconds(), value);
        let view = engine.one_series(&self.target, &self.series.name, &self.series.labels);
        let Some(view) = view else {
            return;
        };
        if let Some(began) = view.life_began()
            && self.lives.last().is_none_or(|last| *last < began)
            && self.lives.len() < CHANGES
        {
            self.lives.push(began);
        }
        self.limit = view.limit();
        let verdict = view.verdict();
        let saying = saying(&verdict);
        let is_new = saying != self.saying;
        if is_new {
            let text = sentences(&verdict, self.unit(), value, self.limit);
            if self.first.len() < CHANGES {
                self.first.push((at, text));
            } else {
                if self.last.len() >= CHANGES {
                    self.last.remove(0);
                    self.dropped += 1;
                }
                self.last.push((at, text));
            }
            self.saying = saying;
        }
        self.case = match verdict {
            Verdict::Leaking(case) => Some(case),
            Verdict::Healthy | Verdict::Undecided(_) => None,
        };
    }

    fn unit(&self) -> Unit {
        Unit::of_metric(&self.series.name)
    }

    pub(super) fn workload(&self, engine: &Engine) -> Option<Labels> {
        let mut targets = engine.targets();
        let own = targets.find(|own| own.target().labels == self.target)?;
        Some(own.workload().clone())
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}{}\n", self.series.name, self.series.labels);
        // Writing to a String cannot fail.
        let Some((first, last)) = self.span else {
            return text;
        };
        let _ = writeln!(
            text,
            "  {} samples from {} to {}, {} of the process; at the end {}",
            count(self.samples as f64),
            moment(first.seconds()),
            moment(last.seconds()),
            match self.lives.len() {
                0 | 1 => "one life".to_owned(),
                many => format!("{many} lives"),
            },
            self.unit().text(self.value)
        );
        for (at, what) in &self.first {
            let _ = writeln!(text, "  {}  {what}", moment(at.seconds()));
        }
        if self.dropped > 0 {
            let _ = writeln!(text, "  … {} changes …", count(self.dropped as f64));
        }
        for (at, what) in &self.last {
            let _ = writeln!(text, "  {}  {what}", moment(at.seconds()));
        }
        if let Some(case) = &self.case {
            let now = leaking(case, self.unit(), self.value, self.limit);
            let _ = writeln!(text, "  {}  at the end: {now}", moment(last.seconds()));
        }
        text
    }

    pub(super) fn plot(&self, lines: &[VerdictLine]) -> Plot {
        let points: Vec<Point> = self
            .history
            .points
            .iter()
            .map(|(point, _)| *point)
            .collect();
        let now = self.span.map_or(0.0, |(_, last)| last.seconds());
        let usual = self.span.map_or(0.0, |(first, last)| {
            (last - first) / (self.samples.max(2) - 1) as f64
        });
        let restarts = self.lives.iter().skip(1).map(|began| Mark {
            at: began.seconds(),
            label: "restart".to_owned(),
        });
        let alerts = lines
            .iter()
            .filter(|line| self.is_of(line))
            .map(|line| Mark {
                at: line.at,
                label: match line.state {
                    "firing" if line.is_page => "page".to_owned(),
                    "firing" => "alert".to_owned(),
                    _ => "end".to_owned(),
                },
            });
        Plot {
            title: format!("{}{}", self.series.name, self.series.labels),
            unit: self.unit(),
            gap_seconds: 3.0 * usual.max(self.history.bucket_seconds),
            points,
            fit: self.case.as_ref().map(|case| Line {
                start: case.fit.start.seconds(),
                start_value: case.fit.start_value,
                slope: case.fit.slope,
            }),
            limit: self.limit,
            exhaustion: None,
            onset: self.case.as_ref().map(|case| case.onset.seconds()),
            onset_uncertainty: self
                .case
                .as_ref()
                .map_or(0.0, |case| case.onset_uncertainty_seconds),
            marks: alerts.chain(restarts).collect(),
            now,
        }
    }

    /// Whether an alert is about this series.
    fn is_of(&self, line: &VerdictLine) -> bool {
        let label = |name: &str| self.target.get(name).unwrap_or_default();
        line.labels
            .get("__name__")
            .is_some_and(|name| **name == *self.series.name)
            && line.instances.iter().any(|own| own == label("instance"))
            && line.labels.get("job").is_none_or(|job| job == label("job"))
    }
}

/// What kind of verdict it is.
fn saying(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Healthy => "healthy".to_owned(),
        Verdict::Leaking(case) => format!("leaking {}", case.still_growing),
        Verdict::Undecided(Undecided::Learning { .. }) => "learning".to_owned(),
        Verdict::Undecided(Undecided::Restarted { at }) => format!("restarted {}", at.millis()),
        Verdict::Undecided(Undecided::Growing(growth)) => format!("growing {}", growth.standing),
    }
}

fn sentences(verdict: &Verdict, unit: Unit, value: f64, limit: Option<f64>) -> String {
    match verdict {
        Verdict::Healthy => "healthy: nothing grows that matters".to_owned(),
        Verdict::Undecided(Undecided::Learning { .. }) => {
            "learning: too few samples in this life to say anything".to_owned()
        }
        Verdict::Undecided(Undecided::Restarted { at }) => format!(
            "restarted at {}: the life before was convicted, this one is too young to be acquitted",
            moment(at.seconds())
        ),
        Verdict::Undecided(Undecided::Growing(growth)) => format!(
            "grows since {} by {}, and may be innocent: {}: {}",
            moment(growth.onset.seconds()),
            bounds(growth.growth_per_second, unit),
            growth.standing,
            growth.why
        ),
        Verdict::Leaking(case) => leaking(case, unit, value, limit),
    }
}

/// A case with all that makes it one.
fn leaking(case: &Evidence, unit: Unit, value: f64, limit: Option<f64>) -> String {
    let mut text = format!(
        "leaks since {} (± {}), {}: {}; {} above {}, seen over {} in {} samples",
        moment(case.onset.seconds()),
        duration(case.onset_uncertainty_seconds),
        if case.still_growing {
            "and grows"
        } else {
            "held, not growing"
        },
        bounds(case.growth_per_second, unit),
        unit.text(case.excess),
        unit.text(case.baseline),
        duration(case.scale_seconds),
        count(case.samples as f64),
    );
    // Writing to a String cannot fail.
    if let Some(limit) = limit {
        let _ = write!(text, "; of {}", unit.text(limit));
        if let Some(left) = case.seconds_to(value, limit) {
            let _ = write!(
                text,
                ", which is reached in {} (not before {})",
                duration(left.estimate),
                duration(left.low)
            );
        }
    }
    for own in &case.ruled_out {
        let _ = write!(text, "\n      not {}: {}", own.what, own.how);
    }
    text
}

fn bounds(growth: Interval, unit: Unit) -> String {
    format!(
        "{} (between {} and {})",
        unit.growth(growth.estimate),
        unit.growth(growth.low),
        unit.growth(growth.high)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_stays_small_and_keeps_its_extremes() {
        let mut history = Thinning::default();
        for second in 0..100_000 {
            let value = if second == 77_777 { 500.0 } else { 10.0 };
            history.push(f64::from(second), value);
        }
        assert!(
            (POINTS / 3..=POINTS).contains(&history.points.len()),
            "{}",
            history.points.len()
        );
        let highest = history
            .points
            .iter()
            .map(|(point, _)| point.high)
            .fold(0.0, f64::max);
        assert_eq!(highest, 500.0);
        let values: f64 = history.points.iter().map(|(_, values)| values).sum();
        assert_eq!(values, 100_000.0);
        history.push(f64::NAN, f64::NAN);
        assert!(
            history
                .points
                .iter()
                .all(|(point, _)| point.value.is_finite())
        );
    }
}
