//! What a ledger should say, kept in the plainest way beside a real one, through any sequence of steps.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use resource_ledger::{
    Account, Entry, Labels, Ledger, ManualClock, Outcome, Owner, OwnerId, OwnerRef, RequestOutcome,
    TaskOutcome,
};

use super::check_law;
use crate::support::{manual_ledger, panic_holding};

pub(crate) const GRACE: Duration = Duration::from_secs(2);
const STATES: [&str; 3] = ["connecting", "in_use", "idle"];
pub(crate) const ENDINGS: [TaskOutcome; 4] = [
    TaskOutcome::Completed,
    TaskOutcome::Failed,
    TaskOutcome::TimedOut,
    TaskOutcome::Cancelled,
];

/// One thing that can happen. An index chooses among what there is at that moment.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Begin,
    EndOwner(Index, Ending),
    Open(Terms),
    Assign(Index, Terms),
    SetState(Index, usize),
    Announce(Index, usize),
    End(Index, Ending),
    Advance(Duration),
}

/// Whom an entry works for, if anybody, and for how long from now, if there is a limit.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    owner: Option<Index>,
    within: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Close(usize),
    Drop,
    DropElsewhere,
    Panic,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let milliseconds = || (0..5000_u64).prop_map(Duration::from_millis);
    let terms = move || {
        let terms = (any::<Option<Index>>(), proptest::option::of(milliseconds()));
        terms.prop_map(|(owner, within)| Terms { owner, within })
    };
    let ending = || {
        prop_oneof![
            (0..ENDINGS.len()).prop_map(Ending::Close),
            Just(Ending::Drop),
            Just(Ending::DropElsewhere),
            Just(Ending::Panic)
        ]
    };
    prop_oneof![
        2 => Just(Step::Begin),
        2 => (any::<Index>(), ending()).prop_map(|(owner, ending)| Step::EndOwner(owner, ending)),
        6 => terms().prop_map(Step::Open),
        2 => (any::<Index>(), terms()).prop_map(|(entry, terms)| Step::Assign(entry, terms)),
        1 => (any::<Index>(), 0..STATES.len()).prop_map(|(entry, state)| Step::SetState(entry, state)),
        1 => (any::<Index>(), 0..ENDINGS.len()).prop_map(|(entry, outcome)| Step::Announce(entry, outcome)),
        4 => (any::<Index>(), ending()).prop_map(|(entry, ending)| Step::End(entry, ending)),
        3 => milliseconds().prop_map(Step::Advance),
    ]
}

/// What the ledger should say, kept in the plainest way, beside the real guards.
pub(crate) struct Model {
    pub(crate) ledger: Ledger,
    hand: ManualClock,
    tasks: Account<TaskOutcome>,
    requests: Account<RequestOutcome>,
    now: Duration,
    opened: u64,
    closed: BTreeMap<&'static str, u64>,
    pub(crate) open: Vec<Held>,
    owners: Vec<Request>,
}

pub(crate) struct Held {
    entry: Entry<TaskOutcome>,
    opened_at: Duration,
    deadline: Option<Duration>,
    owner: Option<usize>,
    state: &'static str,
    announced: Option<TaskOutcome>,
}

struct Request {
    guard: Option<Owner>,
    reference: OwnerRef,
    ended_at: Option<Duration>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let (ledger, hand) = manual_ledger();
        let tasks = ledger.account(Labels::new().upstream("content"));
        let requests = ledger.account(Labels::new().route("/home/{id}"));
        let closed = TaskOutcome::WORDS.iter().map(|word| (*word, 0)).collect();
        Self {
            ledger,
            hand,
            tasks,
            requests,
            now: Duration::ZERO,
            opened: 0,
            closed,
            open: Vec::new(),
            owners: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, step: Step) {
        match step {
            Step::Begin => self.begin(),
            Step::EndOwner(index, ending) => self.end_owner(index, ending),
            Step::Open(terms) => self.open(&terms),
            Step::Assign(index, terms) => self.assign(index, &terms),
            Step::SetState(index, state) => self.with(index, |held| {
                held.state = STATES[state];
                held.entry.set_state(STATES[state]);
            }),
            Step::Announce(index, outcome) => self.with(index, |held| {
                held.announced = Some(ENDINGS[outcome]);
                held.entry.will_close(ENDINGS[outcome]);
            }),
            Step::End(index, ending) if !self.open.is_empty() => {
                let held = self.open.swap_remove(index.index(self.open.len()));
                self.end(held, ending);
            }
            Step::End(..) => {}
            Step::Advance(by) => {
                self.now += by;
                self.hand.advance(by);
            }
        }
    }

