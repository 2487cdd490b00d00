use std::sync::{Arc, Mutex};
use std::time::Duration;

use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Settings, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;
use crate::incident::IncidentId;

const OPEN: &str = r#"{"total": 5, "truncated": false, "entries": [
    {"id": 1, "resource": "fan_out_task", "upstream": "social", "route": "/home/{id}", "site": "shop/src/drill.rs:183", "age_seconds": 41.5, "state": "", "deadline_seconds": -39.5, "owner": {"request_id": "a", "trace_id": null, "ended_seconds": 39.4}},
    {"id": 2, "resource": "fan_out_task", "upstream": "social", "route": "/home/{id}", "site": "shop/src/drill.rs:183", "age_seconds": 12.0, "state": "", "deadline_seconds": -10.0, "owner": {"request_id": "b", "trace_id": null, "ended_seconds": 9.9}},
    {"id": 3, "resource": "fan_out_task", "upstream": "social", "route": "/home/{id}", "site": "shop/src/fan_out.rs:61", "age_seconds": 0.2, "state": "", "deadline_seconds": 1.8, "owner": {"request_id": "c", "trace_id": null, "ended_seconds": null}},
    {"id": 4, "resource": "fan_out_task", "upstream": "adverts", "route": "/home/{id}", "site": "shop/src/other.rs:9", "age_seconds": 90.0, "state": "", "deadline_seconds": null, "owner": {"request_id": "d", "ended_seconds": 80.0}},
    {"id": 5, "resource": "fan_out_task", "upstream": "social", "route": null, "site": "shop/src/alive.rs:7", "age_seconds": 70.0, "state": "", "deadline_seconds": -60.0, "owner": {"request_id": "e", "ended_seconds": null}}
]}"#;

/// A target on loopback that gives one answer, whatever it is asked, and then stays silent or hangs up.
struct Target {
    address: String,
    /// What it was asked so far.
    requests: Arc<Mutex<Vec<String>>>,
    _task: Task<()>,
}

impl Target {
    async fn answering(answer: impl Into<Vec<u8>>, hang_up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ledger = Ledger::new(Settings::default());
        let entry = ledger.account::<ServiceTaskOutcome>(Labels::new()).open();
        let answer = answer.into();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let task = ledger.spawn(entry, async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                seen.lock().unwrap().push(text);
                let _ = stream.write_all(&answer).await;
                if !hang_up {
                    kept.push(stream);
                }
            }
        });
        Self {
            address,
            requests,
            _task: task,
        }
    }

    async fn serving(body: &str) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        Self::answering(head + body, true).await
    }

    /// What the engine asks where fan-out tasks leak; `evidence` as in the configuration.
    fn request(&self, question: Question, evidence: &str) -> EvidenceRequest {
        let address = &self.address;
        let config = format!(
            "scrape_configs: [{{job_name: shop, evidence: {evidence}, static_configs: [{{targets: [\"{address}\"]}}]}}]"
        );
        EvidenceRequest {
            incident: IncidentId::parse("00c0ffee").unwrap(),
            target: Config::parse(&config).unwrap().targets().remove(0),
            question,
            resource: Some("fan_out_task".to_owned()),
            upstream: None,
            route: None,
        }
    }

    async fn ask(&self, question: Question) -> Result<Vec<Place>, WitnessError> {
        Witness::new()
            .ask(&self.request(question, "[ledger]"))
            .await
            .map(|said| said.places)
    }
}

fn text(places: &[Place]) -> Vec<String> {
    let age = |place: &Place| {
        place
            .oldest_age_seconds
            .map_or("-".to_owned(), |age| age.to_string())
    };
    places
        .iter()
        .map(|place| {
            format!(
                "{} {} {} {}",
                place.site,
                place.count,
                age(place),
                place.kind
            )
        })
        .collect()
}

