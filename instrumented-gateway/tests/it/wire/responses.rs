//! Answers: what the upstream sends, what the client gets of it, and what becomes of both connections.

use std::net::SocketAddr;

use super::recorder::{Recorder, SENTINEL, Script};
use super::requests::{configuration, exchange};
use super::table::{Row, canonical, rows, show};
use crate::shell::support::{comes_to, quiet, start};

const TABLES: &[&str] = &[
    include_str!("answers/heads.rows"),
    include_str!("answers/framing.rows"),
];

/// What is asked where a row does not say.
const USUAL: &[u8] = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";

/// What is wrong with a row, in words; nothing where it holds.
async fn failure(gateway: SocketAddr, recorder: &Recorder, row: &Row) -> Option<String> {
    let mut asked = row.clone();
    if asked.sent.is_empty() {
        asked.sent = USUAL.to_vec();
    }
    recorder.tell(Some(Script {
        answer: row.upstream.concat(),
        then_closes: row.is("eof"),
    }));
    let (bytes, kept) = exchange(gateway, &asked).await;
    recorder.tell(None);
    let recorded = recorder.take();
    if !kept {
        let probe = Row {
            name: "a sentinel alone".to_owned(),
            ..Row::default()
        };
        let (_, kept) = exchange(gateway, &probe).await;
        assert!(kept, "a sentinel alone is answered");
    }
    let sentinels = recorder.take_sentinels();
    let reused = match (recorded.last(), sentinels.last()) {
        (Some(recorded), Some(sentinel)) => recorded.connection == *sentinel,
        _ => false,
    };
    let dated = row.answers.iter().any(|line| line.contains("date: "));
    let changes =
        |line: &str| line.starts_with("x-request-id: ") || (line.starts_with("date: ") && !dated);
    let answered = canonical(&bytes, changes);
    let expected = canonical(&row.expected(), |_| false);
    let has_date = bytes
        .windows(8)
        .filter(|window| *window == b"\r\ndate: ")
        .count()
        == 1;
    let client = if kept { "keeps" } else { "closes" };
    let upstream = if reused { "reused" } else { "dropped" };
    if answered == expected && row.is(client) && row.is(upstream) && has_date {
        return None;
    }
    Some(format!(
        "{} ({})\n  the upstream sent {}\n  the client got\n{answered}  and should have got\n{expected}  {client} {upstream}; \
         dated: {has_date}; SENTINEL is {} bytes\n",
        row.name,
        row.section,
        show(&row.upstream.concat()),
        SENTINEL.len()
    ))
}

#[tokio::test]
async fn every_answer_comes_to_what_its_section_says() {
    let all: Vec<Row> = TABLES.iter().flat_map(|table| rows(table)).collect();
    let recorder = Recorder::start().await;
    let gateway = start(&configuration("plain"), &[recorder.address]).await;
    let mut failures = Vec::new();
    for row in &all {
        failures.extend(failure(gateway.listen_addr(), &recorder, row).await);
    }
    assert!(
        failures.is_empty(),
        "{} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(all.len() >= 80, "{} rows", all.len());
    quiet(&gateway).await;
    let begins = |code: &str| {
        let line = format!("HTTP/1.1 {code}");
        let answers = all.iter().map(|row| row.upstream.concat());
        answers
            .map(|answer| String::from_utf8_lossy(&answer).matches(&line).count())
            .sum::<usize>()
    };
    // The one that is not followed by an answer is asked for twice, as a GET may be on a connection that was idle.
    let interim = begins("1") - begins("101") + 1;
    let series = "gateway_upstream_interim_responses_total{upstream=\"one\"}";
    comes_to(&gateway, series, interim as f64).await;
    gateway.shutdown().await;
}
