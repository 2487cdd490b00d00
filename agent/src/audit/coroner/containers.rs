//! What Kubernetes counts: restarts of containers in place, and the last reason. A rollout makes new pods, so a
//! container that is restarted in place has died.

use std::collections::HashMap;

use leak_detect::Timestamp;

use super::{Death, DeathKind, Traced};
use crate::history::SeriesIndex;
use crate::labels::Labels;

/// Why the container ended last; one series for each reason, 1 where it is the last.
const REASON: &str = "kube_pod_container_status_last_terminated_reason";
/// How often the container has been restarted.
const RESTARTS: &str = "kube_pod_container_status_restarts_total";

/// What is read beside the catalogue; the reason first, so that it is known when a restart is counted.
pub(in crate::audit) const FAMILIES: [&str; 2] = [REASON, RESTARTS];

const OUT_OF_MEMORY: &str = "OOMKilled";

/// The reason was seen no longer ago than this, in seconds, when the restart was counted.
const REASON_IS_FRESH: f64 = 300.0;

/// All containers of a history.
#[derive(Debug, Default)]
pub(super) struct Containers {
    of_series: HashMap<SeriesIndex, (usize, Part)>,
    places: HashMap<Key, usize>,
    containers: Vec<Container>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Killed,
    Restarts,
    OtherReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    namespace: String,
    pod: String,
    container: String,
}

#[derive(Debug)]
struct Container {
    key: Key,
    restarts: Option<f64>,
    /// When it was seen last that the last end was for memory.
    killed_at: Option<Timestamp>,
    /// When a restart was counted, and whether it was for memory.
    ends: Vec<(Timestamp, bool)>,
}

impl Containers {
    /// Adds a series, if it is about a container.
    pub(super) fn add(&mut self, index: SeriesIndex, family: &str, labels: &Labels) -> bool {
        let part = match family {
            RESTARTS => Part::Restarts,
            REASON if labels.get("reason") == Some(OUT_OF_MEMORY) => Part::Killed,
            REASON => Part::OtherReason,
            _ => return false,
        };
        // Where the scrape does not honour labels, `pod` is the pod of kube-state-metrics itself.
        let read = |name: &str| {
            let exported = labels.get(&format!("exported_{name}"));
            exported.or(labels.get(name)).unwrap_or_default().to_owned()
        };
        let key = Key {
            namespace: read("namespace"),
            pod: read("pod"),
            container: read("container"),
        };
        let place = *self.places.entry(key.clone()).or_insert_with(|| {
            self.containers.push(Container {
                key,
                restarts: None,
                killed_at: None,
                ends: Vec::new(),
            });
            self.containers.len() - 1
        });
        self.of_series.insert(index, (place, part));
        true
    }

    /// Takes in a value of a series that was added.
    pub(super) fn take(&mut self, index: SeriesIndex, at: Timestamp, value: f64) {
        let Some((place, part)) = self.of_series.get(&index) else {
            return;
        };
        let own = &mut self.containers[*place];
        match part {
            Part::Killed if value == 1.0 => own.killed_at = Some(at),
            Part::Restarts if value.is_finite() => {
                let before = own.restarts.replace(value);
                if before.is_some_and(|before| value > before) {
                    let killed = own
                        .killed_at
                        .is_some_and(|killed| at - killed <= REASON_IS_FRESH);
                    own.ends.push((at, killed));
                }
            }
            Part::Killed | Part::Restarts | Part::OtherReason => {}
        }
    }

    /// Gives the deaths of processes their reasons, and adds those that only Kubernetes saw.
    pub(super) fn join(
        self,
        targets: &[Traced],
        deaths: &mut Vec<(usize, Death)>,
        tolerance_seconds: f64,
    ) {
        let mut of_pod: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (place, target) in targets.iter().enumerate() {
            let read = |name: &str| target.labels.get(name).unwrap_or_default();
            of_pod
                .entry((read("namespace"), read("pod")))
                .or_default()
                .push(place);
        }
        for container in self.containers {
            let key = &container.key;
            let of_pod = of_pod.get(&(&*key.namespace, &*key.pod));
            let own: Vec<usize> = of_pod
                .into_iter()
                .flatten()
                .copied()
                .filter(|place| {
                    !key.pod.is_empty()
                        && targets[*place]
                            .labels
                            .get("container")
                            .is_none_or(|own| own == key.container)
                })
                .collect();
            for (at, killed) in &container.ends {
                let kind = if *killed {
                    DeathKind::OutOfMemory
                } else {
                    DeathKind::ContainerRestarted
                };
                let seen = deaths.iter_mut().find(|(place, death)| {
                    own.contains(place)
                        && (death.at - *at).abs() <= tolerance_seconds
                        && death.kind != DeathKind::OutOfMemory
                });
                match seen {
                    Some((_, death)) => death.kind = death.kind.min(kind),
                    None => deaths.push((
                        own.first().copied().unwrap_or(usize::MAX),
                        key.death(*at, kind, own.first().map(|place| &targets[*place])),
                    )),
                }
            }
        }
    }
}

impl Key {
    /// A death that only Kubernetes saw.
    fn death(&self, at: Timestamp, kind: DeathKind, target: Option<&Traced>) -> Death {
        let name = format!("{}/{}/{}", self.namespace, self.pod, self.container);
        match target {
            Some(target) => Death {
                at,
                kind,
                workload: target.workload.clone(),
                target: Some(target.labels.clone()),
                name: target.name.clone(),
                grown: Vec::new(),
                unseen: Some("no new start of a process was seen at that time".to_owned()),
            },
            None => Death {
                at,
                kind,
                workload: [
                    ("namespace", &*self.namespace),
                    ("container", &*self.container),
                ]
                .into_iter()
                .collect(),
                target: None,
                name,
                grown: Vec::new(),
                unseen: Some("nothing in it exposes a level of the catalogue".to_owned()),
            },
        }
    }
}