#[tokio::test]
async fn only_what_leaks_is_evidence() {
    let target = Target::serving(OPEN).await;
    let places = target.ask(Question::Held).await.unwrap();
    let expected = [
        "shop/src/drill.rs:183 2 41.5 fan_out_task",
        "shop/src/alive.rs:7 1 70 fan_out_task",
        "shop/src/other.rs:9 1 90 fan_out_task",
    ];
    assert_eq!(text(&places), expected);
}

#[tokio::test]
async fn another_upstream_or_route_is_no_evidence() {
    let target = Target::serving(OPEN).await;
    let mut request = target.request(Question::Held, "[ledger]");
    request.upstream = Some("social".to_owned());
    request.route = Some("/home/{id}".to_owned());
    let places = Witness::new().ask(&request).await.unwrap().places;
    assert_eq!(text(&places), ["shop/src/drill.rs:183 2 41.5 fan_out_task"]);
}

#[tokio::test]
async fn bodies_that_were_dropped_unread_name_their_place() {
    let target = Target::serving(
        r#"{"total": 3, "places": [
            {"resource": "response_body", "upstream": "content", "route": "/content/*", "outcome": "complete", "site": "shop/src/forward.rs:88", "count": 90000},
            {"resource": "response_body", "upstream": "content", "route": "/content/*", "outcome": "abandoned", "site": "shop/src/forward.rs:88", "count": 2},
            {"resource": "response_body", "upstream": "content", "route": "/content/*", "outcome": "unread", "site": "shop/src/drill.rs:301", "count": 512}]}"#,
    )
    .await;
    let places = target.ask(Question::Closed).await.unwrap();
    assert_eq!(
        text(&places),
        [
            "shop/src/drill.rs:301 512 - closed",
            "shop/src/forward.rs:88 2 - closed"
        ]
    );
}

#[tokio::test]
async fn live_tasks_are_evidence_where_the_job_allows_it() {
    let tasks = r#"{"total": 7, "places": [
        {"site": "shop/src/a.rs:1", "count": 3, "oldest_age_seconds": 2.5},
        {"site": "shop/src/b.rs:2", "count": 4}]}"#;
    let target = Target::serving(tasks).await;
    let expected = ["shop/src/b.rs:2 4 - task", "shop/src/a.rs:1 3 2.5 task"];
    let witness = Witness::new();
    let alone = witness
        .ask(&target.request(Question::Tasks, "[tasks]"))
        .await
        .unwrap();
    assert_eq!(text(&alone.places), expected);
    let beside = witness
        .ask(&target.request(Question::Held, "[ledger, tasks]"))
        .await
        .unwrap();
    assert_eq!(text(&beside.places), expected);
    let place = |site: &str, kind: &str| Place {
        site: site.to_owned(),
        count: 1,
        oldest_age_seconds: None,
        kind: kind.to_owned(),
    };
    let leaking = [place("shop/src/drill.rs:183", "fan_out_task")];
    let live = vec![
        place("shop/src/drill.rs:190", "task"),
        place("shop/src/server.rs:4", "task"),
    ];
    assert_eq!(
        text(&places::beside(&leaking, live)),
        ["shop/src/drill.rs:190 1 - task"]
    );
    let forbidden = witness
        .ask(&target.request(Question::Held, "[ledger]"))
        .await;
    check(forbidden, "the target lists nothing that leaks");
}

