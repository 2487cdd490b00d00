use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::any;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::discovery::Outlet;
use crate::discovery::tests::background::{Background, mistake, read};

/// A server that answers each question with the next answer, the last for ever, and passes on what it was asked.
struct World {
    background: Background,
    url: String,
    refresh_interval: &'static str,
    asked: mpsc::Receiver<Request>,
}

type Answer = (u16, &'static str, String);

fn json(text: &str) -> Answer {
    (200, "application/json", text.to_owned())
}

impl World {
    async fn answering(answers: Vec<Answer>) -> Self {
        let (sender, asked) = mpsc::channel(64);
        let answers = Arc::new(std::sync::Mutex::new(answers));
        let answer = move |request: Request| {
            let (sender, answers) = (sender.clone(), Arc::clone(&answers));
            async move {
                let _ = sender.send(request).await;
                let mut answers = answers.lock().expect("no poison");
                let (status, media_type, body) = match answers.len() {
                    1 => answers[0].clone(),
                    _ => answers.remove(0),
                };
                let status = StatusCode::from_u16(status).expect("a status");
                (status, [(CONTENT_TYPE, media_type)], body).into_response()
            }
        };
        let mut background = Background::new();
        let url = background.serve("/targets", any(answer)).await;
        Self {
            background,
            url: format!("{url}/targets"),
            refresh_interval: "500ms",
            asked,
        }
    }

    fn run(&mut self, more: &str) -> (Outlet, Arc<Notify>) {
        let yaml = format!(
            "url: {}\nrefresh_interval: {}\n{more}",
            self.url, self.refresh_interval
        );
        let provider = read(&yaml, |root, mistakes| {
            HttpDiscovery::read(root, Path::new("."), mistakes)
        });
        self.background.run("http", |outlet| provider.run(outlet))
    }
}

#[tokio::test]
async fn targets_come_from_a_server_and_follow_its_answers() {
    let first = r#"[{"targets": ["a:1", "a:2"], "labels": {"team": "x"}}]"#;
    let mut world = World::answering(vec![json(first), json(r#"[{"targets": ["a:3"]}]"#)]).await;
    let (outlet, changed) = world.run("");
    let request = world.asked.recv().await.expect("a question");
    let header = |name: &str| request.headers()[name].to_str().expect("a text").to_owned();
    assert_eq!(request.method(), "GET");
    assert_eq!(header("accept"), "application/json");
    assert_eq!(header("x-prometheus-refresh-interval-seconds"), "0.5");
    changed.notified().await;
    changed.notified().await;
    let groups = outlet.groups();
    let members: Vec<String> = groups
        .iter()
        .flat_map(Group::members)
        .map(|own| own.to_string())
        .collect();
    assert_eq!(
        members,
        [format!(
            r#"{{__address__="a:3",__meta_url="{}"}}"#,
            world.url
        )]
    );
}

#[tokio::test]
async fn any_other_answer_keeps_what_was_found() {
    let good = r#"[{"targets": ["a:1"]}]"#;
    for (answer, expected) in [
        (
            (503, "application/json", good.to_owned()),
            "it answers with status 503 instead of 200",
        ),
        (
            (200, "text/html", good.to_owned()),
            "it answers with Content-Type `text/html` instead of application/json",
        ),
        (
            json("[{\"targets\": [1]}]"),
            "its answer lists no targets: line 1: invalid type: integer `1`, expected a string",
        ),
        (
            json("{}"),
            "its answer lists no targets: line 1: invalid type: map, expected a sequence",
        ),
        (
            json("[{\"labels\": {\"a b\": \"c\"}}]"),
            "its answer lists no targets: `a b` is no label name",
        ),
    ] {
        let mut world = World::answering(vec![json(good), answer]).await;
        let (outlet, changed) = world.run("");
        changed.notified().await;
        let error = loop {
            if let Some(error) = outlet.report().error {
                break error;
            }
            world.asked.recv().await.expect("questions go on");
        };
        assert_eq!(error, format!("{}: {expected}", world.url));
        assert_eq!(outlet.report().targets, 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none() {
    let (large, reason) = (
        "x".repeat(MAX_BODY_BYTES),
        "its answer is larger than 33554432 bytes",
    );
    let mut world = World::answering(vec![json(&format!("[\"{large}\"]"))]).await;
    world.refresh_interval = "1m";
    let (outlet, _) = world.run("");
    let error = mistake(&outlet).await;
    assert_eq!(error, format!("{}: {reason}", world.url));
}

#[tokio::test]
async fn who_asks_is_told_and_never_shown() {
    let mut world = World::answering(vec![json("[]"), (401, "text/plain", String::new())]).await;
    world.url = world.url.replace("http://", "http://reader:hidden@");
    let (outlet, _) = world.run("");
    let request = world.asked.recv().await.expect("a question");
    assert_eq!(
        request.headers()["authorization"],
        "Basic cmVhZGVyOmhpZGRlbg=="
    );
    let error = loop {
        if let Some(error) = outlet.report().error {
            break error;
        }
        world.asked.recv().await.expect("questions go on");
    };
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn json_is_named_in_several_ways() {
    for (text, expected) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("application/json;charset=\"utf-8\"", true),
        ("application/json; charset=latin1", false),
        ("text/json", false),
        ("", false),
    ] {
        assert_eq!(is_json(text), expected, "{text}");
    }
}
