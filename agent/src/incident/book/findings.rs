//! The case of an incident, summed over the series that leak in it.

use std::collections::BTreeMap;

use leak_detect::{Evidence, Interval, Tier, Timestamp};

use crate::incident::{Exhaustion, Findings, Incident, LeakingSignal, Look, Rank, Sighting};

const NOTHING: Interval = Interval {
    low: 0.0,
    estimate: 0.0,
    high: 0.0,
};

/// The case made by the carrying series; where none of them is convicted yet, by the others.
pub(super) fn of(now: Timestamp, carriers: &[&Sighting], all: &[&Sighting]) -> Findings {
    let value = carriers.iter().map(|own| own.value).sum();
    let mut convicted: Vec<(&Sighting, &Evidence)> = cases(carriers);
    if convicted.is_empty() {
        convicted = cases(all);
    }
    // The line of the sum: every line taken at the latest of their beginnings.
    let start = convicted
        .iter()
        .map(|(_, case)| case.fit.start)
        .max()
        .unwrap_or(now);
    let worst = convicted
        .iter()
        .max_by(|a, b| a.0.value.total_cmp(&b.0.value));
    Findings {
        tier: worst.map_or(Tier::Exact, |(_, case)| case.tier),
        value,
        peak: value,
        growth_per_second: growth(&convicted),
        fit_start: start,
        fit_start_value: convicted
            .iter()
            .map(|(_, case)| case.fit.value_at(start))
            .sum(),
        fit_slope: convicted.iter().map(|(_, case)| case.fit.slope).sum(),
        samples: convicted.iter().map(|(_, case)| case.samples).sum(),
        scale_seconds: convicted
            .iter()
            .map(|(_, case)| case.scale_seconds)
            .fold(0.0, f64::max),
        ruled_out: worst
            .map(|(_, case)| {
                case.ruled_out
                    .iter()
                    .map(|own| (own.what.to_owned(), own.how.clone()))
                    .collect()
            })
            .unwrap_or_default(),
        exhaustion: exhaustion(all),
    }
}

fn cases<'a>(sightings: &[&'a Sighting]) -> Vec<(&'a Sighting, &'a Evidence)> {
    sightings
        .iter()
        .filter_map(|own| Some((*own, own.evidence.as_ref()?)))
        .collect()
}

fn growth(convicted: &[(&Sighting, &Evidence)]) -> Interval {
    convicted.iter().fold(NOTHING, |sum, (_, case)| Interval {
        low: sum.low + case.growth_per_second.low,
        estimate: sum.estimate + case.growth_per_second.estimate,
        high: sum.high + case.growth_per_second.high,
    })
}

/// What runs out first.
fn exhaustion(sightings: &[&Sighting]) -> Option<Exhaustion> {
    sightings
        .iter()
        .filter_map(|own| {
            let (signal, limit) = own.limit.as_ref()?;
            Some(Exhaustion {
                signal: signal.to_string(),
                instance: own.instance.to_string(),
                limit: *limit,
                seconds: own.seconds_to_exhaustion?,
            })
        })
        .min_by(|a, b| a.seconds.low.total_cmp(&b.seconds.low))
}

impl LeakingSignal {
    pub(super) fn new(now: Timestamp, sighting: &Sighting) -> Self {
        Self {
            signal: sighting.signal.to_string(),
            resource: sighting.resource.as_deref().map(str::to_owned),
            kind: sighting.kind,
            since: now,
            value: sighting.value,
            growth_per_second: NOTHING,
        }
    }

    pub(super) fn rank(&self) -> Rank {
        Rank::of(self.kind, self.resource.as_deref())
    }

    fn is_of(&self, sighting: &Sighting) -> bool {
        self.signal == *sighting.signal && self.resource.as_deref() == sighting.resource.as_deref()
    }
}

impl Incident {
    /// Renews the figures of the case and of every signal from what leaks now.
    pub(super) fn weigh(&mut self, now: Timestamp, sightings: &[&Sighting]) {
        for signal in &mut self.signals {
            let own: Vec<&Sighting> = sightings
                .iter()
                .copied()
                .filter(|own| signal.is_of(own))
                .collect();
            if own.is_empty() {
                continue;
            }
            signal.value = own.iter().map(|own| own.value).sum();
            signal.growth_per_second = growth(&cases(&own));
        }
        let carriers: Vec<&Sighting> = sightings
            .iter()
            .copied()
            .filter(|own| {
                let (resource, upstream) = (own.resource.as_deref(), own.upstream.as_deref());
                self.is_carried_by(&own.signal, resource, upstream)
            })
            .collect();
        // What is being let go of no longer says how fast it leaked.
        let holds = carriers.iter().any(|own| own.value > 0.0);
        if holds && carriers.iter().any(|own| own.is_convicted()) {
            let peak = self.evidence.peak;
            self.evidence = of(now, &carriers, sightings);
            self.evidence.peak = self.evidence.peak.max(peak);
        } else {
            self.evidence.exhaustion = exhaustion(sightings);
        }
    }

    /// Writes down what is held, from the looks of all targets.
    pub(super) fn measure(&mut self, looks: &[Look]) {
        let carried: BTreeMap<&str, f64> = looks
            .iter()
            .filter_map(|look| Some((&*look.target, look.carrier?)))
            .collect();
        let known = self
            .instances
            .keys()
            .any(|target| carried.contains_key(target.as_str()));
        let latest = looks.iter().map(|look| look.at).max();
        if !known {
            return;
        }
        self.evidence.value = self.instances.values().map(|instance| instance.value).sum();
        self.evidence.peak = self.evidence.peak.max(self.evidence.value);
        if self.evidence.value == 0.0
            && let Some(carrier) = self
                .signals
                .iter_mut()
                .find(|own| own.signal == self.signal)
        {
            carrier.value = 0.0;
        }
        if let Some(at) = latest {
            self.curve.push(at, self.evidence.value);
        }
    }
}