#[track_caller]
fn check<Said: std::fmt::Debug>(result: Result<Said, WitnessError>, expected: &str) {
    let error = result.expect_err("no evidence");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_hostile_target_costs_a_sentence() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    check(
        Target::answering(redirect, true)
            .await
            .ask(Question::Held)
            .await,
        "/debug/open cannot be reached",
    );
    let refused =
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
    check(
        Target::answering(refused, true)
            .await
            .ask(Question::Held)
            .await,
        "/debug/open answered with status 401",
    );
    check(
        Target::answering("SSH-2.0-OpenSSH\r\n", true)
            .await
            .ask(Question::Held)
            .await,
        "/debug/open cannot be reached",
    );
    check(
        Target::answering("", true).await.ask(Question::Held).await,
        "/debug/open cannot be reached",
    );
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"entries\": [";
    check(
        Target::answering(cut, true).await.ask(Question::Held).await,
        "/debug/open cannot be reached",
    );
    for body in [
        "",
        "<html>",
        "[7]",
        "{\"entries\": 7}",
        "{\"entries\": [{\"site\": 7}]}",
        "{\"entries\": [{\"site\": \"a\", \"age_seconds\": 1e999}]}",
    ] {
        check(
            Target::serving(body).await.ask(Question::Held).await,
            "/debug/open did not answer in the ledger's format",
        );
    }
    let deep = format!("{{\"entries\": {}", "[".repeat(100_000));
    check(
        Target::serving(&deep).await.ask(Question::Held).await,
        "/debug/open did not answer in the ledger's format",
    );
    check(
        Target::serving("{\"entries\": []}")
            .await
            .ask(Question::Held)
            .await,
        "the target lists nothing that leaks",
    );
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n{\"entries\": [\"".to_vec();
    answer.resize(answer.len() + MAX_ANSWER_BYTES + 1, b'a');
    check(
        Target::answering(answer, false)
            .await
            .ask(Question::Held)
            .await,
        "/debug/open answered with more than 4 MiB",
    );
}

#[tokio::test]
async fn a_silent_target_is_given_up_in_time() {
    let target = Target::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{", false).await;
    let mut witness = Witness::new();
    witness.patience = Duration::from_millis(50);
    let result = witness
        .ask(&target.request(Question::Held, "[ledger]"))
        .await;
    check(result, "/debug/open gave no answer within 50ms");
}

#[tokio::test]
async fn what_a_target_says_is_shortened_and_harmless() {
    let long = "a".repeat(5_000);
    let body = format!(
        r#"{{"entries": [{{"site": "x\u001b[2J\n<script>{long}", "age_seconds": -5, "deadline_seconds": -1}}]}}"#
    );
    let places = Target::serving(&body)
        .await
        .ask(Question::Held)
        .await
        .unwrap();
    let site = &places[0].site;
    assert!(site.starts_with(r"x\u{1b}[2J\n<script>aaa"), "{site}");
    assert!(
        site.chars().count() < 220 && !site.contains(char::is_control),
        "{site}"
    );
    assert_eq!(places[0].oldest_age_seconds, None);
    let many: Vec<String> = (0..100)
        .map(|line| format!(r#"{{"site": "a.rs:{line}", "deadline_seconds": -1}}"#))
        .collect();
    let places = Target::serving(&format!(r#"{{"entries": [{}]}}"#, many.join(",")))
        .await
        .ask(Question::Held)
        .await
        .unwrap();
    assert_eq!(places.len(), 5);
}

#[tokio::test]
async fn goroutines_say_where_they_stand_and_why() {
    let profile = include_str!("recorded/unclosed.txt");
    let target = Target::serving(profile).await;
    let request = target.request(Question::Goroutines, "[pprof]");
    let said = Witness::new().ask(&request).await.unwrap();
    assert_eq!(said.cause, Some(Cause::UnclosedBodies));
    assert_eq!(
        text(&said.places),
        ["http/transport.go:2213 (net/http.(*persistConn).readLoop) 40 - goroutine"]
    );
    let target = Target::serving("{}").await;
    let request = target.request(Question::Goroutines, "[pprof]");
    let error = Witness::new().ask(&request).await.unwrap_err();
    assert!(matches!(error, WitnessError::NoProfile { .. }), "{error}");
}

#[tokio::test]
async fn a_target_is_asked_as_it_is_scraped() {
    let target = Target::serving(OPEN).await;
    let request = target.request(Question::Held, "[ledger], bearer_token: t");
    Witness::new().ask(&request).await.unwrap();
    let asked = target.requests.lock().unwrap().remove(0);
    assert!(asked.contains("authorization: Bearer t\r\n"), "{asked}");
    assert!(asked.starts_with("GET /debug/open?order=age&"), "{asked}");
}
