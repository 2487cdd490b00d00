//! Tickets against deaths: which deaths a ticket had foretold, which tickets nothing came of.
//!
//! A ticket counts for a death of its workload that came later while its incident lived, if that very instance was
//! among the leaking ones or something had grown in it. A death in which something had grown counts as a leak's whether
//! or not the detector saw it; the rule for that is `trail`'s and not the detector's.

use std::collections::BTreeMap;

use super::coroner::Death;
use super::report::{Fate, Grade, GradedDeath, Leak, Told};
use crate::incident::{Incident, IncidentId};

/// A death may be seen so many seconds after its incident has ended: the end of the one is the end of the other.
const AFTER_THE_END: f64 = 3600.0;

/// Incidents that were ticketed, and deaths.
pub(super) fn grade(
    incidents: BTreeMap<IncidentId, (Incident, Told)>,
    deaths: Vec<Death>,
) -> (Vec<Leak>, Vec<GradedDeath>) {
    let mut leaks: Vec<Leak> = incidents
        .into_values()
        .filter(|(_, told)| told.ticketed_at.is_some())
        .map(|(incident, told)| Leak {
            fate: Fate::of(&incident, 0),
            incident,
            told,
            deaths: Vec::new(),
            first_action: String::new(),
            picture: Err("not drawn".to_owned()),
        })
        .collect();
    let mut graded = Vec::new();
    for (place, death) in deaths.into_iter().enumerate() {
        let foretold = leaks
            .iter_mut()
            .filter_map(|leak| Some((lead(leak, &death)?, leak)))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        let grade = match (foretold, &death.unseen) {
            (Some((lead, leak)), _) => {
                leak.deaths.push(place);
                // The place is filled in when the leaks have theirs.
                Grade::Ticketed {
                    lead,
                    leak: usize::MAX,
                }
            }
            (None, Some(why)) => Grade::Unknown(why.clone()),
            (None, None) if death.grown.is_empty() => Grade::NoLeak,
            (None, None) => Grade::Missed,
        };
        graded.push(GradedDeath { death, grade });
    }
    for leak in &mut leaks {
        leak.fate = Fate::of(&leak.incident, leak.deaths.len());
    }
    leaks.sort_by(|one, other| {
        let key = |leak: &Leak| {
            (
                leak.fate,
                std::cmp::Reverse(leak.deaths.len()),
                leak.incident.onset,
            )
        };
        key(one).cmp(&key(other))
    });
    for (place, leak) in leaks.iter().enumerate() {
        for death in &leak.deaths {
            if let Grade::Ticketed { leak, .. } = &mut graded[*death].grade {
                *leak = place;
            }
        }
    }
    (leaks, graded)
}

/// Seconds from the ticket to the death, where it is a death of this leak.
fn lead(leak: &Leak, death: &Death) -> Option<f64> {
    let incident = &leak.incident;
    let lead = death.at - leak.told.ticketed_at?;
    let is_over = incident
        .ended_at
        .is_some_and(|ended| death.at - ended > AFTER_THE_END);
    let is_leaking = death
        .target
        .as_ref()
        .is_some_and(|target| incident.instances.contains_key(&target.to_string()));
    let is_its = incident.workload == death.workload && (is_leaking || !death.grown.is_empty());
    (is_its && !is_over && lead >= 0.0).then_some(lead)
}
