//! An agent over a store on loopback that holds whatever a test says, or misbehaves.

mod replay;
mod trouble;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::history::store::tests::server::{Reply, Server};
use world::{Shape, Watcher, World};

/// The first incident, where there is one.
fn first_leak(data: &Value) -> Option<Value> {
    data["leaks"].as_array()?.first().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_four_hours_old_is_convicted_at_the_first_evaluation() {
    let world = World::of(&[
        ("a:1", Shape::Leaking { hours: 4.0 }),
        ("b:1", Shape::Healthy),
        ("c:1", Shape::Healthy),
    ]);
    let server = Server::start(world.stored(), |_| Reply::Truth).await;
    let directory = tempfile::tempdir().expect("a directory");
    let watcher = Watcher::of(&server, directory.path(), "").await;
    // The first evaluation of all: nothing was judged before it.
    let judged = watcher.first_judgement().await;
    let leak = first_leak(&watcher.data("/api/v1/leaks").await).expect("a leak");
    assert_eq!(leak["signal"], "process_open_fds", "{leak}");
    assert_eq!(leak["convicted_at"].as_f64(), Some(judged), "{leak}");
    assert_eq!(leak["instances"][0]["instance"], "a:1", "{leak}");
    let onset = leak["onset"].as_f64().expect("an onset");
    let truth = world.now.seconds() - 4.0 * 3600.0;
    assert!((onset - truth).abs() < 3600.0, "{onset} and not {truth}");
    assert!(server.most.load(Ordering::SeqCst) <= 4);
    let targets = watcher.data("/api/v1/targets").await;
    assert_eq!(targets["activeTargets"].as_array().map(Vec::len), Some(3));
    assert_eq!(targets["activeTargets"][0]["health"], "up", "{targets}");
    assert_eq!(targets["sources"][0]["health"], "up", "{targets}");
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_without_another_history_or_alert() {
    let world = World::of(&[
        ("a:1", Shape::Leaking { hours: 30.0 }),
        ("b:1", Shape::Healthy),
    ]);
    let server = Server::start(world.stored(), |_| Reply::Truth).await;
    let directory = tempfile::tempdir().expect("a directory");
    let first = Watcher::of(&server, directory.path(), "").await;
    let before = first.firing().await;
    first.running.shutdown().await;
    let asked = server.requests().len();

    let second = Watcher::of(&server, directory.path(), "").await;
    second.first_judgement().await;
    let after = second.firing().await;
    assert_eq!(
        after["activeAt"], before["activeAt"],
        "it is the same alert"
    );
    assert_eq!(after["labels"], before["labels"]);
    let leaks = second.data("/api/v1/leaks").await;
    assert_eq!(leaks["leaks"].as_array().map(Vec::len), Some(1), "{leaks}");
    let again = &server.requests()[asked..];
    assert!(
        again.iter().all(|request| request.path == "query"),
        "only what is new is asked for"
    );
    second.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_does_not_answer_is_not_gone() {
    let world = World::of(&[
        ("a:1", Shape::Leaking { hours: 30.0 }),
        ("b:1", Shape::Healthy),
    ]);
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let server = Server::start(world.stored(), move |_| {
        if down.load(Ordering::SeqCst) {
            Reply::Status(503, Vec::new(), "busy".to_owned())
        } else {
            Reply::Truth
        }
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let watcher = Watcher::of(&server, directory.path(), "").await;
    let before = watcher.firing().await;
    is_down.store(true, Ordering::SeqCst);
    let health = |data: &Value, wanted: &str| {
        (data["sources"][0]["health"] == wanted).then(|| data["sources"][0].clone())
    };
    let source = watcher
        .until("/api/v1/targets", "a source that is down", |data| {
            health(data, "down")
        })
        .await;
    assert_eq!(source["lastError"], "HTTP status 503: busy");
    let metrics = watcher.text("/metrics").await;
    let name = server.address.as_str();
    for line in [
        format!("leak_agent_source_up{{source=\"{name}\"}} 0"),
        "leak_agent_target_up{instance=\"a:1\",job=\"shop\"} 1".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert!(
        !metrics.contains(&format!(
            "leak_agent_source_errors_total{{source=\"{name}\",kind=\"status\"}} 0"
        )),
        "{metrics}"
    );
    is_down.store(false, Ordering::SeqCst);
    watcher
        .until("/api/v1/targets", "a source that is up again", |data| {
            health(data, "up")
        })
        .await;
    assert_eq!(watcher.firing().await["activeAt"], before["activeAt"]);
    watcher.running.shutdown().await;
}
