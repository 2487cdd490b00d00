//! The book of incidents: which leaking series are one leak, and which leak they are.
//!
//! New sightings go to a living incident that covers them before they make one of their own. What is found leaking at
//! the same evaluation in the same way is one incident, over however many upstreams. A leak that comes back soon after
//! its end is the same leak: its incident is taken up again, and has to stay away longer the next time.

mod findings;
mod life;
mod wave;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use leak_detect::Timestamp;

use crate::diagnosis::Context;
use crate::incident::book::wave::Wave;
use crate::incident::{End, Family, Incident, IncidentId, Listed, Look, Sighting};
use crate::labels::Labels;

/// An ended incident is kept for this long.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(30 * 86_400);

/// A leak that comes back within this time is the same incident.
pub const RETURNS_WITHIN: Duration = Duration::from_secs(3600);

/// How many ended incidents are kept at most, the youngest.
const ENDED_LIMIT: usize = 1000;

/// What a book goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookSettings {
    /// How long an instance must be clear before that counts.
    pub confirmation: Duration,
    /// How many incidents may live at once; what leaks beyond that is counted and has none.
    pub limit: usize,
}

/// How many incidents could not be opened because too many lived: one for each evaluation that wanted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused(pub u64);

/// What happened to an incident at an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is new.
    Convicted,
    /// It had ended and came back.
    Returned,
    /// Another agent has convicted it.
    Shared,
    /// An incident of a process's level turned out to be a leak that the ledger names.
    Adopted,
    /// Another signal, or another cause, came to light.
    Widened,
    /// More is held than ever again.
    Growing,
    /// It is held and does not grow.
    Stalled,
    /// It can wait no longer.
    Urgent,
    /// It can wait again.
    Bearable,
    /// It is over.
    Ended(End),
}

impl Change {
    /// The change as a sentence for the log.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Convicted => "leak convicted",
            Self::Returned => "leak came back",
            Self::Shared => "leak convicted by the other agent of the pair",
            Self::Adopted => "leak of a process explained by its ledger",
            Self::Widened => "leak shows in another signal",
            Self::Growing => "leak grows again",
            Self::Stalled => "leak is held and does not grow",
            Self::Urgent => "leak became urgent",
            Self::Bearable => "leak is no longer urgent",
            Self::Ended(End::Released) => "leak released",
            Self::Ended(End::Replaced) => "leaking processes replaced by ones that stayed flat",
            Self::Ended(End::Gone) => "leaking workload gone",
        }
    }
}

/// All incidents: the living, and the ended of the last 30 days.
#[derive(Clone, Debug)]
pub struct Book {
    incidents: HashMap<IncidentId, Incident>,
    living: BTreeSet<IncidentId>,
    /// With when they ended: the oldest first.
    ended: BTreeSet<(Timestamp, IncidentId)>,
    by_workload: HashMap<Labels, OfWorkload>,
    settings: BookSettings,
    refused: Refused,
}

/// The incidents of one workload.
#[derive(Clone, Debug, Default)]
struct OfWorkload {
    ids: BTreeSet<IncidentId>,
    living: BTreeSet<IncidentId>,
}

impl Book {
    /// With what was stored.
    pub fn new(settings: BookSettings, saved: Vec<Incident>) -> Self {
        let mut book = Self {
            incidents: HashMap::new(),
            living: BTreeSet::new(),
            ended: BTreeSet::new(),
            by_workload: HashMap::new(),
            settings,
            refused: Refused::default(),
        };
        saved.into_iter().for_each(|incident| book.insert(incident));
        book
    }

    /// Goes on by other settings.
    pub fn set_settings(&mut self, settings: BookSettings) {
        self.settings = settings;
    }

    fn insert(&mut self, incident: Incident) {
        let of_workload = self
            .by_workload
            .entry(incident.workload.clone())
            .or_default();
        of_workload.ids.insert(incident.id.clone());
        match incident.ended_at {
            Some(at) => {
                self.ended.insert((at, incident.id.clone()));
            }
            None => {
                of_workload.living.insert(incident.id.clone());
                self.living.insert(incident.id.clone());
            }
        }
        self.incidents.insert(incident.id.clone(), incident);
    }

    /// Takes an incident as another agent has it.
    pub(crate) fn take_over(&mut self, incident: Incident) {
        self.insert(incident);
    }

