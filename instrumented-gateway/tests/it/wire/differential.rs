//! The same requests through this gateway, Debian's nginx and Debian's HAProxy, to one recording upstream.
//!
//! What all three agree on needs no word. Where a peer differs, `differences.rows` names the row and what the peer does,
//! under the reason why. A request that both peers refuse and we pass on is a defect, whatever is written.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::peer::ReverseProxy;
use super::recorder::Recorder;
use super::requests::{all, configuration, exchange};
use super::table::{Row, find};
use crate::shell::support::start;

const EXPLAINED: &str = include_str!("differences.rows");

/// What one server makes of a row.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The requests that came out whole: method, target and content.
    passed: Vec<String>,
    statuses: Vec<String>,
    kept: bool,
}

impl Outcome {
    async fn of(server: SocketAddr, recorder: &Recorder, row: &Row) -> Self {
        let (bytes, kept) = exchange(server, row).await;
        let recorded = recorder.take();
        let passed = recorded.iter().filter(|request| request.whole);
        Self {
            passed: passed.map(|request| essence(&request.bytes)).collect(),
            statuses: statuses(&bytes),
            kept,
        }
    }

    fn words(&self) -> String {
        let passed = if self.passed.is_empty() {
            "passes nothing on".to_owned()
        } else {
            format!("passes on {}", self.passed.join(" and "))
        };
        let statuses = if self.statuses.is_empty() {
            "nothing".to_owned()
        } else {
            self.statuses.join(" ")
        };
        let fate = if self.kept { "keeps" } else { "closes" };
        format!("{passed}, says {statuses}, {fate}")
    }
}

/// Method, target and content of a request, however it was framed.
fn essence(request: &[u8]) -> String {
    let end = find(request, b"\r\n\r\n").map_or(request.len(), |end| end + 4);
    let (head, content) = request.split_at(end);
    let head = String::from_utf8_lossy(head);
    let line = head.lines().next().unwrap_or_default();
    let line = line.trim_end_matches(" HTTP/1.1");
    let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding:");
    let content = if chunked {
        dechunked(content)
    } else {
        content.to_vec()
    };
    format!(
        "{:?}",
        format!("{line} {}", String::from_utf8_lossy(&content)).trim_end()
    )
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(line) = find(bytes, b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..line]).into_owned();
        let size = usize::from_str_radix(&size, 16).unwrap_or(0);
        let rest = &bytes[line + 2..];
        if size == 0 || rest.len() < size + 2 {
            break;
        }
        content.extend_from_slice(&rest[..size]);
        bytes = &rest[size + 2..];
    }
    content
}

/// The final statuses in a stream of answers.
fn statuses(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.split("HTTP/1.")
        .skip(1)
        .filter_map(|answer| answer.get(2..5))
        .filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()) && *status != "100")
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
#[ignore = "needs Debian's nginx and haproxy: .ci/run runs it"]
async fn peers_differ_where_it_is_explained_only() {
    let recorder = Recorder::start().await;
    let gateway = start(&configuration("plain"), &[recorder.address]).await;
    let peers = [
        ReverseProxy::nginx(recorder.address).await,
        ReverseProxy::haproxy(recorder.address).await,
    ];
    let mut found = BTreeSet::new();
    let mut defects = Vec::new();
    for row in all().iter().filter(|row| row.configuration == "plain") {
        let ours = Outcome::of(gateway.listen_addr(), &recorder, row).await;
        let mut refused_by_all = true;
        for peer in &peers {
            let theirs = Outcome::of(peer.address, &recorder, row).await;
            refused_by_all &= theirs.passed.is_empty();
            if theirs != ours {
                found.insert(format!("{} {}: {}", peer.name, theirs.words(), row.name));
            }
        }
        if refused_by_all && !ours.passed.is_empty() {
            defects.push(format!("{}: {}", row.name, ours.words()));
        }
    }
    gateway.shutdown().await;
    let is_difference = |line: &&str| line.starts_with("nginx ") || line.starts_with("haproxy ");
    let explained: BTreeSet<String> = EXPLAINED
        .lines()
        .filter(is_difference)
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = found.difference(&explained).cloned().collect();
    let gone: Vec<_> = explained.difference(&found).cloned().collect();
    assert!(
        defects.is_empty() && missing.is_empty() && gone.is_empty(),
        "we pass on what both refuse:\n{}\nnot explained:\n{}\nexplained and not so:\n{}\n",
        defects.join("\n"),
        missing.join("\n"),
        gone.join("\n")
    );
}
