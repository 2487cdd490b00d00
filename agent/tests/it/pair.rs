//! Two agents of one configuration, in-process, over loopback: one leak has one name and one beginning, whoever speaks.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::fake_alertmanager::FakeAlertmanager;
use crate::target::{PATIENCE, Target, Watcher, ledger_exposition};

/// Ports that were free a moment ago: each agent has to know the other's.
fn ports() -> [u16; 2] {
    let held = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.map(|own| own.local_addr().expect("an address").port())
}

fn configuration(other: u16, alertmanager: &FakeAlertmanager) -> String {
    format!(
        "alerting: {{ keep_firing_for: 0s, alertmanagers: [{{ static_configs: [{{ targets: [\"{}\"] }}] }}] }}\n\
         pair: {{ peers: [\"http://127.0.0.1:{other}\"], timeout: 1s, down_after: 4s }}\n",
        alertmanager.address
    )
}

async fn living(watcher: &Watcher) -> Value {
    let find = |data: &Value| {
        let leaks = data["leaks"].as_array()?;
        leaks
            .iter()
            .find(|leak| leak["living"] == true)
            .map(|leak| leak["id"].clone())
    };
    watcher
        .until("/api/v1/leaks", "a living incident", find)
        .await
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let reaching = async {
        while !reached() {
            looks.tick().await;
        }
    };
    if tokio::time::timeout(PATIENCE, reaching).await.is_err() {
        panic!("{what} did not come about");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_speak_as_one() {
    let directories = [0, 1].map(|_| tempfile::tempdir().expect("a directory"));
    let target = Target::exposing(&ledger_exposition(0)).await;
    let alertmanager = FakeAlertmanager::start().await;
    let [one, two] = ports();
    let listening = |index: usize, own, other| {
        let more = configuration(other, &alertmanager);
        Watcher::listening(own, &target.address, directories[index].path(), more)
    };
    let first = listening(0, one, two).await;
    let second = listening(1, two, one).await;
    let metrics = |text: &str| text.contains("leak_agent_peer_up{peer=\"http://127.0.0.1:");
    assert!(metrics(&first.text("/metrics").await));

    target.leak(7);
    assert_eq!(living(&first).await, living(&second).await);
    until("both speak", || alertmanager.messages().len() >= 2).await;
    let starts = || -> BTreeSet<String> {
        let messages = alertmanager.messages();
        messages
            .iter()
            .map(|own| own.starts_at.to_string())
            .collect()
    };
    assert_eq!(starts().len(), 1, "{:?}", alertmanager.messages());

    // The second goes away; the leak ends; the first waits until silence is an answer, and ends it.
    second.running.shutdown().await;
    target.leak(0);
    let is_resolved = || {
        alertmanager
            .last_of("shop")
            .is_some_and(|own| own.is_resolved())
    };
    until("the end", is_resolved).await;
    let told = alertmanager.messages().len();

    // Back again, it has the incident living in its state, hears that it is over, and tells of nothing else.
    let second = listening(1, two, one).await;
    let over = |data: &Value| (data["leaks"][0]["living"] == false).then_some(());
    second
        .until("/api/v1/leaks", "the end, as heard", over)
        .await;
    until("its word", || alertmanager.messages().len() > told).await;
    assert!(
        alertmanager.messages()[told..]
            .iter()
            .all(|own| own.is_resolved()),
        "{:?}",
        alertmanager.messages()
    );
    assert_eq!(starts().len(), 1);
    let report = first.get("/api/v1/pair").await;
    assert_eq!(report.status(), 200);
    first.running.shutdown().await;
    second.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_pair_tells_nobody_and_one_that_asks_itself_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::exposing(&ledger_exposition(0)).await;
    let alone = Watcher::of(&target.address, directory.path(), "").await;
    assert_eq!(alone.get("/api/v1/pair").await.status(), 404);
    alone.running.shutdown().await;

    let [own, _] = ports();
    let alertmanager = FakeAlertmanager::start().await;
    let itself = configuration(own, &alertmanager);
    let watcher = Watcher::listening(own, &target.address, directory.path(), itself).await;
    target.leak(7);
    until("its alert all the same", || {
        !alertmanager.messages().is_empty()
    })
    .await;
    let down = format!("leak_agent_peer_up{{peer=\"http://127.0.0.1:{own}\"}} 0");
    let metrics = watcher.text("/metrics").await;
    assert!(metrics.contains(&down), "{metrics}");
    watcher.running.shutdown().await;
}