    fn begin(&mut self) {
        let guard = Owner::begin(&self.requests, OwnerId::default());
        let reference = guard.reference();
        self.owners.push(Request {
            guard: Some(guard),
            reference,
            ended_at: None,
        });
    }

    fn end_owner(&mut self, index: Index, ending: Ending) {
        let mut living: Vec<_> = self
            .owners
            .iter_mut()
            .filter(|owner| owner.guard.is_some())
            .collect();
        if living.is_empty() {
            return;
        }
        let request = living.swap_remove(index.index(living.len()));
        let guard = request.guard.take().expect("it is one of the living");
        request.ended_at = Some(self.now);
        match ending {
            Ending::Close(_) => guard.end(RequestOutcome::Completed),
            Ending::Drop => drop(guard),
            Ending::DropElsewhere => elsewhere(guard),
            Ending::Panic => panic_holding(move || guard),
        }
    }

    fn open(&mut self, terms: &Terms) {
        let (owner, deadline) = self.resolve(terms);
        let reference = owner.map(|owner| self.owners[owner].reference.clone());
        let entry = self
            .tasks
            .open_for(reference.as_ref(), self.instant(deadline));
        self.opened += 1;
        self.open.push(Held {
            entry,
            opened_at: self.now,
            deadline,
            owner,
            state: "open",
            announced: None,
        });
    }

    fn assign(&mut self, index: Index, terms: &Terms) {
        let (owner, deadline) = self.resolve(terms);
        let reference = owner.map(|owner| self.owners[owner].reference.clone());
        let instant = self.instant(deadline);
        self.with(index, |held| {
            (held.owner, held.deadline) = (owner, deadline);
            held.entry.handle().assign(reference.as_ref(), instant);
        });
    }

    fn end(&mut self, held: Held, ending: Ending) {
        let Held {
            entry, announced, ..
        } = held;
        let outcome = match ending {
            Ending::Close(outcome) => ENDINGS[outcome],
            Ending::Drop | Ending::DropElsewhere => announced.unwrap_or(TaskOutcome::Cancelled),
            Ending::Panic => TaskOutcome::Panicked,
        };
        *self
            .closed
            .get_mut(outcome.word())
            .expect("every word is there") += 1;
        match ending {
            Ending::Close(outcome) => entry.close(ENDINGS[outcome]),
            Ending::Drop => drop(entry),
            Ending::DropElsewhere => elsewhere(entry),
            Ending::Panic => panic_holding(move || entry),
        }
    }

    fn with(&mut self, index: Index, change: impl FnOnce(&mut Held)) {
        if !self.open.is_empty() {
            let chosen = index.index(self.open.len());
            change(&mut self.open[chosen]);
        }
    }

    fn resolve(&self, terms: &Terms) -> (Option<usize>, Option<Duration>) {
        let owner = terms
            .owner
            .filter(|_| !self.owners.is_empty())
            .map(|owner| owner.index(self.owners.len()));
        (owner, terms.within.map(|within| self.now + within))
    }

    fn instant(&self, deadline: Option<Duration>) -> Option<std::time::Instant> {
        deadline.map(|deadline| self.ledger.now() + (deadline - self.now))
    }

    /// The ledger says of the tasks exactly what the model says.
    #[track_caller]
    pub(crate) fn check(&self) {
        let snapshot = self.ledger.snapshot();
        snapshot.accounts.iter().for_each(check_law);
        let is_late = |since: Option<Duration>| {
            since.is_some_and(|since| self.now.saturating_sub(since) > GRACE)
        };
        let count = |late: &dyn Fn(&Held) -> bool| {
            self.open.iter().filter(|held| late(held)).count() as u64
        };
        let account = &snapshot.accounts[0];
        assert_eq!(
            (account.opened, account.open),
            (self.opened, self.open.len() as u64)
        );
        assert_eq!(
            account.closed.iter().copied().collect::<BTreeMap<_, _>>(),
            self.closed
        );
        assert_eq!(account.overdue, count(&|held| is_late(held.deadline)));
        assert_eq!(
            account.orphaned,
            count(&|held| is_late(held.owner.and_then(|owner| self.owners[owner].ended_at)))
        );
        assert_eq!(
            account.oldest_age,
            self.open.iter().map(|held| self.now - held.opened_at).max()
        );
        for state in STATES {
            assert_eq!(
                account.open_in_state(state),
                count(&|held| held.state == state)
            );
        }
        let living = self
            .owners
            .iter()
            .filter(|owner| owner.guard.is_some())
            .count();
        assert_eq!(snapshot.open("request"), living as u64);
    }
}

/// Drops something on another thread.
fn elsewhere(held: impl Send) {
    std::thread::scope(|scope| drop(scope.spawn(move || drop(held))));
}
