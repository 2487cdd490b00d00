//! The metrics of the contract, as the real recorder renders them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use expect_test::expect;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use resource_ledger::{
    BodyOutcome, ConnectionOutcome, Exporter, Labels, Ledger, Owner, RequestOutcome,
    ServiceTaskOutcome, Settings,
};

use crate::support::{manual_ledger, owner_id};

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// The samples, sorted, without comments and blank lines.
fn samples(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    lines.sort_unstable();
    lines
}

fn scrape(exporter: &Exporter, recorder: &PrometheusRecorder) -> String {
    exporter.render(recorder, |_| recorder.handle().render())
}

#[test]
fn every_series_of_the_contract_is_there_from_the_start() {
    let (ledger, hand) = manual_ledger();
    let (exporter, recorder) = (Exporter::new(ledger.clone()), recorder());
    let bodies =
        ledger.account::<BodyOutcome>(Labels::new().upstream("content").route("/content/*"));
    let expected = expect![[r#"
        resource_ledger_accounts 1
        resource_ledger_accounts_limit 1000
        resource_ledger_accounts_refused_total 0
        resource_ledger_closed_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs",outcome="abandoned"} 0
        resource_ledger_closed_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs",outcome="complete"} 0
        resource_ledger_closed_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs",outcome="drained"} 0
        resource_ledger_closed_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs",outcome="failed"} 0
        resource_ledger_closed_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs",outcome="unread"} 0
        resource_ledger_oldest_age_seconds{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 0
        resource_ledger_opened_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 0
        resource_ledger_open{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 0
        resource_ledger_orphaned{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 0
        resource_ledger_overdue{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 0"#]];
    expected.assert_eq(&samples(&scrape(&exporter, &recorder)).join("\n"));

    let owner = Owner::begin(
        &ledger.account(Labels::new().route("/content/*").site("server")),
        owner_id("r-1"),
    );
    let held = bodies.open_for(Some(&owner.reference()), Some(ledger.now()));
    bodies.open().close(BodyOutcome::Complete);
    owner.end(RequestOutcome::Completed);
    hand.advance(Duration::from_millis(2500));
    let expected = expect![[r#"
        resource_ledger_accounts 2
        resource_ledger_accounts_limit 1000
        resource_ledger_closed_total{resource="request",route="/content/*",site="server",outcome="completed"} 1
        resource_ledger_closed_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs",outcome="complete"} 1
        resource_ledger_oldest_age_seconds{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 2.5
        resource_ledger_opened_total{resource="request",route="/content/*",site="server"} 1
        resource_ledger_opened_total{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 2
        resource_ledger_open{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 1
        resource_ledger_orphaned{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 1
        resource_ledger_overdue{resource="response_body",upstream="content",route="/content/*",site="ledger/tests/it/export.rs"} 1"#]];
    let text = scrape(&exporter, &recorder);
    let positive: Vec<_> = samples(&text)
        .into_iter()
        .filter(|sample| !sample.ends_with(" 0"))
        .collect();
    expected.assert_eq(&positive.join("\n"));

    drop(held);
    let text = scrape(&exporter, &recorder);
    let back_to_zero = ["open{", "orphaned", "overdue", "oldest_age"];
    let levels = samples(&text)
        .into_iter()
        .filter(|sample| back_to_zero.iter().any(|name| sample.contains(name)));
    assert!(
        levels.clone().count() >= 8 && levels.clone().all(|sample| sample.ends_with(" 0")),
        "{text}"
    );
}

#[test]
fn every_metric_has_its_help_text_and_its_type() {
    let (ledger, _hand) = manual_ledger();
    let (exporter, recorder) = (Exporter::new(ledger.clone()), recorder());
    exporter.describe(&recorder);
    let _entry = ledger.account::<BodyOutcome>(Labels::new()).open();
    let text = scrape(&exporter, &recorder);
    let mut comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
    comments.sort_unstable();
    expect![[r#"
        # HELP resource_ledger_accounts Accounts (resource, upstream, route, site) that exist.
        # HELP resource_ledger_accounts_limit Accounts that can exist before the rest falls into `other`.
        # HELP resource_ledger_accounts_refused_total Look-ups of an account that fell into `other` because of the limit.
        # HELP resource_ledger_closed_total Entries closed, by how they ended.
        # HELP resource_ledger_oldest_age_seconds Age of the oldest open entry in seconds; 0 when none is open.
        # HELP resource_ledger_open Entries open now: opened less closed, exactly.
        # HELP resource_ledger_opened_total Entries opened: things taken into hold.
        # HELP resource_ledger_orphaned Entries still open more than the grace period after their request ended; zero in a correct program.
        # HELP resource_ledger_overdue Entries still open more than the grace period after their own deadline; zero in a correct program.
        # TYPE resource_ledger_accounts gauge
        # TYPE resource_ledger_accounts_limit gauge
        # TYPE resource_ledger_accounts_refused_total counter
        # TYPE resource_ledger_closed_total counter
        # TYPE resource_ledger_oldest_age_seconds gauge
        # TYPE resource_ledger_open gauge
        # TYPE resource_ledger_opened_total counter
        # TYPE resource_ledger_orphaned gauge
        # TYPE resource_ledger_overdue gauge"#]].assert_eq(&comments.join("\n"));
}

#[test]
fn an_account_that_appears_later_is_published_too() {
    let (ledger, _hand) = manual_ledger();
    let (exporter, recorder) = (Exporter::new(ledger.clone()), recorder());
    for number in 0..3 {
        let _entry = ledger
            .service_account("db_session", Labels::new().route(format!("/{number}")))
            .open();
        let text = scrape(&exporter, &recorder);
        assert!(
            text.contains(&format!(
                "resource_ledger_open{{resource=\"db_session\",route=\"/{number}\""
            )),
            "{text}"
        );
    }
}

/// Threads open, close and announce as fast as they can while two scrape: in every text, for every account, the gauge
/// is the difference of the counters, and no counter runs backwards.
#[test]
fn open_is_opened_less_closed_at_every_scrape_under_load() {
    const SCRAPES: usize = 60;
    let ledger = Ledger::new(Settings::default());
    let (exporter, recorder) = (Exporter::new(ledger.clone()), recorder());
    let stop = AtomicBool::new(false);
    let scrapes = || {
        // Also where a check fails: the threads that load end, and the failure is seen.
        let _stop = StopOnDrop(&stop);
        let mut opened = BTreeMap::new();
        let mut count = 0;
        while count < SCRAPES || opened.len() < 4 || opened.values().any(|opened| *opened == 0.0) {
            opened = check_scrape(&scrape(&exporter, &recorder), &opened);
            count += 1;
        }
    };
    std::thread::scope(|scope| {
        for upstream in ["content", "social", "content"] {
            let (ledger, stop) = (&ledger, &stop);
            scope.spawn(move || load(ledger, upstream, stop));
        }
        scope.spawn(scrapes);
        scrapes();
    });
    let text = scrape(&exporter, &recorder);
    assert!(
        samples(&text)
            .iter()
            .filter(|sample| sample.starts_with("resource_ledger_open{"))
            .all(|sample| sample.ends_with(" 0"))
    );
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn load(ledger: &Ledger, upstream: &'static str, stop: &AtomicBool) {
    let bodies = ledger.account::<BodyOutcome>(Labels::new().upstream(upstream));
    let connections = ledger.account::<ConnectionOutcome>(Labels::new().upstream(upstream));
    let mut held = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        held.extend((0..16).map(|_| (bodies.open(), connections.open())));
        for (body, connection) in held.drain(8..) {
            connection.transition("idle", None, None);
            body.close(BodyOutcome::Complete);
            connection.will_close(ConnectionOutcome::Evicted);
        }
    }
}

/// The law for each account of one text; gives what was opened, by account.
#[track_caller]
fn check_scrape(text: &str, before: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let mut opened = BTreeMap::new();
    let mut balance = BTreeMap::<String, f64>::new();
    for sample in samples(text) {
        let (series, value) = sample.rsplit_once(' ').expect("a value");
        let value: f64 = value.parse().expect("a number");
        let Some((name, labels)) = series.split_once('{') else {
            continue;
        };
        let account = labels
            .split(",outcome=")
            .next()
            .expect("there is a first")
            .trim_end_matches('}')
            .to_owned();
        match name {
            "resource_ledger_opened_total" => {
                *balance.entry(account.clone()).or_default() += value;
                opened.insert(account, value);
            }
            "resource_ledger_closed_total" | "resource_ledger_open" => {
                *balance.entry(account).or_default() -= value
            }
            _ => {}
        }
    }
    assert!(
        balance.values().all(|rest| *rest == 0.0),
        "{balance:?}\n{text}"
    );
    assert!(
        before
            .iter()
            .all(|(account, before)| opened[account] >= *before)
    );
    opened
}

#[tokio::test]
async fn a_publisher_keeps_a_recorder_that_has_no_hook_up_to_date() {
    let (ledger, _hand) = manual_ledger();
    let exporter = Exporter::new(ledger.clone());
    let recorder = Arc::new(recorder());
    let published = Arc::clone(&recorder);
    let upkeep = ledger
        .account::<ServiceTaskOutcome>(Labels::new().site("publisher"))
        .open();
    let publishing = ledger.spawn(upkeep, async move {
        exporter
            .publish_every(Duration::from_millis(1), &*published)
            .await
    });
    let bodies = ledger.account::<BodyOutcome>(Labels::new().site("here"));
    for count in [1, 3, 0, 2] {
        let _held: Vec<_> = (0..count).map(|_| bodies.open()).collect();
        let sample =
            format!("resource_ledger_open{{resource=\"response_body\",site=\"here\"}} {count}\n");
        let appears = async {
            while !recorder.handle().render().contains(&sample) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), appears)
            .await
            .expect("it is published");
    }
    drop(publishing);
}
