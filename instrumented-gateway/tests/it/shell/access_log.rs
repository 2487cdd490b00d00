//! The access log, as whoever reads the process' standard output sees it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::binary::{File, Process, file};
use super::support::text;
use crate::support::{Client, Upstream, eventually, get, request, response, soon};

const CONFIG: &str = r#"
trusted_peers: [127.0.0.1]
access_log: json
upstreams:
  - { name: one, endpoints: ["{0}"] }
  - { name: gone, endpoints: ["http://127.0.0.1:1"] }
  - { name: hanging, endpoints: ["{1}"] }
routes:
  - { path: /one/*, proxy: one }
  - { path: /gone, proxy: gone }
  - { path: /hanging, proxy: hanging }
  - path: /both
    fan_out: { policy: partial, calls: [{ name: a, upstream: one, path: /a }, { name: b, upstream: gone, path: /b }] }
"#;

/// A gateway whose standard output goes to a file beside its configuration.
fn start(config: &str, upstreams: &[&Upstream]) -> (Process, File) {
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.address).collect();
    let file = file(&text(config, &addresses));
    let output = std::fs::File::create(file.path.with_file_name("access.log")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_instrumented-gateway"));
    command.arg("--config").arg(&file.path).stdout(output);
    (Process::start(&mut command), file)
}

/// Ends the gateway; what it wrote is whole then.
fn lines(process: Process, file: &File) -> Vec<String> {
    process.signal("TERM");
    let (status, log) = process.end();
    assert_eq!(status, Some(0), "{log}");
    let written = std::fs::read_to_string(file.path.with_file_name("access.log")).expect("text");
    written.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_line() {
    let one = Upstream::answering(|_| response(200, "[1]")).await;
    let under_way = Arc::new(AtomicUsize::new(0));
    let hanging = Upstream::start({
        let under_way = Arc::clone(&under_way);
        move |mut peer| {
            let under_way = Arc::clone(&under_way);
            async move {
                while peer.request().await.is_some() {
                    under_way.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let (process, file) = start(CONFIG, &[&one, &hanging]);
    let address = process.listen;
    let asked = "POST /one/x?secret=7 HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    assert_eq!(request(address, asked).await.status, 200);
    assert_eq!(get(address, "/nowhere").await.status, 404);
    assert_eq!(get(address, "/gone").await.status, 502);
    assert_eq!(get(address, "/both").await.status, 200);
    let leaving = Client::asking(address, "/hanging").await;
    // Not as soon as it is connected: the gateway may not know that yet.
    eventually("it is under way", || under_way.load(Ordering::SeqCst) == 1).await;
    drop(leaving);
    eventually("its connection is closed", || hanging.closed() == 1).await;
    assert_eq!(request(address, "what?\r\n\r\n").await.status, 400);
    let counted = async {
        loop {
            let answer = get(process.metrics, "/metrics").await;
            if answer
                .text()
                .contains("gateway_requests_total{route=\"unmatched\",code=\"400\"} 1")
            {
                return;
            }
        }
    };
    soon("the last one is counted", counted).await;
    let lines: Vec<Value> = lines(process, &file)
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let summary: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            let upstreams: Vec<String> = line["upstreams"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|call| {
                    format!(
                        "{}x{}",
                        call["upstream"].as_str().expect("a name"),
                        call["attempts"]
                    )
                })
                .collect();
            format!(
                "{} {} {} {} in {} out {} [{}] {}",
                text("method"),
                text("path"),
                text("route"),
                line["status"],
                line["request_bytes"],
                line["response_bytes"],
                upstreams.join(" "),
                text("reason")
            )
        })
        .collect();
    let mut summary: Vec<&str> = summary.iter().map(String::as_str).collect();
    let both = summary.remove(3);
    assert_eq!(
        summary,
        [
            "POST /one/x /one/* 200 in 5 out 3 [onex1] -",
            "GET /nowhere unmatched 404 in 0 out 27 [] no route matches this path",
            "GET /gone /gone 502 in 0 out 34 [gonex0] connecting to the upstream failed",
            "GET /hanging /hanging 499 in 0 out 0 [hangingx1] the client left",
            "  unmatched 400 in 0 out 0 [] what came was no request",
        ]
    );
    assert!(both.contains("onex1") && both.contains("gonex0"), "{both}");
    let first = &lines[0];
    assert_eq!(first["request_id"], "mine");
    assert_eq!(first["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(first["protocol"], "HTTP/1.1");
    assert_eq!(
        first.get("query"),
        None,
        "what it holds is nobody's business"
    );
    assert!(
        first["client"]
            .as_str()
            .is_some_and(|client| client.starts_with("127.0.0.1:"))
    );
    assert!(
        first["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
    assert!(
        first["duration_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_switches_it() {
    let one = Upstream::answering(|_| response(200, "[1]")).await;
    let off = CONFIG.replace("access_log: json\n", "");
    let (process, file) = start(&off, &[&one, &one]);
    assert_eq!(get(process.listen, "/one/before").await.status, 200);
    let on = CONFIG.replace(
        "access_log: json",
        "access_log: text\naccess_log_query: true",
    );
    std::fs::write(&file.path, text(&on, &[one.address, one.address])).expect("written");
    let age = || async {
        let answer = get(process.metrics, "/metrics").await;
        super::support::value(
            answer.text(),
            "gateway_config_last_reload_success_timestamp_seconds",
        )
    };
    let before = age().await;
    process.signal("HUP");
    let reloaded = async { while age().await == before {} };
    soon("the reload", reloaded).await;
    assert_eq!(get(process.listen, "/one/after?x=1").await.status, 200);
    let lines = lines(process, &file);
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let middle = "GET \"/one/after?x=1\" HTTP/1.1 200 route=\"/one/*\" request_bytes=0 response_bytes=3 duration_seconds=";
    assert!(line.contains(middle), "{line}");
    assert!(
        line.contains(" upstream=one attempts=1 request_id="),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_it_does_not_keep_the_gateway() {
    // More lines than the kernel's pipe holds.
    const REQUESTS: usize = 1000;
    let one = Upstream::answering(|_| response(200, "[1]")).await;
    let file = file(&text(CONFIG, &[one.address, one.address]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_instrumented-gateway"));
    command
        .arg("--config")
        .arg(&file.path)
        .stdout(Stdio::piped());
    let process = Process::start(&mut command);
    let mut client = Client::connect(process.listen).await;
    for _ in 0..REQUESTS {
        client.get("/one/x").await;
        assert_eq!(client.answer().await.status, 200);
    }
    drop(client);
    process.signal("TERM");
    let (status, log) = process.end();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("gateway stopped"), "{log}");
}
