//! Laws that hold for any history: opened = closed + open at every step, what is late is late by the clock alone, and
//! any mixture of endings leaves zero.

use std::collections::BTreeMap;
use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use resource_ledger::{
    Account, AccountSnapshot, Entry, Labels, Ledger, ManualClock, Outcome, Owner, OwnerId,
    RequestOutcome, TaskOutcome, TaskSet,
};
use tokio::sync::oneshot;

use crate::support::{manual_ledger, panic_holding};

const GRACE: Duration = Duration::from_secs(2);
const STATES: [&str; 3] = ["connecting", "in_use", "idle"];
const ENDINGS: [TaskOutcome; 4] = [
    TaskOutcome::Completed,
    TaskOutcome::Failed,
    TaskOutcome::TimedOut,
    TaskOutcome::Cancelled,
];

/// One thing that can happen. An index chooses among what there is at that moment.
#[derive(Clone, Debug)]
enum Step {
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
struct Terms {
    owner: Option<Index>,
    within: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Close(usize),
    Drop,
    DropElsewhere,
    Panic,
}

fn step() -> impl Strategy<Value = Step> {
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
struct Model {
    ledger: Ledger,
    hand: ManualClock,
    tasks: Account<TaskOutcome>,
    requests: Account<RequestOutcome>,
    now: Duration,
    opened: u64,
    closed: BTreeMap<&'static str, u64>,
    open: Vec<Held>,
    owners: Vec<Request>,
}

struct Held {
    entry: Entry<TaskOutcome>,
    opened_at: Duration,
    deadline: Option<Duration>,
    owner: Option<usize>,
    state: &'static str,
    announced: Option<TaskOutcome>,
}

struct Request {
    guard: Option<Owner>,
    reference: resource_ledger::OwnerRef,
    ended_at: Option<Duration>,
}

impl Model {
    fn new() -> Self {
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

    fn run(&mut self, step: Step) {
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
    fn check(&self) {
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

#[track_caller]
fn check_law(account: &AccountSnapshot) {
    assert_eq!(
        account.opened,
        account.closed_total() + account.open,
        "{account:?}"
    );
    assert_eq!(
        account.open,
        account.states.iter().map(|(_, count)| count).sum::<u64>(),
        "{account:?}"
    );
    assert!(
        account.overdue <= account.open && account.orphaned <= account.open,
        "{account:?}"
    );
    assert_eq!(
        account.oldest_age.is_some(),
        account.open > 0,
        "{account:?}"
    );
}

#[track_caller]
fn check_nothing_left(ledger: &Ledger) {
    for account in ledger.snapshot().accounts {
        check_law(&account);
        assert_eq!(
            (
                account.open,
                account.overdue,
                account.orphaned,
                account.oldest_age
            ),
            (0, 0, 0, None)
        );
    }
}

/// Drops something on another thread.
fn elsewhere(held: impl Send) {
    std::thread::scope(|scope| drop(scope.spawn(move || drop(held))));
}

proptest! {
    // A failure prints its smallest history, which becomes a test of its own: no file remembers it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_told_exactly_and_any_ending_leaves_zero(
        steps in vec(step(), 1..120),
        endings in vec((any::<Index>(), 0..ENDINGS.len()), 120),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
            model.check();
        }
        for (index, outcome) in endings {
            model.run(Step::End(index, Ending::Close(outcome)));
            model.run(Step::EndOwner(index, Ending::Drop));
            model.check();
        }
        model.open.clear();
        check_nothing_left(&model.ledger);
    }

    #[test]
    fn threads_that_end_each_others_entries_leave_zero(endings in vec((0..3_usize, 0..4_usize), 1..300)) {
        let (ledger, _hand) = manual_ledger();
        let account = ledger.account::<TaskOutcome>(Labels::new());
        let mut shares: [Vec<_>; 3] = Default::default();
        for (thread, ending) in &endings {
            shares[*thread].push((account.open(), *ending));
        }
        std::thread::scope(|scope| {
            for share in shares {
                let account = &account;
                scope.spawn(move || share.into_iter().for_each(|(entry, ending)| end_among_others(account, entry, ending)));
            }
            for _ in 0..20 {
                ledger.snapshot().accounts.iter().for_each(check_law);
            }
        });
        check_nothing_left(&ledger);
        prop_assert!(ledger.snapshot().accounts[0].opened >= endings.len() as u64);
    }

    #[test]
    fn tasks_that_return_panic_or_are_aborted_leave_zero(
        ends in vec(0..4_usize, 1..200),
        several_threads in any::<bool>(),
    ) {
        let mut builder = if several_threads {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = builder.worker_threads(2).build().expect("a runtime");
        let (ledger, hand) = manual_ledger();
        runtime.block_on(end_tasks(&ledger, &hand, &ends));
        check_nothing_left(&ledger);
        let snapshot = ledger.snapshot();
        prop_assert_eq!(snapshot.accounts[0].opened, ends.len() as u64);
        let panics = ends.iter().filter(|end| **end == 1).count();
        prop_assert_eq!(snapshot.accounts[0].closed_as("panicked"), panics as u64);
    }
}

fn end_among_others(account: &Account<TaskOutcome>, entry: Entry<TaskOutcome>, ending: usize) {
    let handle = entry.handle();
    match ending {
        0 => entry.close(TaskOutcome::Completed),
        1 => drop(entry),
        2 => panic_holding(move || entry),
        _ => {
            // The slot may be taken at once by a new entry, which the old handle must leave alone.
            drop(entry);
            let next = account.open();
            handle.will_close(TaskOutcome::TimedOut);
            next.close(TaskOutcome::Failed);
        }
    }
    handle.set_state("in_use");
}

/// Runs as many tasks as there are ends, under owners that end first: 0 returns, 1 panics, 2 is aborted, 3 hangs until
/// its set is dropped.
async fn end_tasks(ledger: &Ledger, hand: &ManualClock, ends: &[usize]) {
    let account = ledger.account::<TaskOutcome>(Labels::new());
    let requests = ledger.account::<RequestOutcome>(Labels::new());
    let mut set = TaskSet::new();
    let mut releases = Vec::new();
    for end in ends.iter().copied() {
        let owner = Owner::begin(&requests, OwnerId::default());
        let entry = account.open_for(Some(&owner.reference()), Some(ledger.now()));
        let (release, released) = oneshot::channel::<()>();
        let task = set.spawn(entry, async move {
            match (end, released.await) {
                (0, Ok(())) => {}
                (1, Ok(())) => resume_unwind(Box::new("meant")),
                _ => pending().await,
            }
        });
        releases.push((end, release, task));
    }
    let late = |ledger: &Ledger| {
        let account = &ledger.snapshot().accounts[0];
        (account.overdue, account.orphaned)
    };
    hand.advance(GRACE);
    assert_eq!(late(ledger), (0, 0));
    hand.advance(Duration::from_nanos(1));
    // Every owner ended when its turn was over.
    assert_eq!(late(ledger), (ends.len() as u64, ends.len() as u64));
    for (end, release, task) in releases {
        if end == 2 {
            task.abort();
        }
        // A task that was aborted no longer listens.
        let _ = release.send(());
        ledger.snapshot().accounts.iter().for_each(check_law);
    }
    let hanging = ends.iter().filter(|end| **end == 3).count();
    while set.len() > hanging {
        set.join_next().await;
    }
    assert_eq!(ledger.snapshot().open("fan_out_task"), hanging as u64);
    set.shutdown().await;
}
