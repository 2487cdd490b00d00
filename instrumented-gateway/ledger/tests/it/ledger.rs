//! Opening, closing, lateness, listings.

use std::time::Duration;

use resource_ledger::{
    BodyOutcome, Clock, ConnectionOutcome, Filter, Labels, Ledger, ManualClock, Owner, OwnerId,
    RequestOutcome, Settings,
};

fn manual() -> (Ledger, ManualClock) {
    let (clock, hand) = Clock::manual();
    (
        Ledger::new(Settings {
            clock,
            ..Settings::default()
        }),
        hand,
    )
}

fn owner_id(request_id: &str) -> OwnerId {
    OwnerId {
        request_id: request_id.to_owned(),
        trace_id: Some("4bf92f35".to_owned()),
    }
}

#[test]
fn an_entry_is_counted_once_however_it_ends() {
    let (ledger, _hand) = manual();
    let bodies =
        ledger.account::<BodyOutcome>(Labels::new().upstream("content").route("/content/*"));
    let (closed, dropped, announced) = (bodies.open(), bodies.open(), bodies.open());
    assert_eq!(ledger.snapshot().open("response_body"), 3);
    closed.close(BodyOutcome::Complete);
    announced.will_close(BodyOutcome::Drained);
    drop((dropped, announced));
    let snapshot = ledger.snapshot();
    let account = &snapshot.accounts[0];
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
fn late_entries_are_overdue_and_orphaned_after_the_grace_period() {
    let (ledger, hand) = manual();
    let requests = ledger.account::<RequestOutcome>(Labels::new().route("/home/{id}"));
    let connections = ledger.account::<ConnectionOutcome>(Labels::new().upstream("content"));
    let owner = Owner::begin(&requests, owner_id("r-1"));
    let connection = connections.open();
    connection.transition(
        "in_use",
        Some(&owner.reference()),
        Some(ledger.now() + Duration::from_secs(1)),
    );
    let late = |ledger: &Ledger| {
        let snapshot = ledger.snapshot();
        let account = snapshot
            .of("pool_connection")
            .next()
            .expect("registered above")
            .clone();
        (account.overdue, account.orphaned)
    };
    hand.advance(Duration::from_secs(3));
    assert_eq!(late(&ledger), (0, 0), "grace is not over before it is over");
    hand.advance(Duration::from_nanos(1));
    assert_eq!(late(&ledger), (1, 0));
    owner.end(RequestOutcome::Completed);
    hand.advance(Duration::from_secs(2));
    assert_eq!(late(&ledger), (1, 0));
    hand.advance(Duration::from_nanos(1));
    assert_eq!(late(&ledger), (1, 1));

    let listing = ledger.oldest(&Filter::resource("pool_connection"), 10);
    assert_eq!((listing.total, listing.truncated), (1, false));
    let entry = &listing.entries[0];
    assert_eq!(
        (entry.state, entry.upstream.as_deref()),
        ("in_use", Some("content"))
    );
    assert!(
        entry.site.starts_with("ledger/tests/it/ledger.rs:"),
        "{}",
        entry.site
    );
    assert!(
        entry.deadline_seconds.is_some_and(|seconds| seconds < -4.0),
        "{entry:?}"
    );
    let owner = entry.owner.as_ref().expect("it was given one");
    assert_eq!(
        (
            owner.request_id.as_str(),
            owner.ended_seconds.is_some_and(|seconds| seconds > 2.0)
        ),
        ("r-1", true)
    );

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
