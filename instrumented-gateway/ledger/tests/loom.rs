//! Every interleaving of the few lines that several threads run at once, as loom sees it.
//!
//! `--cfg loom` replaces the locks of the whole build, so it has a target directory of its own:
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p resource-ledger --release --test loom`

#![cfg(loom)]

use loom::thread;
use resource_ledger::{
    BodyOutcome, Clock, ConnectionOutcome, Filter, Labels, Ledger, Owner, OwnerId, RequestOutcome,
    Settings, Snapshot,
};

fn ledger() -> Ledger {
    // The hand is dropped: time stands still, so that every run of the model is the same.
    let (clock, _hand) = Clock::manual();
    Ledger::new(Settings {
        clock,
        ..Settings::default()
    })
}

/// Time stands still here, so nothing is ever late.
#[track_caller]
fn check_law(snapshot: &Snapshot) {
    for account in &snapshot.accounts {
        assert_eq!(
            account.opened,
            account.closed_total() + account.open,
            "{account:?}"
        );
        assert_eq!(
            account.states.iter().map(|(_, count)| count).sum::<u64>(),
            account.open,
            "{account:?}"
        );
        assert_eq!((account.overdue, account.orphaned), (0, 0), "{account:?}");
    }
}

#[track_caller]
fn check_end(ledger: &Ledger, resource: &str, opened: u64) {
    let snapshot = ledger.snapshot();
    check_law(&snapshot);
    assert_eq!(snapshot.open(resource), 0);
    assert_eq!(
        snapshot
            .of(resource)
            .map(|account| account.opened)
            .sum::<u64>(),
        opened
    );
}

#[test]
fn a_snapshot_beside_openings_and_closings_adds_up() {
    loom::model(|| {
        let ledger = ledger();
        let bodies = ledger.account::<BodyOutcome>(Labels::new());
        let other = bodies.clone();
        let worker = thread::spawn(move || other.open().close(BodyOutcome::Complete));
        let entry = bodies.open();
        check_law(&ledger.snapshot());
        drop(entry);
        worker.join().unwrap();
        check_end(&ledger, "response_body", 2);
    });
}

#[test]
fn an_entry_closes_once_on_whichever_thread() {
    loom::model(|| {
        let ledger = ledger();
        let bodies = ledger.account::<BodyOutcome>(Labels::new());
        let entry = bodies.open();
        let here = bodies.clone();
        let closer = thread::spawn(move || entry.close(BodyOutcome::Drained));
        // Goes into the shard where the other thread is closing, and may get the slot that becomes free.
        drop(here.open());
        check_law(&ledger.snapshot());
        closer.join().unwrap();
        check_end(&ledger, "response_body", 2);
    });
}

#[test]
fn a_handle_never_touches_the_entry_that_got_its_slot() {
    loom::model(|| {
        let ledger = ledger();
        let connections = ledger.account::<ConnectionOutcome>(Labels::new());
        let first = connections.open();
        let handle = first.handle();
        let annotator = thread::spawn(move || {
            handle.set_state("in_use");
            handle.will_close(ConnectionOutcome::Upgraded);
        });
        drop(first);
        let second = connections.open();
        annotator.join().unwrap();
        let listing = ledger.oldest(&Filter::default(), 1);
        assert_eq!((listing.total, listing.entries[0].state), (1, "open"));
        drop(second);
        let snapshot = ledger.snapshot();
        let account = &snapshot.accounts[0];
        // The first may have been upgraded, if the announcement came before its end. The second never is.
        assert!(
            account.closed_as("upgraded") <= 1 && account.closed_as("error") >= 1,
            "{account:?}"
        );
        check_end(&ledger, "pool_connection", 2);
    });
}

#[test]
fn a_connection_goes_from_one_request_to_the_next_while_it_is_watched() {
    loom::model(|| {
        let ledger = ledger();
        let requests = ledger.account::<RequestOutcome>(Labels::new());
        let connection = ledger.account::<ConnectionOutcome>(Labels::new()).open();
        let handle = connection.handle();
        let request = thread::spawn(move || {
            let owner = Owner::begin(&requests, OwnerId::default());
            handle.transition("in_use", Some(&owner.reference()), None);
            handle.transition("idle", None, None);
            owner.end(RequestOutcome::Completed);
        });
        check_law(&ledger.snapshot());
        request.join().unwrap();
        assert_eq!(ledger.oldest(&Filter::default(), 1).entries[0].owner, None);
        drop(connection);
        check_end(&ledger, "pool_connection", 1);
        check_end(&ledger, "request", 1);
    });
}

#[test]
fn an_account_appears_while_others_count() {
    loom::model(|| {
        let ledger = ledger();
        let other = ledger.clone();
        let registrar = thread::spawn(move || {
            other
                .account::<BodyOutcome>(Labels::new().upstream("b"))
                .open()
        });
        let entry = ledger
            .account::<BodyOutcome>(Labels::new().upstream("a"))
            .open();
        check_law(&ledger.snapshot());
        drop(registrar.join().unwrap());
        drop(entry);
        check_end(&ledger, "response_body", 2);
    });
}
