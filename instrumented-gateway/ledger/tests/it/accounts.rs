//! Accounts: found by their labels, bounded in number.

use resource_ledger::{
    Account, BodyOutcome, Labels, Ledger, ServiceOutcome, Settings, TaskOutcome,
};

fn bounded(max_accounts: usize) -> Ledger {
    Ledger::new(Settings {
        max_accounts,
        ..Settings::default()
    })
}

/// Another file would be another site: this stands for a library that is given an account.
mod library {
    use super::{Account, BodyOutcome};

    pub(crate) fn keep(account: &Account<BodyOutcome>) -> Account<BodyOutcome> {
        account.here()
    }
}

#[test]
fn the_same_labels_are_the_same_account() {
    let ledger = Ledger::default();
    let labels = || Labels::new().upstream("content").route("/content/*");
    let _first = ledger.account::<BodyOutcome>(labels()).open();
    let _second = ledger.account::<BodyOutcome>(labels()).open();
    let _task = ledger.account::<TaskOutcome>(labels()).open();
    let _named = ledger.account::<BodyOutcome>(labels().site("proxy")).open();
    let snapshot = ledger.snapshot();
    let open: Vec<_> = snapshot
        .accounts
        .iter()
        .map(|account| (account.resource, &*account.site, account.open))
        .collect();
    let here = "ledger/tests/it/accounts.rs";
    assert_eq!(
        open,
        [
            ("response_body", here, 2),
            ("fan_out_task", here, 1),
            ("response_body", "proxy", 1)
        ]
    );
}

#[test]
fn an_empty_label_is_an_absent_one() {
    let ledger = Ledger::default();
    let _first = ledger
        .account::<BodyOutcome>(Labels::new().upstream("").route(""))
        .open();
    let _second = ledger.account::<BodyOutcome>(Labels::new()).open();
    let snapshot = ledger.snapshot();
    let accounts: Vec<_> = snapshot
        .accounts
        .iter()
        .map(|account| (&account.upstream, &account.route, account.open))
        .collect();
    assert_eq!(accounts, [(&None, &None, 2)]);
}

#[test]
fn an_account_that_is_passed_on_counts_at_the_place_that_keeps_it() {
    let ledger = Ledger::default();
    let given = ledger.account::<BodyOutcome>(Labels::new().upstream("content").site("main"));
    let kept = library::keep(&given);
    let _entry = kept.open();
    let snapshot = ledger.snapshot();
    let sites: Vec<_> = snapshot
        .accounts
        .iter()
        .map(|account| (&*account.site, account.open))
        .collect();
    assert_eq!(sites, [("main", 0), ("ledger/tests/it/accounts.rs", 1)]);
    assert!(
        snapshot
            .accounts
            .iter()
            .all(|account| account.upstream.as_deref() == Some("content"))
    );
}

#[test]
fn accounts_past_the_limit_fall_into_other_and_are_counted() {
    let ledger = bounded(2);
    let open = |upstream: &str| {
        ledger
            .account::<BodyOutcome>(Labels::new().upstream(upstream))
            .open()
    };
    let held = [open("a"), open("b"), open("c"), open("d"), open("a")];
    let task = ledger
        .account::<TaskOutcome>(Labels::new().upstream("a"))
        .open();
    let words =
        ["db_session", "file_lock"].map(|word| ledger.service_account(word, Labels::new()).open());
    let snapshot = ledger.snapshot();
    let accounts: Vec<_> = snapshot
        .accounts
        .iter()
        .map(|account| {
            (
                account.resource,
                account.upstream.as_deref(),
                &*account.site,
                account.open,
            )
        })
        .collect();
    let here = "ledger/tests/it/accounts.rs";
    let expected = [
        ("response_body", Some("a"), here, 2),
        ("response_body", Some("b"), here, 1),
        ("response_body", None, "other", 2),
        ("fan_out_task", None, "other", 1),
        ("other", None, "other", 2),
    ];
    assert_eq!(accounts, expected);
    assert_eq!((snapshot.accounts_limit, snapshot.accounts_refused), (2, 5));
    drop((held, task, words));
    assert!(
        ledger
            .snapshot()
            .accounts
            .iter()
            .all(|account| account.open == 0 && account.closed_total() == account.opened)
    );
}

#[test]
fn a_services_own_word_has_three_ways_to_end() {
    let ledger = Ledger::default();
    let sessions = ledger.service_account("db_session", Labels::new());
    sessions.open().close(ServiceOutcome::Completed);
    drop(sessions.open());
    let snapshot = ledger.snapshot();
    assert_eq!(
        snapshot.accounts[0].closed,
        [("completed", 1), ("failed", 0), ("dropped", 1)]
    );
}

#[test]
#[should_panic(
    expected = "resource \"response_body\" has outcomes of its own: use Ledger::account"
)]
fn a_services_own_word_is_not_one_of_ours() {
    Ledger::default().service_account("response_body", Labels::new());
}

#[test]
#[should_panic(expected = "resource \"\" names nothing")]
fn a_services_own_word_is_not_empty() {
    Ledger::default().service_account("", Labels::new());
}
