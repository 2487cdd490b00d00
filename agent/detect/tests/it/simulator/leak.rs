//! What leaks, when, and on which instances.

use super::chance::Chance;
use super::load::Load;
use super::{DAY, Span};

/// How a workload leaks.
#[derive(Debug, Clone)]
pub(crate) struct Leak {
    pace: Pace,
    /// Seconds after the first sample.
    pub(crate) onset: f64,
    pub(crate) who: Who,
}

/// Which instances leak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Who {
    All,
    /// The first of so many.
    First(u32),
    /// Those that were started by the deploy at the onset.
    New,
}

#[derive(Debug, Clone)]
enum Pace {
    /// This share of all requests.
    Share(f64),
    /// So many at once, every so often.
    Timer { items: f64, every: f64 },
    /// This share of the requests, in outages at these times that last so long.
    Outages {
        share: f64,
        begins: Vec<f64>,
        lasts: f64,
    },
    /// This share of the requests, but none at night.
    ByDay(f64),
    /// So many a second, whatever is asked for.
    Even(f64),
}

impl Leak {
    /// A kind's, so that an instance that gets `rate` requests a second has leaked `whole` items at the end of the span, or
    /// of each of its `lives`; none of a healthy kind.
    pub(crate) fn of(
        kind: &str,
        chance: &mut Chance,
        span: Span,
        rate: f64,
        whole: f64,
        lives: f64,
    ) -> Option<Self> {
        let Span {
            seconds,
            interval_seconds,
            ..
        } = span;
        let (onset, who) = match kind {
            "from the start" | "restarted" | "rolled out" | "autoscaled" => (0.0, Who::All),
            "one of eight" => (chance.between(0.1, 0.4) * seconds, Who::First(1)),
            "two of twenty" => (chance.between(0.1, 0.4) * seconds, Who::First(2)),
            "all after a deploy" => (chance.between(0.1, 0.4) * seconds, Who::New),
            _ => (chance.between(0.1, 0.4) * seconds, Who::All),
        };
        let left = (seconds - onset) / lives;
        let share = (whole / (rate * left)).min(1.0);
        let pace = match kind {
            "each request" => Pace::Share(1.0),
            "some requests"
            | "from the start"
            | "restarted"
            | "rolled out"
            | "autoscaled"
            | "memory"
            | "memory under a collector"
            | "memory under generations"
            | "one of eight"
            | "all after a deploy" => Pace::Share(share),
            "timer" => {
                let every = (left / chance.between(30.0, 120.0)).max(interval_seconds);
                Pace::Timer {
                    items: whole * every / left,
                    every,
                }
            }
            "outages" => {
                let number = chance.whole(6, 14);
                let lasts = chance.between(0.005, 0.03) * left;
                let mut begins: Vec<f64> = (0..number)
                    .map(|_| onset + chance.between(0.0, 0.95) * left)
                    .collect();
                begins.push(onset);
                let leaking = lasts * (number + 1) as f64;
                Pace::Outages {
                    share: (whole / (rate * leaking)).min(1.0),
                    begins,
                    lasts,
                }
            }
            "by day" => Pace::ByDay((1.5 * share).min(1.0)),
            "descriptors" | "edge device" | "two of twenty" => Pace::Even(whole / left),
            _ => return None,
        };
        Some(Self { pace, onset, who })
    }

    /// What leaks in a step that ends now, in which so much arrived at one instance.
    pub(crate) fn items(
        &self,
        chance: &mut Chance,
        load: &Load,
        now: f64,
        step: f64,
        arrived: f64,
    ) -> f64 {
        if now < self.onset {
            return 0.0;
        }
        match &self.pace {
            Pace::Share(share) if *share >= 1.0 => arrived,
            Pace::Share(share) => chance.poisson(share * arrived),
            Pace::Timer { items, every } => {
                let due = (now / every).floor() - ((now - step) / every).floor();
                if due > 0.0 {
                    chance.poisson(items * due)
                } else {
                    0.0
                }
            }
            Pace::Outages {
                share,
                begins,
                lasts,
            } => {
                let out = begins
                    .iter()
                    .any(|begin| (*begin..*begin + *lasts).contains(&now));
                if out {
                    chance.poisson(share * arrived)
                } else {
                    0.0
                }
            }
            Pace::ByDay(_) if load.is_night(now) => 0.0,
            Pace::ByDay(share) => chance.poisson(share * arrived),
            Pace::Even(rate) => chance.poisson(rate * step),
        }
    }
}

/// How much leaks until the end: a few times what is usually held, or as much as machines and pools leak for weeks.
pub(crate) fn whole(kind: &str, chance: &mut Chance, span: Span, held: f64) -> f64 {
    match kind {
        // A few a day, on next to nothing: what a limit of 1024 kills after weeks.
        "descriptors" => chance.decades(40.0, 800.0),
        "edge device" => 1000.0 * (span.seconds / DAY).sqrt(),
        _ => (chance.decades(0.5, 30.0) * (2.0 + held)).max(30.0),
    }
}
