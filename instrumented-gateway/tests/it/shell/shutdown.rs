//! How a gateway ends.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::support::{comes_to, start};
use crate::support::{Client, Peer, Upstream, get, now, response, soon, spawn};

const CONFIG: &str = r#"
shutdown_timeout: 1s
upstreams:
  - { name: one, endpoints: ["{0}"] }
routes:
  - { path: /one/*, proxy: one }
"#;

#[tokio::test]
async fn requests_in_flight_end_before_the_gateway_does() {
    let (release, released) = watch::channel(false);
    let upstream = Upstream::start(move |mut peer: Peer| {
        let mut released = released.clone();
        async move {
            while peer.request().await.is_some() {
                let _ = released.wait_for(|released| *released).await;
                let _ = peer.send(&response(200, "at last")).await;
            }
        }
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let (listen, metrics) = (gateway.listen_addr(), gateway.metrics_addr());
    let mut client = Client::asking(listen, "/one/x").await;
    let [mut idle, mut busy] = [
        Client::asking(listen, "/nowhere").await,
        Client::asking(listen, "/nowhere").await,
    ];
    assert_eq!(idle.answer().await.status, 404);
    assert_eq!(busy.answer().await.field("connection"), None);
    let in_use = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;
    comes_to(&gateway, in_use, 1.0).await;
    let shutdown = spawn(gateway.shutdown());
    let refused = async { while TcpStream::connect(listen).await.is_ok() {} };
    soon("no more connections are accepted", refused).await;
    busy.get("/nowhere").await;
    let last = busy.answer().await;
    assert_eq!(
        (last.status, last.field("connection")),
        (404, Some("close"))
    );
    let answer = get(metrics, "/ready").await;
    assert_eq!((answer.status, answer.text()), (503, "draining\n"));
    assert_eq!(get(metrics, "/live").await.status, 200);
    assert_eq!(
        idle.exactly(1).await,
        (Vec::new(), false),
        "an idle connection ends"
    );
    release.send(true).expect("the upstream waits");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "at last"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(soon("the end", shutdown).await.expect("no panic"), 0);
    assert!(TcpStream::connect(metrics).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut client = Client::asking(gateway.listen_addr(), "/one/x").await;
    let in_use = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;
    comes_to(&gateway, in_use, 1.0).await;
    let ledger = gateway.ledger().clone();
    let began = now();
    assert_eq!(soon("the end", gateway.shutdown()).await, 1);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(client.exactly(1).await, (Vec::new(), false));
    let snapshot = ledger.snapshot();
    for resource in [
        "request",
        "response_body",
        "pool_connection",
        "connection_task",
    ] {
        assert_eq!(snapshot.open(resource), 0, "{resource}");
    }
}

#[tokio::test]
async fn what_a_drill_holds_does_not_keep_the_gateway() {
    let upstream = Upstream::hanging().await;
    let config = r#"
shutdown_timeout: 1s
upstreams: [{ name: one, endpoints: ["{0}"] }]
routes:
  - { path: /fan, deadline: 50ms, fan_out: { policy: partial, calls: [{ name: a, upstream: one, path: /a }] } }
"#;
    let gateway = start(config, &[upstream.address]).await;
    let drill = instrumented_gateway::drill::Drill::DetachedTasks;
    gateway.drills().start(drill, drill.default_share());
    get(gateway.listen_addr(), "/fan").await;
    let ledger = gateway.ledger().clone();
    assert_eq!(ledger.snapshot().open("fan_out_task"), 1);
    assert_eq!(soon("the end", gateway.shutdown()).await, 0);
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.open("fan_out_task"), 0);
    assert_eq!(snapshot.open("pool_connection"), 0);
}

#[tokio::test]
async fn an_address_that_is_taken_leaves_nothing_bound() {
    let upstream = Upstream::hanging().await;
    let first = start(CONFIG, &[upstream.address]).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let free_address = free.local_addr().expect("an address");
    drop(free);
    let text = format!(
        "listen: {free_address}\nmetrics: {}\nupstreams: [{{ name: a, endpoints: [\"http://h:1\"] }}]\nroutes: [{{ path: /, proxy: a }}]\n",
        first.metrics_addr()
    );
    let config = instrumented_gateway::config::Config::parse(&text).expect("a configuration");
    let started = instrumented_gateway::gateway::Gateway::start(config, Default::default()).await;
    let error = started.expect_err("the address is taken");
    let source = std::error::Error::source(&error)
        .expect("a source")
        .to_string();
    assert_eq!(
        source,
        format!("`metrics` cannot listen on {}", first.metrics_addr())
    );
    tokio::net::TcpListener::bind(free_address)
        .await
        .expect("free again");
    first.shutdown().await;
}
