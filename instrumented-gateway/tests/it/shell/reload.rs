//! Another configuration while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use instrumented_gateway::gateway::Running;
use tokio::sync::watch;

use super::binary::{File, file};
use super::support::{comes_to, metrics, quiet, start, text, value};
use crate::support::{Client, Peer, Upstream, eventually, get, response, soon, spawn};

const BEFORE: &str = r#"
upstreams:
  - { name: one, endpoints: ["{0}"] }
  - { name: two, endpoints: ["{1}"] }
routes:
  - { path: /one/*, proxy: one }
  - { path: /two/*, proxy: two }
  - path: /both
    fan_out: { policy: error, calls: [{ name: a, upstream: one, path: /a }, { name: b, upstream: two, path: /b }] }
"#;

/// The upstream `two` has other settings, the upstreams another order, and there is one route more.
const AFTER: &str = r#"
limits: { max_connections: 5000, max_headers: 50 }
upstreams:
  - { name: two, endpoints: ["{1}"], max_idle: 7 }
  - { name: one, endpoints: ["{0}"] }
routes:
  - { path: /more, proxy: one, rewrite: /one/more }
  - { path: /two/*, proxy: two }
  - { path: /one/*, proxy: one }
  - path: /both
    deadline: 4s
    fan_out: { policy: error, calls: [{ name: a, upstream: one, path: /a }, { name: b, upstream: two, path: /b }] }
"#;

const SUCCESSFUL: &str = "gateway_config_last_reload_successful";
const TIMESTAMP: &str = "gateway_config_last_reload_success_timestamp_seconds";

fn write(file: &File, config: &str, upstreams: &[&Upstream]) {
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.address).collect();
    std::fs::write(&file.path, text(config, &addresses)).expect("written");
}

/// Asks again and again over kept connections, as long as it is told to. Returns how many answers came.
async fn keep_asking(gateway: Arc<Running>, path: &'static str, asking: Arc<AtomicBool>) -> usize {
    let mut client = Client::connect(gateway.listen_addr()).await;
    let mut answers = 0;
    while asking.load(Ordering::SeqCst) {
        client.get(path).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.whole);
        answers += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_requests_does_not_notice_reloads() {
    const RELOADS: usize = 50;
    let one = Upstream::answering(|_| response(200, "1")).await;
    let two = Upstream::answering(|_| response(200, "2")).await;
    let file = file("");
    let gateway = Arc::new(start(BEFORE, &[one.address, two.address]).await);
    let asking = Arc::new(AtomicBool::new(true));
    let clients: Vec<_> = ["/one/x", "/two/x", "/both", "/one/y", "/two/y", "/both"]
        .into_iter()
        .map(|path| spawn(keep_asking(Arc::clone(&gateway), path, Arc::clone(&asking))))
        .collect();
    let requests = r#"gateway_requests_total{route="/two/*",code="200"}"#;
    let mut counted = 0.0;
    for reload in 0..RELOADS {
        write(
            &file,
            if reload % 2 == 0 { AFTER } else { BEFORE },
            &[&one, &two],
        );
        assert!(gateway.reload(&file.path));
        let begun = value(&metrics(&gateway).await, requests).expect("a series");
        assert!(begun >= counted, "{begun} after {counted}");
        // Each configuration serves for a while.
        let served =
            async { while value(&metrics(&gateway).await, requests) < Some(begun + 3.0) {} };
        soon("requests are served", served).await;
        counted = begun;
    }
    asking.store(false, Ordering::SeqCst);
    for client in clients {
        let answers = client.await.expect("no request failed");
        assert!(answers > RELOADS, "{answers}");
    }
    quiet(&gateway).await;
    // The upstream that never changed kept its connections: one for each who asks at a time.
    assert!(one.accepted() <= 4, "{}", one.accepted());
    assert!(two.accepted() >= RELOADS, "{}", two.accepted());
    assert_eq!(value(&metrics(&gateway).await, SUCCESSFUL), Some(1.0));
    // What has been retired holds nothing.
    eventually("connections of earlier configurations are closed", || {
        two.accepted() - two.closed() <= 4
    })
    .await;
    let gateway = Arc::into_inner(gateway).expect("alone");
    let ledger = gateway.ledger().clone();
    assert_eq!(gateway.shutdown().await, 0);
    for resource in [
        "request",
        "response_body",
        "pool_connection",
        "fan_out_task",
        "connection_task",
    ] {
        // A task is over a moment after what it held is.
        eventually("nothing is left", || ledger.snapshot().open(resource) == 0).await;
    }
}

#[tokio::test]
async fn what_vanished_serves_whom_it_has_and_is_closed() {
    let (release, released) = watch::channel(false);
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::start({
        let asked = Arc::clone(&asked);
        move |mut peer: Peer| {
            let (mut released, asked) = (released.clone(), Arc::clone(&asked));
            async move {
                while let Some(head) = peer.request().await {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if head.contains("/slow") {
                        let _ = released.wait_for(|released| *released).await;
                    }
                    let _ = peer.send(&response(200, "served")).await;
                }
            }
        }
    })
    .await;
    let other = Upstream::answering(|_| response(200, "other")).await;
    let gateway = start(BEFORE, &[other.address, upstream.address]).await;
    let mut slow = Client::asking(gateway.listen_addr(), "/two/slow").await;
    eventually("it is under way", || asked.load(Ordering::SeqCst) == 1).await;
    assert_eq!(get(gateway.listen_addr(), "/two/x").await.status, 200);
    let pool = |state| format!(r#"gateway_pool_connections{{upstream="two",state="{state}"}}"#);
    comes_to(&gateway, &pool("idle"), 1.0).await;
    let without = file(&text(
        "upstreams: [{ name: one, endpoints: [\"{0}\"] }]\nroutes: [{ path: /one/*, proxy: one }]\n",
        &[other.address],
    ));
    assert!(gateway.reload(&without.path));
    comes_to(&gateway, &pool("idle"), 0.0).await;
    comes_to(&gateway, &pool("in_use"), 1.0).await;
    comes_to(&gateway, r#"gateway_pool_limit{upstream="two"}"#, 0.0).await;
    assert_eq!(get(gateway.listen_addr(), "/two/x").await.status, 404);
    assert_eq!(get(gateway.listen_addr(), "/one/x").await.text(), "other");
    release.send(true).expect("the upstream waits");
    assert_eq!(slow.answer().await.text(), "served");
    comes_to(&gateway, &pool("in_use"), 0.0).await;
    eventually("its connections are closed", || upstream.closed() == 2).await;
    quiet(&gateway).await;
    let text = metrics(&gateway).await;
    for (series, expected) in [
        (r#"gateway_requests_total{route="/two/*",code="200"}"#, 2.0),
        (r#"gateway_pool_connects_total{upstream="two"}"#, 2.0),
        (
            r#"gateway_upstream_requests_total{upstream="two",result="ok"}"#,
            2.0,
        ),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing() {
    let upstream = Upstream::answering(|_| response(200, "old")).await;
    let gateway = start(BEFORE, &[upstream.address, upstream.address]).await;
    let since = value(&metrics(&gateway).await, TIMESTAMP).expect("a series");
    assert!(since > 1.7e9, "{since}");
    let good = text(AFTER, &[upstream.address, upstream.address]);
    let cases = [
        good.replace("proxy: one", "proxy: three"),
        good.replace("max_idle: 7", "max_idel: 7"),
        good.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:1"),
        "listen: [".to_owned(),
        String::new(),
    ];
    for bad in cases {
        let bad = file(&bad);
        assert!(!gateway.reload(&bad.path));
        assert!(!gateway.reload(&bad.path.with_file_name("none.yml")));
        let text = metrics(&gateway).await;
        assert_eq!(value(&text, SUCCESSFUL), Some(0.0));
        assert_eq!(value(&text, TIMESTAMP), Some(since));
        assert_eq!(get(gateway.listen_addr(), "/one/x").await.text(), "old");
        assert_eq!(get(gateway.listen_addr(), "/more").await.status, 404);
    }
    let good = file(&good);
    assert!(gateway.reload(&good.path));
    let text = metrics(&gateway).await;
    assert_eq!(value(&text, SUCCESSFUL), Some(1.0));
    assert!(value(&text, TIMESTAMP) >= Some(since));
    assert_eq!(get(gateway.listen_addr(), "/more").await.text(), "old");
    assert_eq!(
        value(
            &text,
            r#"gateway_client_connections_limit{listener="listen"}"#
        ),
        Some(5000.0)
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn every_key_that_is_fixed_is_named() {
    let upstream = Upstream::hanging().await;
    let gateway = start(BEFORE, &[upstream.address, upstream.address]).await;
    let next = text(BEFORE, &[upstream.address, upstream.address])
        .replace(
            "listen: 127.0.0.1:0",
            "listen: 127.0.0.1:1\ngrace: 3s\nadmin_drills: true",
        )
        .replace("metrics: 127.0.0.1:0", "metrics: 127.0.0.1:2");
    let next = instrumented_gateway::config::Config::parse(&next).expect("a configuration");
    let error = gateway.replace(next).expect_err("refused");
    let advice = "while the gateway runs; restart it, or put the old value back";
    assert_eq!(
        error.to_string(),
        format!(
            "listen: cannot change from 127.0.0.1:0 to 127.0.0.1:1 {advice}\n\
             metrics: cannot change from 127.0.0.1:0 to 127.0.0.1:2 {advice}\n\
             admin_drills: cannot change from false to true {advice}\n\
             grace: cannot change from 2s to 3s {advice}"
        )
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_was_full_accepts_within_a_higher_limit() {
    let upstream = Upstream::hanging().await;
    let upstreams = [upstream.address, upstream.address];
    let limited = format!("limits: {{ max_connections: 1 }}{BEFORE}");
    let gateway = start(&limited, &upstreams).await;
    let _held = Client::asking(gateway.listen_addr(), "/one/x").await;
    let reached = r#"gateway_client_connections_limit_reached_total{listener="listen"}"#;
    comes_to(&gateway, reached, 1.0).await;
    let mut waiting = Client::asking(gateway.listen_addr(), "/nowhere").await;
    let more = file(&text(
        &limited.replace("connections: 1", "connections: 2"),
        &upstreams,
    ));
    assert!(gateway.reload(&more.path));
    assert_eq!(waiting.answer().await.status, 404);
    gateway.shutdown().await;
}
