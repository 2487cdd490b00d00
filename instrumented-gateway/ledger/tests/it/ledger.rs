//! Opening, closing, lateness, listings.

use std::time::Duration;

use resource_ledger::{
    BodyOutcome, ConnectionOutcome, Filter, Labels, Ledger, Owner, RequestOutcome, ServiceOutcome,
    Settings, TaskOutcome,
};

use crate::support::{account_of, manual_ledger, outcomes, owner_id, panic_holding};

#[test]
fn an_entry_is_counted_once_however_it_ends() {
    let (ledger, _hand) = manual_ledger();
    let bodies =
        ledger.account::<BodyOutcome>(Labels::new().upstream("content").route("/content/*"));
    let (closed, dropped, announced) = (bodies.open(), bodies.open(), bodies.open());
    assert_eq!(ledger.snapshot().open("response_body"), 3);
    closed.close(BodyOutcome::Complete);
    announced.will_close(BodyOutcome::Drained);
    drop((dropped, announced));
    let account = account_of(&ledger, "response_body");
    assert_eq!(
        (account.opened, account.open, account.closed_total()),
        (3, 0, 3)
    );
    let expected = [
        ("complete", 1),
        ("drained", 1),
        ("abandoned", 1),
        ("unread", 0),
        ("failed", 0),
    ];
    assert_eq!(account.closed, expected);
    assert_eq!(&*account.site, "ledger/tests/it/ledger.rs");
}

#[test]
fn closing_wins_over_what_was_announced() {
    let (ledger, _hand) = manual_ledger();
    let entry = ledger.account::<ConnectionOutcome>(Labels::new()).open();
    entry.will_close(ConnectionOutcome::Shutdown);
    entry.close(ConnectionOutcome::PeerClosed);
    assert_eq!(outcomes(&ledger, "pool_connection"), [("peer_closed", 1)]);
}

#[test]
fn a_panic_is_named_where_the_resource_has_a_word_for_it() {
    let (ledger, _hand) = manual_ledger();
    let tasks = ledger.account::<TaskOutcome>(Labels::new());
    let words = ledger.service_account("db_session", Labels::new());
    let requests = ledger.account::<RequestOutcome>(Labels::new());
    let connections = ledger.account::<ConnectionOutcome>(Labels::new());
    panic_holding(move || {
        let (task, session, owner) = (
            tasks.open(),
            words.open(),
            Owner::begin(&requests, owner_id("r-1")),
        );
        // A request that was all but done did not complete when its handler panicked.
        owner.will_end(RequestOutcome::Completed);
        let connection = connections.open();
        connection.will_close(ConnectionOutcome::EarlyResponse);
        (task, session, owner, connection)
    });
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("panicked", 1)]);
    assert_eq!(outcomes(&ledger, "db_session"), [("failed", 1)]);
    assert_eq!(outcomes(&ledger, "request"), [("failed", 1)]);
    assert_eq!(
        outcomes(&ledger, "pool_connection"),
        [("early_response", 1)]
    );
}

#[test]
fn a_handle_outlives_its_entry_and_does_nothing_more() {
    let (ledger, _hand) = manual_ledger();
    let connections = ledger.account::<ConnectionOutcome>(Labels::new());
    let first = connections.open();
    let handle = first.handle();
    drop(first);
    let second = connections.open();
    let owner = Owner::begin(&ledger.account(Labels::new()), owner_id("r-1"));
    handle.transition("in_use", Some(&owner.reference()), Some(ledger.now()));
    handle.set_state("draining");
    handle.set_deadline(Some(ledger.now()));
    handle.will_close(ConnectionOutcome::Upgraded);
    let listing = ledger.oldest(&Filter::resource("pool_connection"), 10);
    let [entry] = listing.entries.as_slice() else {
        panic!("{listing:?}")
    };
    assert_eq!(
        (entry.state, entry.deadline_seconds, &entry.owner),
        ("open", None, &None)
    );
    drop(second);
    assert_eq!(outcomes(&ledger, "pool_connection"), [("error", 2)]);
}

#[test]
fn entries_outlive_the_ledger_that_counts_them() {
    let entry = Ledger::default()
        .service_account("db_session", Labels::new())
        .open();
    entry.set_state("idle");
    entry.close(ServiceOutcome::Completed);
}

