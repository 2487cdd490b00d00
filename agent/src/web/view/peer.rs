//! The instances of a leaking workload beside each other: who leaks, who does not, who cannot be seen, who was restarted.

use leak_detect::{Timestamp, Undecided, Verdict};

use crate::agent::Seen;
use crate::engine::{SeriesView, TargetView};
use crate::incident::{End, Incident};

/// Restarts of a workload's instances that lie so close, in seconds, are one rollout.
const ROLLOUT_SECONDS: f64 = 900.0;

/// One instance of the workload.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::web) struct PeerView {
    /// The label `instance`.
    pub(in crate::web) instance: String,
    /// What it holds of the carrying signal; `None` where it does not expose it.
    pub(in crate::web) value: Option<f64>,
    /// When its process began, as far as that is known.
    pub(in crate::web) life_began: Option<Timestamp>,
    /// How it stands.
    pub(in crate::web) standing: Standing,
}

/// How an instance stands, the worst first.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::web) enum Standing {
    /// It leaks, since then.
    Leaks(Timestamp),
    /// It leaked, and how that ended.
    Cleared(End),
    /// It cannot be scraped.
    Down,
    /// It grows, and why that may be innocent.
    Undecided(String),
    /// Too few samples.
    Learning,
    /// Judged, and it does not leak.
    Healthy,
    /// It does not expose the signal.
    Silent,
}

impl Standing {
    fn rank(&self) -> u8 {
        match self {
            Self::Leaks(_) => 0,
            Self::Cleared(_) => 1,
            Self::Down => 2,
            Self::Undecided(_) => 3,
            Self::Learning => 4,
            Self::Healthy => 5,
            Self::Silent => 6,
        }
    }
}

/// Whether a series is of the kind that carries the incident.
pub(super) fn carries(incident: &Incident, series: &SeriesView<'_>) -> bool {
    let is = |name: &str, wanted: &Option<String>| {
        wanted.is_none() || series.labels().get(name) == wanted.as_deref()
    };
    series.signal() == incident.signal
        && is("resource", &incident.resource)
        && is("upstream", &incident.upstream)
        && is("route", &incident.route)
}

/// All instances of the incident's workload, those that leak first; those of it that are no longer listed among them.
pub(super) fn peers(seen: &Seen<'_>, incident: &Incident) -> Vec<PeerView> {
    let of_workload = |own: &TargetView<'_>| {
        *own.workload() == incident.workload
            || incident
                .instances
                .contains_key(&own.target().labels.to_string())
    };
    let mut peers: Vec<PeerView> = seen
        .engine
        .targets()
        .filter(of_workload)
        .map(|own| peer(incident, &own))
        .collect();
    let listed: Vec<String> = peers.iter().map(|own| own.instance.clone()).collect();
    let unlisted = incident
        .instances
        .values()
        .filter(|own| !listed.contains(&own.instance));
    peers.extend(unlisted.map(|own| {
        PeerView {
            instance: own.instance.clone(),
            value: Some(own.value),
            life_began: None,
            standing: own
                .cleared
                .map_or(Standing::Leaks(own.since), Standing::Cleared),
        }
    }));
    peers.sort_by(|left, right| {
        let by_value = right
            .value
            .unwrap_or(-1.0)
            .total_cmp(&left.value.unwrap_or(-1.0));
        left.standing
            .rank()
            .cmp(&right.standing.rank())
            .then(by_value)
            .then_with(|| left.instance.cmp(&right.instance))
    });
    peers
}

fn peer(incident: &Incident, target: &TargetView<'_>) -> PeerView {
    let carrying: Vec<SeriesView<'_>> = target
        .series()
        .filter(|series| carries(incident, series))
        .collect();
    let value = carrying
        .iter()
        .map(SeriesView::value)
        .reduce(|sum, value| sum + value);
    let known = incident.instances.get(&target.target().labels.to_string());
    let judged = || {
        carrying
            .iter()
            .map(|series| standing(&series.verdict()))
            .min_by_key(Standing::rank)
            .unwrap_or(Standing::Silent)
    };
    PeerView {
        instance: target.target().instance.to_string(),
        value,
        life_began: target.life_began(),
        standing: match known {
            Some(own) => own
                .cleared
                .map_or(Standing::Leaks(own.since), Standing::Cleared),
            None if target.health().error.is_some() => Standing::Down,
            None => judged(),
        },
    }
}

fn standing(verdict: &Verdict) -> Standing {
    match verdict {
        Verdict::Healthy => Standing::Healthy,
        Verdict::Undecided(Undecided::Learning { .. }) => Standing::Learning,
        Verdict::Undecided(Undecided::Restarted { .. }) => {
            Standing::Undecided("it is young, and the process before it leaked".to_owned())
        }
        Verdict::Undecided(Undecided::Growing(growth)) => {
            Standing::Undecided(format!("it grows: {}", growth.why))
        }
        Verdict::Leaking(evidence) => Standing::Leaks(evidence.onset),
    }
}

/// When the workload's processes began, with what that was: those that lie close together, and are most of the
/// instances, are a rollout.
pub(super) fn starts(peers: &[PeerView]) -> Vec<(Timestamp, String)> {
    let mut began: Vec<Timestamp> = peers.iter().filter_map(|own| own.life_began).collect();
    began.sort_unstable();
    began
        .chunk_by(|left, right| *right - *left <= ROLLOUT_SECONDS)
        .map(|together| {
            let many = together.len();
            let what = match many {
                1 => "restart".to_owned(),
                many if many * 2 > peers.len() => "rollout".to_owned(),
                many => format!("{many} restarts"),
            };
            (together[0], what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(seconds: &[f64]) -> Vec<PeerView> {
        let peer = |at: &f64| PeerView {
            instance: "a".to_owned(),
            value: None,
            life_began: Some(Timestamp::from_seconds(*at)),
            standing: Standing::Healthy,
        };
        seconds.iter().map(peer).collect()
    }

    #[track_caller]
    fn check(seconds: &[f64], expected: &[(f64, &str)]) {
        let found: Vec<(f64, String)> = starts(&begun(seconds))
            .into_iter()
            .map(|(at, what)| (at.seconds(), what))
            .collect();
        let expected: Vec<(f64, String)> = expected
            .iter()
            .map(|(at, what)| (*at, (*what).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn most_instances_at_once_are_a_rollout_and_one_is_a_restart() {
        check(&[], &[]);
        check(&[100.0], &[(100.0, "restart")]);
        check(
            &[100.0, 400.0, 900.0, 90_000.0],
            &[(100.0, "rollout"), (90_000.0, "restart")],
        );
        check(
            &[0.0, 5_000.0, 5_100.0, 9_000.0, 12_000.0],
            &[
                (0.0, "restart"),
                (5_000.0, "2 restarts"),
                (9_000.0, "restart"),
                (12_000.0, "restart"),
            ],
        );
    }
}
