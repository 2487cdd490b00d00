//! The life of one incident: what it learns while it lives, how it is adopted, ends and comes back.

use std::collections::BTreeSet;

use leak_detect::Timestamp;

use crate::diagnosis::{self, Cause, Context, Symptom};
use crate::incident::book::wave::{Wave, words};
use crate::incident::book::{Change, RETURNS_WITHIN};
use crate::incident::{End, Family, Incident, Instance, LeakingSignal, Sighting, State};

impl Incident {
    pub(super) fn is_return_of(&self, now: Timestamp, fresh: &Self) -> bool {
        matches!(self.state, State::Ended(End::Released | End::Replaced))
            && self
                .ended_at
                .is_some_and(|ended| now - ended < RETURNS_WITHIN.as_secs_f64())
            && self.workload == fresh.workload
            && self.family == fresh.family
            && (self.cause == fresh.cause || fresh.cause == Cause::Unknown)
            && self.identity() == fresh.identity()
            && self.upstreams == fresh.upstreams
    }

    pub(super) fn come_back(&mut self, now: Timestamp, fresh: &Self) {
        self.state = State::Growing;
        self.ended_at = None;
        self.active_since = now;
        self.returns = self.returns.saturating_add(1);
        self.instances = fresh.instances.clone();
        self.evidence = fresh.evidence.clone();
        self.failing_share_before = None;
        self.note(now, "came back");
    }

    /// Whether a leak that a ledger counts exactly would explain it: it climbs, by levels that name no upstream.
    pub(super) fn may_be_adopted(&self) -> bool {
        self.state == State::Growing
            && self.upstreams.is_empty()
            && self.signals.iter().all(|own| own.kind.is_level())
    }

    /// A leak of the ledger explains what was convicted as a level of the process.
    pub(super) fn adopt(&mut self, now: Timestamp, wave: &Wave<'_>) {
        self.family = Family::Held;
        self.upstreams.clone_from(&wave.upstreams);
        self.onset = self.onset.min(wave.onset(now));
        self.instances.clear();
        self.note(now, format!("explained by {}", wave.carrier_words()));
    }

    /// Learns from what leaks now; whether a signal or a cause is new.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        sightings: &[&Sighting],
        context: &dyn Fn(&BTreeSet<String>) -> Context,
    ) -> bool {
        let mut news = false;
        for sighting in sightings.iter().filter(|own| own.is_convicted()) {
            let known = self.signals.iter().any(|own| {
                own.signal == *sighting.signal
                    && own.resource.as_deref() == sighting.resource.as_deref()
            });
            if !known {
                news = true;
                self.signals.push(LeakingSignal::new(now, sighting));
                if self.convicted_at != now {
                    self.note(
                        now,
                        format!(
                            "shows in {}",
                            words(&sighting.signal, sighting.resource.as_deref())
                        ),
                    );
                }
            }
            if self.is_measured_by(sighting) {
                let instance = self
                    .instances
                    .entry(sighting.target.to_string())
                    .or_insert_with(|| {
                        Instance::new(&sighting.instance, sighting.at, sighting.value)
                    });
                if sighting.kind.is_exact() {
                    let resource = sighting.resource.as_deref().map(str::to_owned);
                    instance
                        .leaked
                        .insert((sighting.signal.to_string(), resource));
                }
            }
        }
        self.signals.sort_by(|a, b| {
            a.rank()
                .cmp(&b.rank())
                .then_with(|| a.signal.cmp(&b.signal))
        });
        self.weigh(now, sightings);
        let cause = self.diagnose(context);
        if cause != self.cause && cause != Cause::Unknown {
            self.note(now, format!("looks like {cause}"));
            self.cause = cause;
            news = true;
        }
        self.ticket_only = sightings.iter().any(|own| own.is_convicted())
            && sightings
                .iter()
                .filter(|own| own.is_convicted())
                .all(|own| own.ticket_only);
        news
    }

    /// Whether the end of the incident depends on such a signal: levels of the process only follow a ledger's leak.
    fn is_measured_by(&self, sighting: &Sighting) -> bool {
        sighting.kind.family() == self.family
    }

    /// The leaking process itself says what it looks like: of use where nothing that is counted does.
    pub(crate) fn told_cause(&mut self, now: Timestamp, cause: Cause) {
        if self.cause == Cause::Unknown && cause != Cause::Unknown {
            self.note(
                now,
                format!("looks like {cause}, by the leaking process's own account"),
            );
            self.cause = cause;
        }
    }

    pub(crate) fn diagnose(&self, context: &dyn Fn(&BTreeSet<String>) -> Context) -> Cause {
        let symptoms: Vec<Symptom<'_>> = self
            .signals
            .iter()
            .map(|own| Symptom {
                kind: own.kind,
                resource: own.resource.as_deref(),
            })
            .collect();
        let context = if self.family == Family::Process {
            Context::default()
        } else {
            context(&self.upstreams)
        };
        diagnosis::diagnose(&symptoms, context)
    }

    pub(super) fn pace(&mut self, now: Timestamp, growing: Option<bool>) -> Option<Change> {
        let (state, change) = match growing? {
            true => (State::Growing, Change::Growing),
            false => (State::Stalled, Change::Stalled),
        };
        if state == self.state {
            return None;
        }
        self.state = state;
        self.note(
            now,
            if state == State::Growing {
                "grows again"
            } else {
                "held, not growing"
            },
        );
        Some(change)
    }

    pub(super) fn end(&mut self, now: Timestamp, end: End) {
        self.state = State::Ended(end);
        self.over = false;
        self.ended_at = Some(now);
        self.urgent = None;
        self.note(now, format!("ended: {}", end.word()));
    }
}
