//! What begins to leak at one evaluation and belongs to no living incident, sorted into incidents to be.
//!
//! One wave for each upstream; those that leak in the same way are one, because one mistake that meets several
//! upstreams is one incident. What is above zero and not convicted yet joins a wave and makes none.

use std::collections::{BTreeMap, BTreeSet};

use leak_detect::Timestamp;

use crate::diagnosis::{self, Cause, Context, Symptom};
use crate::incident::book::findings;
use crate::incident::{Curve, Family, Incident, IncidentId, Pace, Rank, Sighting, State, Witness};
use crate::labels::Labels;

/// Sightings that are one new incident.
pub(super) struct Wave<'a> {
    pub(super) family: Family,
    /// Empty where the incident is of the whole workload.
    pub(super) upstreams: BTreeSet<String>,
    pub(super) sightings: Vec<&'a Sighting>,
    cause: Cause,
}

impl<'a> Wave<'a> {
    /// Sorts sightings of one family and one workload.
    pub(super) fn sort(
        family: Family,
        sightings: Vec<&'a Sighting>,
        context: &dyn Fn(&BTreeSet<String>) -> Context,
    ) -> Vec<Self> {
        if sightings.is_empty() {
            return Vec::new();
        }
        let mut by_upstream: BTreeMap<Option<&str>, Vec<&'a Sighting>> = BTreeMap::new();
        for sighting in sightings {
            let upstream = sighting
                .upstream
                .as_deref()
                .filter(|_| family != Family::Process);
            by_upstream.entry(upstream).or_default().push(sighting);
        }
        let without_upstream = by_upstream.remove(&None).unwrap_or_default();
        let (convicted, suspected): (Vec<_>, Vec<_>) = by_upstream
            .into_iter()
            .map(|(upstream, sightings)| {
                let upstreams = upstream.map(str::to_owned).into_iter().collect();
                Self::new(family, upstreams, sightings, context)
            })
            .partition(|wave| wave.is_convicted());
        let mut waves: Vec<Self> = Vec::new();
        for wave in convicted {
            match waves.iter_mut().find(|own| own.is_alike(&wave)) {
                Some(own) => own.join(wave),
                None => waves.push(wave),
            }
        }
        for wave in suspected {
            if let Some(own) = waves.iter_mut().find(|own| own.is_alike(&wave)) {
                own.join(wave);
            }
        }
        match waves.as_mut_slice() {
            [only] => {
                let joined = Self::new(family, BTreeSet::new(), without_upstream, context);
                only.join(joined);
                only.cause = diagnose(family, &only.sightings, &only.upstreams, context);
            }
            _ => {
                let rest = Self::new(family, BTreeSet::new(), without_upstream, context);
                if rest.is_convicted() {
                    waves.push(rest);
                }
            }
        }
        waves
    }

    fn new(
        family: Family,
        upstreams: BTreeSet<String>,
        sightings: Vec<&'a Sighting>,
        context: &dyn Fn(&BTreeSet<String>) -> Context,
    ) -> Self {
        let cause = diagnose(family, &sightings, &upstreams, context);
        Self {
            family,
            upstreams,
            sightings,
            cause,
        }
    }

    fn is_convicted(&self) -> bool {
        self.sightings.iter().any(|own| own.is_convicted())
    }

    /// Whether it is carried by counts that are zero in a correct program.
    pub(super) fn is_exact(&self) -> bool {
        self.carriers().iter().any(|own| own.kind.is_exact())
    }

    fn rank(&self) -> Option<Rank> {
        self.sightings.iter().map(|own| own.rank()).min()
    }

    fn is_alike(&self, other: &Self) -> bool {
        self.cause == other.cause && self.rank() == other.rank()
    }

    fn join(&mut self, other: Self) {
        self.sightings.extend(other.sightings);
        self.upstreams.extend(other.upstreams);
    }