    /// Gives up an incident.
    pub(crate) fn remove(&mut self, id: &IncidentId) {
        let Some(incident) = self.incidents.remove(id) else {
            return;
        };
        self.living.remove(id);
        if let Some(at) = incident.ended_at {
            self.ended.remove(&(at, id.clone()));
        }
        if let Some(own) = self.by_workload.get_mut(&incident.workload) {
            own.ids.remove(id);
            own.living.remove(id);
            if own.ids.is_empty() {
                self.by_workload.remove(&incident.workload);
            }
        }
    }

    /// Ends an incident as another agent has ended it.
    pub(crate) fn end(&mut self, id: &IncidentId, at: Timestamp, end: End) {
        if let Some(mut incident) = self.incidents.get(id).cloned() {
            self.remove(id);
            incident.end(at, end);
            self.insert(incident);
        }
    }

    /// The incidents of one workload, in the order of their ids.
    fn of_workload(&self, workload: &Labels) -> impl Iterator<Item = &Incident> {
        let own = self.by_workload.get(workload);
        own.into_iter()
            .flat_map(|own| &own.ids)
            .filter_map(|id| self.incidents.get(id))
    }

    /// The id of the first incident of a workload that is wanted.
    fn find(&self, workload: &Labels, wanted: impl Fn(&Incident) -> bool) -> Option<IncidentId> {
        self.of_workload(workload)
            .find(|incident| wanted(incident))
            .map(|incident| incident.id.clone())
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Incident> {
        let mut all: Vec<&Incident> = self.incidents.values().collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all.into_iter()
    }

    /// One of them.
    pub fn get(&self, id: &IncidentId) -> Option<&Incident> {
        self.incidents.get(id)
    }

    /// One of them, to be written to.
    pub(crate) fn get_mut(&mut self, id: &IncidentId) -> Option<&mut Incident> {
        self.incidents.get_mut(id)
    }

    /// The living, in the order of their ids.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Incident> {
        self.living.iter().filter_map(|id| self.incidents.get(id))
    }

    /// The living, to be written to, in any order.
    pub(crate) fn living_mut(&mut self) -> impl Iterator<Item = &mut Incident> {
        self.incidents
            .values_mut()
            .filter(|incident| incident.is_living())
    }

    /// The living of one workload.
    pub(crate) fn living_of(&self, workload: &Labels) -> Vec<IncidentId> {
        let own = self.by_workload.get(workload);
        own.into_iter()
            .flat_map(|own| own.living.iter().cloned())
            .collect()
    }

    /// How often there was no room for an incident.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Sorts what leaks in one workload into its living incidents, and opens incidents for the rest.
    ///
    /// `context`: what else is known of some upstreams of the workload; of all, where none is named.
    pub(crate) fn sight(
        &mut self,
        now: Timestamp,
        workload: &Labels,
        sightings: &[Sighting],
        context: &dyn Fn(&BTreeSet<String>) -> Context,
    ) -> Vec<(IncidentId, Change)> {
        let mut changes = Vec::new();
        let mut sorted: BTreeMap<IncidentId, Vec<&Sighting>> = BTreeMap::new();
        // Ledger entries first: a process's levels go to the incident that explains them.
        for family in [Family::Held, Family::Churn, Family::Process] {
            let mut rest = Vec::new();
            for sighting in sightings.iter().filter(|own| own.kind.family() == family) {
                match self.home_of(workload, sighting) {
                    Some(id) => sorted.entry(id).or_default().push(sighting),
                    None => rest.push(sighting),
                }
            }
            for wave in Wave::sort(family, rest, context) {
                if let Some((id, change)) = self.admit(now, workload, &wave) {
                    sorted
                        .entry(id.clone())
                        .or_default()
                        .extend(&wave.sightings);
                    changes.push((id, change));
                }
            }
        }
        for (id, sightings) in sorted {
            if let Some(incident) = self.incidents.get_mut(&id)
                && incident.take(now, &sightings, context)
                && !changes.iter().any(|(changed, _)| *changed == id)
            {
                changes.push((id, Change::Widened));
            }
        }
        changes
    }