#[test]
fn late_entries_are_overdue_and_orphaned_after_the_grace_period() {
    let (ledger, hand) = manual_ledger();
    let owner = Owner::begin(
        &ledger.account(Labels::new().route("/home/{id}")),
        owner_id("r-1"),
    );
    let connection = ledger
        .account::<ConnectionOutcome>(Labels::new().upstream("content"))
        .open();
    connection.transition(
        "in_use",
        Some(&owner.reference()),
        Some(ledger.now() + Duration::from_secs(1)),
    );
    let late = |ledger: &Ledger| {
        let account = account_of(ledger, "pool_connection");
        (account.overdue, account.orphaned)
    };
    hand.advance(Duration::from_secs(3));
    assert_eq!(late(&ledger), (0, 0), "grace is not over before it is over");
    hand.advance(Duration::from_nanos(1));
    assert_eq!(late(&ledger), (1, 0));
    assert_eq!(owner.reference().ended_at(), None);
    owner.end(RequestOutcome::Completed);
    hand.advance(Duration::from_secs(2));
    assert_eq!(late(&ledger), (1, 0));
    hand.advance(Duration::from_nanos(1));
    assert_eq!(late(&ledger), (1, 1));

    connection.transition("idle", None, None);
    assert_eq!(
        late(&ledger),
        (0, 0),
        "returned to its pool, it is nobody's and not late"
    );
    assert_eq!(
        ledger
            .snapshot()
            .open_in_state("pool_connection", "content", "idle"),
        1
    );
}

#[test]
fn a_renewed_deadline_is_never_overdue() {
    let (ledger, hand) = manual_ledger();
    let entry = ledger.account::<BodyOutcome>(Labels::new()).open();
    for _ in 0..10 {
        entry.set_deadline(Some(ledger.now() + Duration::from_secs(60)));
        hand.advance(Duration::from_secs(62));
        assert_eq!(account_of(&ledger, "response_body").overdue, 0);
    }
    hand.advance(Duration::from_millis(1));
    assert_eq!(account_of(&ledger, "response_body").overdue, 1);
}

#[test]
fn the_oldest_age_is_that_of_what_is_open() {
    let (ledger, hand) = manual_ledger();
    let bodies = ledger.account::<BodyOutcome>(Labels::new());
    let age = |ledger: &Ledger| account_of(ledger, "response_body").oldest_age;
    assert_eq!(age(&ledger), None);
    let first = bodies.open();
    hand.advance(Duration::from_secs(5));
    let second = bodies.open();
    hand.advance(Duration::from_secs(1));
    assert_eq!(age(&ledger), Some(Duration::from_secs(6)));
    drop(first);
    assert_eq!(age(&ledger), Some(Duration::from_secs(1)));
    drop(second);
    assert_eq!(age(&ledger), None);
}

#[test]
fn the_listing_tells_who_holds_what_for_whom_since_when() {
    let (ledger, hand) = manual_ledger();
    let owner = Owner::begin(
        &ledger.account(Labels::new().route("/home/{id}")),
        owner_id("r-1"),
    );
    let labels = Labels::new().upstream("social").route("/home/{id}");
    let tasks = ledger.account::<TaskOutcome>(labels);
    let deadline = Some(ledger.now() + Duration::from_secs(2));
    let line = line!() + 1;
    let task = tasks.open_for(Some(&owner.reference()), deadline);
    hand.advance(Duration::from_secs(5));
    owner.end(RequestOutcome::TimedOut);
    hand.advance(Duration::from_secs(1));
    let listing = ledger.oldest(&Filter::resource("fan_out_task"), 10);
    assert_eq!((listing.total, listing.truncated), (1, false));
    let entry = &listing.entries[0];
    assert_eq!(
        (entry.upstream.as_deref(), entry.route.as_deref()),
        (Some("social"), Some("/home/{id}"))
    );
    assert_eq!(entry.site, format!("ledger/tests/it/ledger.rs:{line}"));
    assert_eq!(
        (entry.age_seconds, entry.deadline_seconds),
        (6.0, Some(-4.0))
    );
    let owner = entry.owner.as_ref().expect("it was given one");
    assert_eq!(
        (owner.request_id.as_str(), owner.trace_id.as_deref()),
        ("r-1", Some("4bf92f35"))
    );
    assert_eq!(owner.ended_seconds, Some(1.0));

    task.set_site(std::panic::Location::caller());
    let moved = ledger.oldest(&Filter::default(), 1).entries.remove(0);
    assert_ne!(moved.site, entry.site);
}