    /// The sightings that carry the incident; never empty in a wave that is convicted.
    fn carriers(&self) -> Vec<&'a Sighting> {
        let rank = self.rank();
        self.sightings
            .iter()
            .copied()
            .filter(|own| Some(own.rank()) == rank)
            .collect()
    }

    /// When its leak began: by the carrying series, where one of them is convicted. Those that they hold may have been
    /// opened long before they leaked, as a connection is.
    pub(super) fn onset(&self, now: Timestamp) -> Timestamp {
        let onset = |sightings: &[&Sighting]| {
            sightings
                .iter()
                .filter_map(|own| Some(own.evidence.as_ref()?.onset))
                .min()
        };
        onset(&self.carriers())
            .or_else(|| onset(&self.sightings))
            .unwrap_or(now)
    }

    /// Its carrier in words.
    pub(super) fn carrier_words(&self) -> String {
        self.carriers()
            .first()
            .map(|carrier| words(&carrier.signal, carrier.resource.as_deref()))
            .unwrap_or_default()
    }

    /// The incident that it makes, without instances and signals yet.
    pub(super) fn incident(&self, now: Timestamp, workload: &Labels) -> Incident {
        let carriers = self.carriers();
        let one = |value: fn(&Sighting) -> Option<&str>| {
            let values: BTreeSet<Option<&str>> = carriers.iter().map(|own| value(own)).collect();
            match values.into_iter().collect::<Vec<_>>().as_slice() {
                [Some(only)] => Some((*only).to_owned()),
                _ => None,
            }
        };
        let signal = carriers
            .iter()
            .map(|own| own.signal.to_string())
            .min()
            .unwrap_or_default();
        let mut incident = Incident {
            id: IncidentId::new(workload, self.family, &Labels::empty(), now),
            workload: workload.clone(),
            family: self.family,
            signal,
            resource: one(|own| own.resource.as_deref()),
            upstream: one(|own| own.upstream.as_deref()),
            route: one(|own| own.route.as_deref()),
            site: one(|own| own.site.as_deref()),
            cause: self.cause,
            state: State::Growing,
            onset: self.onset(now),
            convicted_at: now,
            active_since: now,
            ended_at: None,
            instances: BTreeMap::new(),
            evidence: findings::of(now, &carriers, &self.sightings),
            signals: Vec::new(),
            places: Vec::new(),
            witness: Witness::default(),
            witness_asked_at: None,
            urgent: None,
            ticket_only: false,
            silenced: false,
            timeline: Vec::new(),
            curve: Curve::default(),
            upstreams: self.upstreams.clone(),
            pace: pace(&carriers),
            returns: 0,
            failing_share_before: None,
            unlisted_since: None,
            over: false,
        };
        let mut leaking = incident.identity();
        if let [upstream, _, ..] = self.upstreams.iter().collect::<Vec<_>>().as_slice() {
            // Labels that are absent where several leak must not make two incidents one.
            leaking = leaking.with("first_upstream", upstream.as_str());
        }
        incident.id = IncidentId::new(workload, self.family, &leaking, now);
        let onset = incident.onset;
        incident.note(onset, "began, as well as can be told");
        incident.note(now, format!("convicted by {}", self.carrier_words()));
        incident
    }
}

fn diagnose(
    family: Family,
    sightings: &[&Sighting],
    upstreams: &BTreeSet<String>,
    context: &dyn Fn(&BTreeSet<String>) -> Context,
) -> Cause {
    let symptoms: Vec<Symptom<'_>> = sightings
        .iter()
        .map(|own| Symptom {
            kind: own.kind,
            resource: own.resource.as_deref(),
        })
        .collect();
    let undrained = sightings.iter().find_map(|own| Some(own.churn?.undrained));
    let context = match family {
        Family::Process => Context::default(),
        Family::Held | Family::Churn => Context {
            undrained,
            ..context(upstreams)
        },
    };
    diagnosis::diagnose(&symptoms, context)
}

/// How fast the carrying levels grow, on average over their instances.
fn pace(carriers: &[&Sighting]) -> Option<Pace> {
    let growths: Vec<f64> = carriers
        .iter()
        .filter(|own| own.kind.is_level())
        .filter_map(|own| Some(own.evidence.as_ref()?.growth_per_second.estimate))
        .collect();
    let loads = carriers.iter().filter_map(|own| own.load);
    let growth_per_second = growths.iter().sum::<f64>() / growths.len() as f64;
    (growth_per_second > 0.0).then_some(Pace {
        growth_per_second,
        load_per_second: loads.reduce(f64::max),
    })
}

/// A signal and its resource in words.
pub(super) fn words(signal: &str, resource: Option<&str>) -> String {
    match resource {
        Some(resource) => format!("{signal} of {resource}"),
        None => signal.to_owned(),
    }
}
