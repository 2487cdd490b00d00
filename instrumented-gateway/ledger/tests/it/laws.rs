//! Laws that hold for any history: opened = closed + open at every step, what is late is late by the clock alone, and
//! any mixture of endings leaves zero.

use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use resource_ledger::{
    Account, AccountSnapshot, Entry, Labels, Ledger, ManualClock, Owner, OwnerId, RequestOutcome,
    TaskOutcome, TaskSet,
};
use tokio::sync::oneshot;

use self::model::{ENDINGS, Ending, GRACE, Model, Step, step};
use crate::support::{manual_ledger, panic_holding};

mod model;

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
