//! What the agent thinks of the series it watches.

use std::collections::BTreeMap;

use leak_detect::{Undecided, Verdict};

use crate::agent::Seen;
use crate::engine::SeriesView;
use crate::labels::Labels;
use crate::telemetry::beside;
use crate::telemetry::text::{Exposition, Kind};

/// What is exported of one series while it is not healthy.
struct Suspect {
    labels: Labels,
    verdict: f64,
    growth_per_second: f64,
    fit_start_value: f64,
    fit_start: f64,
    onset: f64,
    limit: Option<f64>,
    seconds_to_exhaustion: Option<f64>,
}

pub(super) fn write(exposition: &mut Exposition, seen: &Seen<'_>) {
    let mut counts: BTreeMap<(&str, &str), [u64; 3]> = BTreeMap::new();
    let mut suspects = Vec::new();
    for series in seen.engine.series() {
        let verdict = series.verdict();
        let index = match verdict {
            Verdict::Healthy => 0,
            Verdict::Undecided(_) => 1,
            Verdict::Leaking(_) => 2,
        };
        let target = series.target();
        let job = target.labels.get("job").unwrap_or(&target.job);
        counts.entry((job, series.signal())).or_default()[index] += 1;
        suspects.extend(suspect(&series, &verdict));
    }
    // The engine keeps series in no order; an exposition that is read twice should not be shuffled.
    suspects.sort_by(|one, other| one.labels.cmp(&other.labels));
    let mut family = exposition.family(
        "leak_series",
        Kind::Gauge,
        "Watched series by the detector's verdict: healthy, undecided or leaking.",
    );
    for ((job, signal), numbers) in counts {
        for (verdict, number) in ["healthy", "undecided", "leaking"].into_iter().zip(numbers) {
            family.sample(
                [("job", job), ("signal", signal), ("verdict", verdict)],
                number as f64,
            );
        }
    }
    write_suspects(exposition, &suspects);
}

/// What is known of a series that is neither healthy nor still being learned.
fn suspect(series: &SeriesView<'_>, verdict: &Verdict) -> Option<Suspect> {
    let labels = beside(series.labels(), &[("signal", series.signal())]);
    let limit = series.limit();
    match verdict {
        Verdict::Healthy
        | Verdict::Undecided(Undecided::Learning { .. } | Undecided::Restarted { .. }) => None,
        Verdict::Undecided(Undecided::Growing(growth)) => Some(Suspect {
            labels,
            verdict: 1.0,
            growth_per_second: growth.growth_per_second.estimate,
            fit_start_value: growth.fit.start_value,
            fit_start: growth.fit.start.seconds(),
            onset: growth.onset.seconds(),
            limit,
            seconds_to_exhaustion: None,
        }),
        Verdict::Leaking(evidence) => Some(Suspect {
            labels,
            verdict: 2.0,
            growth_per_second: evidence.growth_per_second.estimate,
            fit_start_value: evidence.fit.start_value,
            fit_start: evidence.fit.start.seconds(),
            onset: evidence.onset.seconds(),
            limit,
            seconds_to_exhaustion: series
                .seconds_to_exhaustion()
                .map(|seconds| seconds.estimate),
        }),
    }
}

fn write_suspects(exposition: &mut Exposition, suspects: &[Suspect]) {
    type Value = fn(&Suspect) -> Option<f64>;
    let families: [(&str, &str, Value); 7] = [
        (
            "leak_verdict",
            "What the detector says of a series that is not healthy: 1 undecided, 2 leaking.",
            |own| Some(own.verdict),
        ),
        (
            "leak_growth_per_second",
            "Growth of a series that is not healthy, in its own unit per second.",
            |own| Some(own.growth_per_second),
        ),
        (
            "leak_fit_start_value",
            "Value of the fitted line where it begins, in the series' own unit.",
            |own| Some(own.fit_start_value),
        ),
        (
            "leak_fit_start_timestamp_seconds",
            "When the fitted line begins, in unix seconds.",
            |own| Some(own.fit_start),
        ),
        (
            "leak_onset_timestamp_seconds",
            "Since when a series grows, in unix seconds.",
            |own| Some(own.onset),
        ),
        (
            "leak_limit",
            "The value at which the resource runs out, in the series' own unit.",
            |own| own.limit,
        ),
        (
            "leak_seconds_to_exhaustion",
            "Seconds until a leaking series reaches its limit, at its present growth.",
            |own| own.seconds_to_exhaustion,
        ),
    ];
    for (name, help, value) in families {
        let mut family = exposition.family(name, Kind::Gauge, help);
        for suspect in suspects {
            if let Some(value) = value(suspect) {
                family.sample(suspect.labels.iter(), value);
            }
        }
    }
}
