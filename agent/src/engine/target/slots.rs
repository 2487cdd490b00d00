//! Every series of one target that means something, by number: looked up by its text once, found by number ever after.
//!
//! A scrape brings the same series in the same order as the one before, nearly always; then no name is compared at all.

use std::collections::HashMap;
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::catalogue::Role;
use crate::engine::series::Series;
use crate::labels::Labels;
use crate::scrape::Sample;

/// Fewer slots than this are never tidied up.
const FEW: usize = 64;

/// One series: what it means, its last value, and its detector where it is judged.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) labels: Labels,
    pub(super) role: Role,
    /// The last value, and the scrape that brought it; explaining series only, and finite.
    pub(super) value: f64,
    pub(super) seen_at: Option<Timestamp>,
    /// Where it is judged.
    pub(super) series: Option<Box<Series>>,
    /// The ledger's account that it belongs to.
    account: Option<u32>,
}

/// The series of one account of a ledger that explain the others.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    opened: Option<u32>,
    oldest_age: Option<u32>,
}

/// The series of one target.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    by_name: HashMap<(Arc<str>, Labels), u32>,
    /// Those that explain the judged ones.
    explaining: Vec<u32>,
    accounts: Vec<Account>,
    by_account: HashMap<Labels, u32>,
    /// The slots of the last scrape, in its order.
    order: Vec<u32>,
    judged: usize,
}

impl Slots {
    /// The slot of the sample at a place of a scrape; `None` where it means nothing.
    pub(super) fn of_sample(
        &mut self,
        place: usize,
        sample: &Sample,
        role: impl FnOnce() -> Option<Role>,
    ) -> Option<u32> {
        if let Some(slot) = self.order.get(place).copied()
            && let Some(known) = self.slots.get(slot as usize)
            && Arc::ptr_eq(&known.name, &sample.name)
            && known.labels.is_same(&sample.labels)
        {
            return Some(slot);
        }
        let slot = self.of_series(&sample.name, &sample.labels, role)?;
        // What comes again the next time is found at its place.
        let known = &mut self.slots[slot as usize];
        known.name = Arc::clone(&sample.name);
        known.labels = sample.labels.clone();
        Some(slot)
    }

    /// The slot of a series, which is added where it is new.
    pub(super) fn of_series(
        &mut self,
        name: &Arc<str>,
        labels: &Labels,
        role: impl FnOnce() -> Option<Role>,
    ) -> Option<u32> {
        let key = (Arc::clone(name), labels.clone());
        if let Some(slot) = self.by_name.get(&key) {
            return Some(*slot);
        }
        let role = role()?;
        let slot = self.slots.len() as u32;
        self.by_name.insert(key, slot);
        let account = self.account_of(slot, &role, labels);
        if !matches!(role, Role::Exact(_) | Role::Level(_)) {
            self.explaining.push(slot);
        }
        self.slots.push(Slot {
            name: Arc::clone(name),
            labels: labels.clone(),
            role,
            value: 0.0,
            seen_at: None,
            series: None,
            account,
        });
        Some(slot)
    }

    fn account_of(&mut self, slot: u32, role: &Role, labels: &Labels) -> Option<u32> {
        if !labels.contains("resource") {
            return None;
        }
        let account = *self.by_account.entry(labels.clone()).or_insert_with(|| {
            self.accounts.push(Account::default());
            self.accounts.len() as u32 - 1
        });
        match role {
            Role::Opened => self.accounts[account as usize].opened = Some(slot),
            Role::OldestAge => self.accounts[account as usize].oldest_age = Some(slot),
            _ => {}
        }
        Some(account)
    }

    /// Remembers in which order a scrape brought its series.
    pub(super) fn remember_order(&mut self, order: impl Iterator<Item = u32>) {
        self.order.clear();
        self.order.extend(order);
        // What doubled while a target was met is not needed again: a target hardly ever gets another series.
        if self.slots.capacity() > self.slots.len() + self.slots.len() / 8 {
            self.slots.shrink_to_fit();
        }
    }

    pub(super) fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// Those that explain the judged ones, in the order in which they appeared.
    pub(super) fn explaining(&self) -> impl Iterator<Item = &Slot> {
        self.explaining
            .iter()
            .map(|slot| &self.slots[*slot as usize])
    }

    /// The counter of entries opened in the account of a slot.
    pub(super) fn opened_of(&self, slot: u32) -> Option<&Slot> {
        let account = self.slots[slot as usize].account?;
        Some(self.get(self.accounts[account as usize].opened?))
    }

    /// The age of the oldest entry in the account of a slot.
    pub(super) fn oldest_age_of(&self, slot: u32) -> Option<&Slot> {
        let account = self.slots[slot as usize].account?;
        Some(self.get(self.accounts[account as usize].oldest_age?))
    }

    /// Begins to judge a series.
    pub(super) fn judge(&mut self, slot: u32, series: Series) {
        self.judged += 1;
        self.slots[slot as usize].series = Some(Box::new(series));
    }

    /// How many are judged.
    pub(super) fn judged_count(&self) -> usize {
        self.judged
    }

    /// The judged series, in the order in which they appeared.
    pub(super) fn judged(&self) -> impl Iterator<Item = &Series> {
        self.slots.iter().filter_map(|slot| slot.series.as_deref())
    }

    pub(super) fn judged_mut(&mut self) -> impl Iterator<Item = &mut Series> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.series.as_deref_mut())
    }

    /// Gives up the detectors of series that are not `kept`.
    pub(super) fn retain_judged(&mut self, kept: impl Fn(&Series) -> bool) {
        for slot in &mut self.slots {
            if slot.series.as_deref().is_some_and(|series| !kept(series)) {
                slot.series = None;
                self.judged -= 1;
            }
        }
    }

    /// Forgets series that were not seen since `before` once they are most of all. Numbers change with it.
    pub(super) fn tidy(&mut self, before: Timestamp) {
        let is_live = |slot: &Slot| {
            slot.series.is_some() || slot.seen_at.is_some_and(|seen_at| seen_at >= before)
        };
        let live = self.slots.iter().filter(|slot| is_live(slot)).count();
        if self.slots.len() < FEW.max(2 * live) {
            return;
        }
        let kept = std::mem::take(self).slots.into_iter().filter(is_live);
        for old in kept {
            let role = old.role.clone();
            if let Some(slot) = self.of_series(&old.name, &old.labels, || Some(role)) {
                let new = self.get_mut(slot);
                (new.value, new.seen_at) = (old.value, old.seen_at);
                new.series = old.series;
                self.judged += usize::from(new.series.is_some());
            }
        }
    }
}
