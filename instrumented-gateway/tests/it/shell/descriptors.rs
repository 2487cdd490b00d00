//! A gateway that has run out of descriptors.

use std::process::Command;

use super::binary::{Process, file};
use super::support::{text, value};
use crate::support::{Client, Upstream, get, soon};

/// Descriptors of the process, as its soft and hard limit.
const LIMIT: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn it_can_still_be_asked_how_it_is() {
    let upstream = Upstream::hanging().await;
    let config = r#"
upstreams: [{ name: one, endpoints: ["{0}"] }]
routes: [{ path: /x, proxy: one }]
"#;
    let file = file(&text(config, &[upstream.address]));
    let script = format!("ulimit -n {LIMIT} && exec \"$0\" --config \"$1\"");
    let binary = env!("CARGO_BIN_EXE_instrumented-gateway");
    let mut command = Command::new("sh");
    command.args(["-c", &script, binary]).arg(&file.path);
    let process = Process::start(&mut command);
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