    /// Looks whether the incidents of one workload are over or have changed their pace. What is over ends where it
    /// `may_end`.
    pub(crate) fn look(
        &mut self,
        now: Timestamp,
        workload: &Labels,
        listed: &Listed,
        looks: &dyn Fn(&Incident) -> Vec<Look>,
        growing: &dyn Fn(&Incident) -> Option<bool>,
        may_end: &dyn Fn(&IncidentId) -> bool,
    ) -> Vec<(IncidentId, Change)> {
        let confirmation = self.settings.confirmation;
        let mut changes = Vec::new();
        for id in self.living_of(workload) {
            let Some(incident) = self.incidents.get_mut(&id) else {
                continue;
            };
            let looks = looks(incident);
            let end = incident.look(now, listed, &looks, confirmation);
            incident.over = end.is_some();
            let change = match end.filter(|_| may_end(&incident.id)) {
                Some(end) => {
                    incident.end(now, end);
                    Some(Change::Ended(end))
                }
                None => incident.pace(now, growing(incident)),
            };
            incident.measure(&looks);
            if matches!(change, Some(Change::Ended(_))) {
                self.living.remove(&id);
                self.ended.insert((now, id.clone()));
                if let Some(own) = self.by_workload.get_mut(workload) {
                    own.living.remove(&id);
                }
            }
            changes.extend(change.map(|change| (id, change)));
        }
        changes
    }

    /// Gives up what ended long ago; whether anything was.
    pub(crate) fn forget(&mut self, now: Timestamp) -> bool {
        let before = self.ended.len();
        while let Some((ended_at, id)) = self.ended.first().cloned()
            && (now - ended_at >= KEPT_AFTER_END.as_secs_f64() || self.ended.len() > ENDED_LIMIT)
        {
            self.remove(&id);
        }
        self.ended.len() < before
    }

    /// Whether a workload has a living incident.
    pub(crate) fn has_living(&self, workload: &Labels) -> bool {
        self.by_workload
            .get(workload)
            .is_some_and(|own| !own.living.is_empty())
    }

    /// The living incident that a sighting belongs to.
    fn home_of(&self, workload: &Labels, sighting: &Sighting) -> Option<IncidentId> {
        let oldest = |wanted: &dyn Fn(&Incident) -> bool| {
            let living = self.by_workload.get(workload).map(|own| own.living.iter());
            living
                .into_iter()
                .flatten()
                .filter_map(|id| self.incidents.get(id))
                .filter(|incident| wanted(incident))
                .min_by(|one, other| {
                    let at = one.convicted_at.cmp(&other.convicted_at);
                    at.then_with(|| one.id.cmp(&other.id))
                })
        };
        let family = sighting.kind.family();
        let (resource, upstream) = (sighting.resource.as_deref(), sighting.upstream.as_deref());
        let own = oldest(&|incident| {
            incident.family == family && incident.reaches(&sighting.signal, resource, upstream)
        });
        let home = match sighting.kind {
            // A level that names no upstream climbs with whatever is held.
            kind if kind.is_level() && upstream.is_none() => {
                own.or_else(|| oldest(&|incident| incident.family == Family::Held))
            }
            _ => own,
        };
        home.map(|incident| incident.id.clone())
    }

    /// Finds or makes the incident of a new wave.
    fn admit(
        &mut self,
        now: Timestamp,
        workload: &Labels,
        wave: &Wave<'_>,
    ) -> Option<(IncidentId, Change)> {
        if wave.family == Family::Held
            && wave.is_exact()
            && let Some(id) = self.find(workload, Incident::may_be_adopted)
            && let Some(level) = self.incidents.get_mut(&id)
        {
            level.adopt(now, wave);
            return Some((level.id.clone(), Change::Adopted));
        }
        let fresh = wave.incident(now, workload);
        let returned = self.find(workload, |old| old.is_return_of(now, &fresh));
        if let Some(old) = returned.and_then(|id| self.incidents.get_mut(&id)) {
            if let Some(ended_at) = old.ended_at {
                self.ended.remove(&(ended_at, old.id.clone()));
            }
            old.come_back(now, &fresh);
            self.living.insert(old.id.clone());
            if let Some(own) = self.by_workload.get_mut(workload) {
                own.living.insert(old.id.clone());
            }
            return Some((old.id.clone(), Change::Returned));
        }
        if self.living.len() >= self.settings.limit {
            self.refused.0 += 1;
            return None;
        }
        let id = fresh.id.clone();
        self.insert(fresh);
        Some((id, Change::Convicted))
    }
}
