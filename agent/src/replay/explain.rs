//! The whole reasoning about some series of a history: every change of their verdicts with its reasons, the lives of
//! their processes, and a picture.
//!
//! It listens while a history is played and asks the engine after every sample of the series that are meant. What it
//! keeps is bounded: a few series, the first and the last changes of each, and a picture's worth of values.

mod series;

use std::fmt::Write as _;

use crate::alert::AlertName;
use crate::catalogue::{Catalogue, Role};
use crate::engine::Engine;
use crate::history::selector::Selector;
use crate::history::{Series, SeriesIndex, SeriesTable, Slice};
use crate::incident::Incident;
use crate::plot::{self, PlotError, Size};
use crate::quantity::{count, moment};
use crate::replay::explain::series::Explained;
use crate::replay::{Player, VerdictLine};

/// The most series that are explained at once.
const MOST_SERIES: usize = 20;

/// Explains series while a history is played.
#[derive(Debug)]
pub(super) struct Explainer {
    selector: Selector,
    /// By the place of a series in its table: which of the explained it is.
    places: Vec<Option<usize>>,
    explained: Vec<Explained>,
    /// Series that match and are not judged, or are too many.
    unjudged: usize,
    left_out: usize,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The selector meets no series that is judged, or several.
    #[error("--svg draws one series, and the selector meets {0}: name it with its labels")]
    NotOne(usize),
    /// It could not be laid out.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

impl Explainer {
    pub(super) fn new(selector: Selector) -> Self {
        Self {
            selector,
            places: Vec::new(),
            explained: Vec::new(),
            unjudged: 0,
            left_out: 0,
        }
    }

    /// Takes in what a slice showed of the explained series, after it was played.
    pub(super) fn take(
        &mut self,
        player: &Player,
        catalogue: &Catalogue,
        table: &SeriesTable,
        slice: &Slice,
    ) {
        for place in self.places.len()..table.len() {
            let own = self.meet(player, catalogue, table, SeriesIndex(place as u32));
            self.places.push(own);
        }
        for (series, value) in &slice.samples {
            let place = self.places.get(series.0 as usize).copied().flatten();
            if let Some(own) = place.and_then(|place| self.explained.get_mut(place)) {
                own.take(player.engine(), slice.at, *value);
            }
        }
    }

    fn meet(
        &mut self,
        player: &Player,
        catalogue: &Catalogue,
        table: &SeriesTable,
        index: SeriesIndex,
    ) -> Option<usize> {
        let series = table.get(index)?;
        if !self.selector.matches(&series.name, &series.labels) {
            return None;
        }
        let role = catalogue.role(&series.name, &series.labels);
        if !matches!(role, Some(Role::Exact(_) | Role::Level(_))) {
            self.unjudged += 1;
            return None;
        }
        if self.explained.len() >= MOST_SERIES {
            self.left_out += 1;
            return None;
        }
        let target = player.target_of(index)?;
        let known_as = Series {
            labels: player.labels_of(&series.name, &series.labels),
            ..series.clone()
        };
        self.explained
            .push(Explained::new(known_as, target.labels.clone()));
        Some(self.explained.len() - 1)
    }

    /// Everything in words.
    pub(super) fn text(&self, engine: &Engine, lines: &[VerdictLine]) -> String {
        let mut text = String::new();
        for own in &self.explained {
            text.push('\n');
            text.push_str(&own.text());
            let workload = own.workload(engine);
            for incident in engine
                .incidents()
                .filter(|incident| workload.as_ref() == Some(&incident.workload))
            {
                text.push_str(&of_incident(incident, lines));
            }
        }
        // Writing to a String cannot fail.
        if self.explained.is_empty() {
            let _ = writeln!(
                text,
                "\nNo judged series of this history matches ({} others do).",
                count(self.unjudged as f64)
            );
        }
        if self.left_out > 0 {
            let _ = writeln!(
                text,
                "\n{} more series match: name fewer to see them.",
                count(self.left_out as f64)
            );
        }
        text
    }

    /// The picture of the one explained series.
    pub(super) fn svg(&self, lines: &[VerdictLine]) -> Result<String, PictureError> {
        let [only] = self.explained.as_slice() else {
            return Err(PictureError::NotOne(self.explained.len() + self.left_out));
        };
        Ok(plot::svg(&only.plot(lines), Size::WIDE)?)
    }
}

fn of_incident(incident: &Incident, lines: &[VerdictLine]) -> String {
    let mut text = format!(
        "  incident {} of {}: {}, {}\n",
        incident.id,
        incident.workload,
        incident.signal,
        incident.state.word()
    );
    let mut moments: Vec<(f64, String)> = incident
        .timeline
        .iter()
        .map(|own| (own.at.seconds(), own.what.clone()))
        .collect();
    for line in lines.iter().filter(|line| line.incident == incident.id) {
        let name = line.alertname;
        let what = match line.state {
            "firing" if name == AlertName::ResourceLeakUrgent.word() => "pages",
            "firing" => "fires",
            _ => "is resolved",
        };
        moments.push((line.at, format!("{name} {what}")));
    }
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    for (at, what) in moments {
        let _ = writeln!(text, "    {}  {what}", moment(at));
    }
    text
}
