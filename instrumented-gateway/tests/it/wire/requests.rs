//! Requests: what the client sends, what the upstream gets of it, what the client is told, and whether it may go on.

use std::net::SocketAddr;

use instrumented_gateway::gateway::Running;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recorder::{Recorder, SENTINEL, SENTINEL_ANSWER};
use super::table::{Row, canonical, find, rows, show};
use crate::shell::support::{quiet, start};
use crate::support::soon;

const TABLES: &[&str] = &[
    include_str!("requests/messages.rows"),
    include_str!("requests/targets.rows"),
    include_str!("requests/fields.rows"),
    include_str!("requests/framing.rows"),
    include_str!("requests/semantics.rows"),
];

/// Fields that every request has on its way upstream, and their ordinary values.
const STAMPS: &[(&str, Option<&str>)] = &[
    ("via", Some("1.1 gw")),
    ("x-forwarded-for", Some("127.0.0.1")),
    ("x-forwarded-proto", Some("http")),
    ("x-forwarded-host", Some("a")),
    ("x-request-id", None),
    ("traceparent", None),
    ("x-request-deadline-ms", None),
];

/// The rows of all tables.
pub(super) fn all() -> Vec<Row> {
    TABLES.iter().flat_map(|table| rows(table)).collect()
}

/// The configurations that rows name.
pub(super) fn configuration(name: &str) -> String {
    let keys = match name {
        "plain" => "",
        "trusted" => "trusted_peers: [127.0.0.1]\nforwarded: append\n",
        "replace" => "trusted_peers: [127.0.0.1]\nforwarded: replace\nx_forwarded: replace\n",
        "off" => "x_forwarded: off\n",
        "small" => "limits: { max_header_bytes: 8KiB, max_headers: 20 }\n",
        other => panic!("no configuration {other}"),
    };
    format!(
        "via: gw\n{keys}upstreams: [{{ name: one, endpoints: [\"{{0}}\"] }}]\nroutes: [{{ path: /*, proxy: one }}]\n"
    )
}

/// Sends bytes and then the sentinel; gives what comes back before the sentinel's answer, and whether that came.
pub(super) async fn exchange(gateway: SocketAddr, row: &Row) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(gateway).await.expect("the gateway");
    // A refusal may come, and the connection be closed, before all is sent.
    let _ = stream.write_all(&row.sent).await;
    if row.is("halved") {
        let _ = stream.shutdown().await;
    } else {
        let _ = stream.write_all(SENTINEL).await;
    }
    let mut bytes = Vec::new();
    let read = async { while matches!(stream.read_buf(&mut bytes).await, Ok(read) if read > 0) {} };
    soon(&format!("an end of {:?}", row.name), read).await;
    let sentinel = find(&bytes, SENTINEL_ANSWER);
    bytes.truncate(sentinel.unwrap_or(bytes.len()));
    (bytes, sentinel.is_some())
}

/// Whether a line of an answer is left out of the comparison: what differs from one run to the next.
pub(super) fn changes(line: &str) -> bool {
    line.starts_with("date: ") || line.starts_with("x-request-id: ")
}

/// Whether a line of a request is left out: what every request has, where its value is the ordinary one.
pub(super) fn is_stamp(line: &str) -> bool {
    STAMPS.iter().any(|(name, ordinary)| {
        let value = line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(": "));
        value.is_some_and(|value| ordinary.is_none_or(|ordinary| ordinary == value))
    })
}

/// What is wrong with a row, in words; nothing where it holds.
async fn failure(gateway: &Running, recorder: &Recorder, row: &Row) -> Option<String> {
    let (bytes, kept) = exchange(gateway.listen_addr(), row).await;
    if row.is("halved") {
        quiet(gateway).await;
        let whole = recorder.take().iter().any(|request| request.whole);
        return whole.then(|| format!("{} ({}): the upstream got it whole", row.name, row.section));
    }
    let host = format!("host: {}", recorder.address);
    let expected_seen: String = row
        .upstream
        .iter()
        .map(|message| canonical(message, |_| false))
        .collect();
    let recorded = recorder.take();
    let mut stamped = true;
    let mut seen = String::new();
    for request in &recorded {
        let text = String::from_utf8_lossy(&request.bytes);
        stamped &= text.contains(&format!("\r\n{host}\r\n"));
        stamped &= [
            "via",
            "x-request-id",
            "traceparent",
            "x-request-deadline-ms",
        ]
        .iter()
        .all(|name| text.contains(&format!("\r\n{name}: ")));
        seen.push_str(&canonical(&request.bytes, |line| {
            line == host || is_stamp(line)
        }));
    }
    let answered = canonical(&bytes, changes);
    let expected = canonical(&row.expected(), |_| false);
    let fate = if kept { "keeps" } else { "closes" };
    let ends = row.is(fate);
    if seen == expected_seen && answered == expected && ends && stamped {
        return None;
    }
    Some(format!(
        "{} ({})\n  sent {}\n  upstream got\n{seen}  and should have got\n{expected_seen}  the client got\n{answered}  and \
         should have got\n{expected}  the connection {fate}; stamped: {stamped}\n",
        row.name,
        row.section,
        show(&row.sent)
    ))
}

#[tokio::test]
async fn every_request_comes_to_what_its_section_says() {
    let all = all();
    let mut configurations: Vec<&str> = all.iter().map(|row| &*row.configuration).collect();
    configurations.dedup();
    configurations.sort_unstable();
    configurations.dedup();
    let mut failures = Vec::new();
    for name in configurations {
        let recorder = Recorder::start().await;
        let gateway = start(&configuration(name), &[recorder.address]).await;
        for row in all.iter().filter(|row| row.configuration == name) {
            failures.extend(failure(&gateway, &recorder, row).await);
        }
        quiet(&gateway).await;
        gateway.shutdown().await;
    }
    assert!(
        failures.is_empty(),
        "{} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(all.len() >= 200, "{} rows", all.len());
}
