//! The result for people: one row for each incident that would have been told, and what it rests on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use leak_detect::Timestamp;

use crate::incident::IncidentId;
use crate::labels::Labels;
use crate::quantity::{Unit, count, duration, moment};
use crate::replay::VerdictLine;

/// Incidents that were told, in the order in which they first were.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    by_incident: BTreeMap<IncidentId, usize>,
}

#[derive(Debug)]
struct Row {
    workload: String,
    signal: String,
    cause: &'static str,
    onset: f64,
    fired_at: f64,
    paged: bool,
    growth: String,
    runs_out: Option<f64>,
    ended: Option<(f64, &'static str)>,
}

/// What a table rests on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Basis {
    pub(super) series: usize,
    pub(super) targets: usize,
    pub(super) samples: u64,
    pub(super) span: Option<(Timestamp, Timestamp)>,
    pub(super) tickets_per_year: f64,
    pub(super) divisor: u64,
    /// Judged series, and whether that is `--series`.
    pub(super) watched: (u64, bool),
}

const HEADINGS: [&str; 8] = [
    "workload", "signal", "cause", "since", "fired", "growth", "runs out", "ended",
];

impl Rows {
    /// Takes up what became of an alert.
    pub(super) fn take(&mut self, line: &VerdictLine) {
        let signal = line.labels.get("__name__").cloned().unwrap_or_default();
        let place = match self.by_incident.get(&line.incident) {
            Some(place) => *place,
            None => {
                let others = line.labels.iter().filter(|(name, _)| *name != "__name__");
                let workload: Labels = others
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                self.rows.push(Row {
                    workload: workload.to_string(),
                    signal: signal.clone(),
                    cause: line.cause,
                    onset: line.onset,
                    fired_at: line.at,
                    paged: false,
                    growth: String::new(),
                    runs_out: None,
                    ended: None,
                });
                let place = self.rows.len() - 1;
                self.by_incident.insert(line.incident.clone(), place);
                place
            }
        };
        let row = &mut self.rows[place];
        let is_firing = line.state == "firing";
        row.cause = line.cause;
        row.paged |= is_firing && line.is_page;
        if is_firing || row.growth.is_empty() {
            row.growth = Unit::of_metric(&signal).growth(line.growth_per_second);
            row.runs_out = line.seconds_to_exhaustion.map(|seconds| line.at + seconds);
        }
        row.ended = line.ended.map(|word| (line.at, word));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The table, with a line's end after each row; nothing without rows.
    pub(super) fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let cells: Vec<[String; 8]> = std::iter::once(HEADINGS.map(str::to_owned))
            .chain(self.rows.iter().map(Row::cells))
            .collect();
        let width = |column: usize| {
            let lengths = cells.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
        let mut text = String::new();
        for row in &cells {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:<width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Row {
    fn cells(&self) -> [String; 8] {
        let fired = moment(self.fired_at);
        [
            self.workload.clone(),
            self.signal.clone(),
            self.cause.to_owned(),
            moment(self.onset),
            if self.paged {
                format!("{fired}, paged")
            } else {
                fired
            },
            self.growth.clone(),
            self.runs_out.map_or_else(|| "\u{2013}".to_owned(), moment),
            match self.ended {
                Some((at, word)) => format!("{word} {}", moment(at)),
                None => "no".to_owned(),
            },
        ]
    }
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        count(number as f64),
        if number == 1 { one } else { many }
    )
}

impl Basis {
    /// What the result rests on, in two sentences.
    pub(super) fn text(&self, incidents: usize) -> String {
        let fired = match incidents {
            0 => "Nothing would have fired".to_owned(),
            1 => "1 incident would have been told".to_owned(),
            many => format!("{} incidents would have been told", count(many as f64)),
        };
        let span = self.span.map_or_else(String::new, |(first, last)| {
            format!(
                " over {}, from {} to {}",
                duration(last - first),
                moment(first.seconds()),
                moment(last.seconds())
            )
        });
        let (watched, is_given) = self.watched;
        let whence = if is_given {
            "given by --series".to_owned()
        } else {
            "those judged here".to_owned()
        };
        format!(
            "{fired}. Seen: {} of {}, {}{span}; \
             the budget of {} false tickets a year is divided by {} ({}, {whence}, rounded up).\n",
            counted(self.series as u64, "series", "series"),
            counted(self.targets as u64, "target", "targets"),
            counted(self.samples, "sample", "samples"),
            count(self.tickets_per_year),
            count(self.divisor as f64),
            counted(watched, "series", "series"),
        )
    }
}