#[test]
fn a_listing_is_bounded_and_starts_with_the_oldest() {
    let (ledger, hand) = manual_ledger();
    let account = |upstream: &str| ledger.account::<BodyOutcome>(Labels::new().upstream(upstream));
    let (content, social) = (account("content"), account("social"));
    let _open: Vec<_> = (0..20)
        .map(|number| {
            hand.advance(Duration::from_secs(1));
            if number % 2 == 0 {
                content.open()
            } else {
                social.open()
            }
        })
        .collect();
    let listing = ledger.oldest(&Filter::default(), 3);
    assert_eq!((listing.total, listing.truncated), (20, true));
    assert_eq!(
        listing
            .entries
            .iter()
            .map(|entry| entry.age_seconds)
            .collect::<Vec<_>>(),
        [19.0, 18.0, 17.0]
    );
    let filter = Filter {
        upstream: Some("social".to_owned()),
        ..Filter::default()
    };
    let listing = ledger.oldest(&filter, 100);
    assert_eq!(
        (
            listing.total,
            listing.truncated,
            listing.entries[0].age_seconds
        ),
        (10, false, 18.0)
    );
    assert_eq!(ledger.oldest(&filter, 0).entries, []);
    let nowhere = Filter {
        route: Some("/nowhere".to_owned()),
        ..Filter::default()
    };
    assert_eq!(ledger.oldest(&nowhere, 100).total, 0);
}

#[test]
fn what_was_closed_is_known_by_the_place_that_opened_it_last() {
    let (ledger, hand) = manual_ledger();
    let bodies = ledger.account::<BodyOutcome>(Labels::new().upstream("content"));
    bodies.open().close(BodyOutcome::Complete);
    bodies.open().close(BodyOutcome::Unread);
    hand.advance(Duration::from_secs(1));
    let line = line!() + 1;
    bodies.open().close(BodyOutcome::Unread);
    let places = ledger.last_closed(&Filter::resource("response_body"), None);
    assert_eq!(
        places
            .iter()
            .map(|place| (place.outcome, place.count))
            .collect::<Vec<_>>(),
        [("unread", 2), ("complete", 1)]
    );
    assert_eq!(places[0].site, format!("ledger/tests/it/ledger.rs:{line}"));
    assert_eq!(places[0].upstream.as_deref(), Some("content"));
    assert_eq!(
        ledger.last_closed(&Filter::default(), Some("unread")),
        places[..1]
    );
    assert_eq!(ledger.last_closed(&Filter::resource("request"), None), []);
}

#[test]
fn the_last_place_is_the_last_on_whichever_thread() {
    let (ledger, hand) = manual_ledger();
    let bodies = ledger.account::<BodyOutcome>(Labels::new());
    let check = |line: u32| {
        let place = ledger.last_closed(&Filter::default(), None).remove(0);
        assert_eq!(place.site, format!("ledger/tests/it/ledger.rs:{line}"));
        hand.advance(Duration::from_secs(1));
    };
    for _ in 0..3 {
        let ((), line) = (drop(bodies.open()), line!());
        check(line);
        // A thread of its own counts in a shard of its own.
        let ((), line) = std::thread::scope(|scope| {
            let thread = scope.spawn(|| (drop(bodies.open()), line!()));
            thread.join().expect("it does not panic")
        });
        check(line);
    }
}

#[test]
fn a_past_crowd_costs_no_memory_for_ever() {
    let (ledger, _hand) = manual_ledger();
    let bodies = ledger.account::<BodyOutcome>(Labels::new());
    let mut crowd: Vec<_> = (0..10_000).map(|_| bodies.open()).collect();
    crowd.truncate(1);
    assert_eq!(ledger.snapshot().open("response_body"), 1);
    // What is left keeps its place, and places are found again, after memory has been given back.
    crowd.extend((0..10_000).map(|_| bodies.open()));
    assert_eq!(ledger.snapshot().open("response_body"), 10_001);
    drop(crowd);
    assert_eq!(outcomes(&ledger, "response_body"), [("abandoned", 20_000)]);
    assert_eq!(ledger.snapshot().open("response_body"), 0);
}

#[test]
fn a_ledger_that_counts_nothing_takes_entries_all_the_same() {
    let ledger = Ledger::new(Settings {
        counts_nothing: true,
        ..Settings::default()
    });
    let account = ledger.account::<BodyOutcome>(Labels::new());
    let owner = Owner::begin(&ledger.account(Labels::new()), owner_id("r-1"));
    let entry = account.open_for(Some(&owner.reference()), Some(ledger.now()));
    entry.set_state("in_use");
    entry.will_close(BodyOutcome::Failed);
    assert_eq!(ledger.oldest(&Filter::default(), 10).total, 0);
    drop((entry, account.open()));
    let snapshot = ledger.snapshot();
    let body = snapshot.of("response_body").next().expect("the account");
    assert_eq!((body.opened, body.closed_total(), body.open), (0, 0, 0));
}
