//! A gateway that has run out of descriptors.

use std::process::Command;

use super::binary::{File, Process, file};
use super::support::{text, value};
use crate::support::{Client, Upstream, get, response, soon};

/// Descriptors of the process, as its soft and hard limit.
const LIMIT: usize = 80;

/// A gateway with so few descriptors.
fn start(config: &str, upstream: &Upstream) -> (Process, File) {
    let file = file(&text(config, &[upstream.address]));
    let script = format!("ulimit -n {LIMIT} && exec \"$0\" --config \"$1\"");
    let binary = env!("CARGO_BIN_EXE_instrumented-gateway");
    let mut command = Command::new("sh");
    command.args(["-c", &script, binary]).arg(&file.path);
    (Process::start(&mut command), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_still_be_asked_how_it_is() {
    let upstream = Upstream::hanging().await;
    let config = r#"
limits: { descriptor_reserve: 0 }
upstreams: [{ name: one, endpoints: ["{0}"] }]
routes: [{ path: /x, proxy: one }]
"#;
    let (process, _file) = start(config, &upstream);
    let mut clients = Vec::new();
    for _ in 0..2 * LIMIT {
        // The kernel completes the connection, whether or not it is ever accepted.
        clients.push(Client::asking(process.listen, "/x").await);
    }
    let failures = r#"gateway_accept_failures_total{listener="listen"}"#;
    let blind = async {
        loop {
            let answer = get(process.metrics, "/metrics").await;
            let text = answer.text().to_owned();
            if value(&text, failures) > Some(2.0) {
                return text;
            }
        }
    };
    let text = soon("accepting fails", blind).await;
    assert_eq!(value(&text, "process_max_fds"), Some(LIMIT as f64));
    let open = value(&text, "process_open_fds").expect("a value");
    assert!(open > LIMIT as f64 * 0.8, "{open}");
    drop(clients);
    // This one waits in the kernel's queue until connections are accepted again.
    assert_eq!(get(process.listen, "/nowhere").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_turned_away_before_it_runs_out() {
    let upstream = Upstream::answering(|_| response(200, "served")).await;
    let config = r#"
limits: { descriptor_reserve: 30 }
upstreams: [{ name: one, endpoints: ["{0}"] }]
routes: [{ path: /x, proxy: one }]
"#;
    let (process, _file) = start(config, &upstream);
    let mut served = Client::asking(process.listen, "/nowhere").await;
    assert_eq!(served.answer().await.status, 404);
    // As many as fit stay; each of the others is told.
    let mut held = Vec::new();
    let mut turned_away = 0;
    while turned_away < 20 {
        assert!(held.len() < LIMIT, "nobody was turned away");
        let mut client = Client::asking(process.listen, "/nowhere").await;
        let answer = client.answer().await;
        if answer.status == 503 {
            assert_eq!(answer.text(), "the gateway has too many connections");
            assert_eq!(answer.field("retry-after"), Some("1"));
            assert_eq!(client.exactly(1).await, (Vec::new(), false));
            turned_away += 1;
        } else {
            assert_eq!(answer.status, 404);
            held.push(client);
        }
    }
    // Whoever has a connection is served, over a new one to the upstream.
    served.get("/x").await;
    assert_eq!(served.answer().await.text(), "served");
    let answer = get(process.metrics, "/metrics").await;
    let of = |name: &str| value(answer.text(), &format!("{name}{{listener=\"listen\"}}"));
    assert_eq!(of("gateway_client_connections_shed_total"), Some(20.0));
    assert_eq!(of("gateway_accept_failures_total"), Some(0.0));
    drop(held);
    let room = async { while get(process.listen, "/x").await.status != 200 {} };
    soon("clients are let in again", room).await;
}
