use std::time::Duration;

use expect_test::{Expect, expect};
use http_body_util::BodyExt as _;
use resource_ledger::{
    BodyOutcome, Clock, ConnectionOutcome, Labels, ManualClock, Owner, OwnerId, RequestOutcome,
    Settings,
};

use super::*;

/// The answer to a request, as status, fields of interest and body, with the lines of this file made the same.
async fn ask(admin: &Admin, method: Method, target: &str, fields: &[(&str, &str)]) -> String {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = admin.answer(&request.body(()).expect("a request"));
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let mut value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    // Which numbers there are depends on the thread.
    for entry in value["entries"].as_array_mut().into_iter().flatten() {
        assert!(entry["id"].is_u64());
        entry["id"] = "ID".into();
    }
    let allow = match head.headers.get(ALLOW) {
        Some(allow) => format!(" allow: {}", allow.to_str().expect("text")),
        None => String::new(),
    };
    let text = serde_json::to_string_pretty(&value).expect("JSON");
    format!("{}{allow}\n{}", head.status.as_u16(), without_lines(&text))
}

/// Line numbers change with every edit of this file.
fn without_lines(text: &str) -> String {
    let file = "src/admin/tests.rs:";
    let mut parts = text.split(file);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + file + "LINE" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

#[track_caller]
fn check(actual: String, expected: Expect) {
    expected.assert_eq(&actual);
}

struct Subject {
    ledger: Ledger,
    clock: ManualClock,
    admin: Admin,
}

fn subject() -> Subject {
    let (clock, manual) = Clock::manual();
    let ledger = Ledger::new(Settings {
        clock,
        ..Settings::default()
    });
    let drills = Drills::new(&ledger);
    let admin = Admin::new(&ledger, &TaskRegistry::new(), Some(drills));
    Subject {
        ledger,
        clock: manual,
        admin,
    }
}

#[tokio::test]
async fn open_entries_are_listed_with_age_deadline_and_owner() {
    let Subject {
        ledger,
        clock,
        admin,
    } = subject();
    let labels = || Labels::new().route("/home/{id}");
    let requests = ledger.account::<RequestOutcome>(labels());
    let bodies = ledger.account::<BodyOutcome>(labels().upstream("content"));
    let id = OwnerId {
        request_id: "7f".to_owned(),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
    };
    let owner = Owner::begin(&requests, id);
    let deadline = ledger.now() + Duration::from_secs(5);
    let _body = bodies.open_for(Some(&owner.reference()), Some(deadline));
    clock.advance(Duration::from_secs(2));
    owner.end(RequestOutcome::Completed);
    clock.advance(Duration::from_millis(4500));
    let actual = ask(
        &admin,
        Method::GET,
        "/debug/open?resource=response_body",
        &[],
    )
    .await;
    check(
        actual,
        expect![[r#"
        200
        {
          "entries": [
            {
              "age_seconds": 6.5,
              "deadline_seconds": -1.5,
              "id": "ID",
              "owner": {
                "ended_seconds": 4.5,
                "request_id": "7f",
                "trace_id": "0af7651916cd43dd8448eb211c80319c"
              },
              "resource": "response_body",
              "route": "/home/{id}",
              "site": "instrumented-gateway/src/admin/tests.rs:LINE",
              "state": "open",
              "upstream": "content"
            }
          ],
          "total": 1,
          "truncated": false
        }"#]],
    );
}

#[tokio::test]
async fn a_listing_says_that_it_is_cut() {
    let Subject { ledger, admin, .. } = subject();
    let pool = ledger.account::<ConnectionOutcome>(Labels::new().upstream("content"));
    let _held: Vec<_> = (0..3).map(|_| pool.open()).collect();
    let actual = ask(&admin, Method::GET, "/debug/open?order=age&limit=1", &[]).await;
    let value: serde_json::Value =
        serde_json::from_str(actual.split_once('\n').expect("a body").1).expect("JSON");
    assert_eq!(value["total"], 3);
    assert_eq!(value["truncated"], true);
    assert_eq!(value["entries"].as_array().map(Vec::len), Some(1));
    let none = ask(&admin, Method::GET, "/debug/open?upstream=social", &[]).await;
    check(
        none,
        expect![[r#"
        200
        {
          "entries": [],
          "total": 0,
          "truncated": false
        }"#]],
    );
}

#[tokio::test]
async fn closed_places_are_listed_by_outcome() {
    let Subject { ledger, admin, .. } = subject();
    let bodies = ledger.account::<BodyOutcome>(Labels::new().upstream("content"));
    for _ in 0..2 {
        bodies.open().close(BodyOutcome::Unread);
    }
    bodies.open().close(BodyOutcome::Complete);
    let target = "/debug/closed?resource=response_body&outcome=unread";
    let actual = ask(&admin, Method::GET, target, &[]).await;
    check(
        actual,
        expect![[r#"
        200
        {
          "entries": null,
          "places": [
            {
              "count": 2,
              "outcome": "unread",
              "resource": "response_body",
              "route": null,
              "site": "instrumented-gateway/src/admin/tests.rs:LINE",
              "upstream": "content"
            }
          ],
          "total": 1
        }"#]],
    );
}

#[tokio::test]
async fn tasks_are_listed() {
    let Subject { admin, .. } = subject();
    let actual = ask(&admin, Method::GET, "/debug/tasks", &[]).await;
    check(
        actual,
        expect![[r#"
        200
        {
          "entries": null,
          "places": [],
          "total": 0
        }"#]],
    );
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let Subject { admin, .. } = subject();
    let mut all = String::new();
    for target in [
        "/",
        "/debug",
        "/debug/open?limit=0",
        "/debug/open?limit=many",
        "/debug/open?limit=10001",
        "/debug/open?order=size",
        "/debug/open?resourse=request",
        "/debug/open?limit=1&limit=2",
        "/debug/open?route=%ff",
        "/debug/tasks?limit=3",
    ] {
        let answer = ask(&admin, Method::GET, target, &[]).await;
        all += &format!("{target} {}\n", answer.replace('\n', ""));
    }
    let answer = ask(&admin, Method::POST, "/debug/open", &[]).await;
    all += &format!("POST /debug/open {}\n", answer.replace('\n', ""));
    check(
        all,
        expect![[r#"
        / 404{  "entries": null,  "error": "not found; there are /debug/open, /debug/tasks, /debug/closed, /drill/NAME"}
        /debug 404{  "entries": null,  "error": "not found; there are /debug/open, /debug/tasks, /debug/closed, /drill/NAME"}
        /debug/open?limit=0 400{  "entries": null,  "error": "limit: `0` is not a whole number between 1 and 10000"}
        /debug/open?limit=many 400{  "entries": null,  "error": "limit: `many` is not a whole number between 1 and 10000"}
        /debug/open?limit=10001 400{  "entries": null,  "error": "limit: `10001` is not a whole number between 1 and 10000"}
        /debug/open?order=size 400{  "entries": null,  "error": "order: `size` is not known; there is `age`, the oldest first"}
        /debug/open?resourse=request 400{  "entries": null,  "error": "unknown parameter `resourse`; known: resource, upstream, route, site, order, limit"}
        /debug/open?limit=1&limit=2 400{  "entries": null,  "error": "parameter `limit` stands twice"}
        /debug/open?route=%ff 400{  "entries": null,  "error": "`%ff` is not UTF-8"}
        /debug/tasks?limit=3 400{  "entries": null,  "error": "unknown parameter `limit`; there are none here"}
        POST /debug/open 405 allow: GET, HEAD{  "entries": null,  "error": "only GET, HEAD"}
    "#]],
    );
}

#[tokio::test]
async fn drills_are_switched_and_switching_twice_changes_nothing() {
    let Subject { admin, .. } = subject();
    let mut all = String::new();
    for (method, target) in [
        (Method::POST, "/drill/detached-tasks?share=0.25"),
        (Method::POST, "/drill/detached-tasks?share=0.25"),
        (Method::POST, "/drill/slow-drip"),
        (Method::DELETE, "/drill/detached-tasks"),
        (Method::DELETE, "/drill/detached-tasks"),
        (Method::GET, "/drill/detached-tasks"),
        (Method::POST, "/drill/detached"),
        (Method::POST, "/drill/detached-tasks?share=2"),
        (Method::POST, "/drill/detached-tasks?part=0.5"),
        (Method::DELETE, "/drill/detached-tasks?share=0.5"),
    ] {
        let answer = ask(&admin, method.clone(), target, &[]).await;
        all += &format!("{method} {target} {}\n", answer.replace('\n', ""));
    }
    check(
        all,
        expect![[r#"
        POST /drill/detached-tasks?share=0.25 200{  "active": true,  "drill": "detached-tasks",  "entries": null,  "share": 0.25}
        POST /drill/detached-tasks?share=0.25 200{  "active": true,  "drill": "detached-tasks",  "entries": null,  "share": 0.25}
        POST /drill/slow-drip 200{  "active": true,  "drill": "slow-drip",  "entries": null,  "share": 0.001}
        DELETE /drill/detached-tasks 200{  "active": false,  "drill": "detached-tasks",  "entries": null,  "share": null}
        DELETE /drill/detached-tasks 200{  "active": false,  "drill": "detached-tasks",  "entries": null,  "share": null}
        GET /drill/detached-tasks 405 allow: POST, DELETE{  "entries": null,  "error": "only POST, DELETE"}
        POST /drill/detached 404{  "entries": null,  "error": "no drill is called `detached`; there are client-per-request, no-deadline, unclosed-bodies, undrained-bodies, detached-tasks, slow-drip"}
        POST /drill/detached-tasks?share=2 400{  "entries": null,  "error": "share: `2` is no share: a number from 0 to 1, such as 0.1"}
        POST /drill/detached-tasks?part=0.5 400{  "entries": null,  "error": "unknown parameter `part`; known: share"}
        DELETE /drill/detached-tasks?share=0.5 200{  "active": false,  "drill": "detached-tasks",  "entries": null,  "share": null}
    "#]],
    );
}

#[tokio::test]
async fn web_pages_cannot_switch_drills() {
    let Subject { admin, .. } = subject();
    let fields = [("origin", "https://example.org")];
    let actual = ask(&admin, Method::POST, "/drill/detached-tasks", &fields).await;
    check(
        actual,
        expect![[r#"
        403
        {
          "entries": null,
          "error": "a web page cannot switch drills"
        }"#]],
    );
}

#[tokio::test]
async fn without_permission_there_are_no_drills() {
    let ledger = Ledger::new(Settings::default());
    let admin = Admin::new(&ledger, &TaskRegistry::new(), None);
    let actual = ask(&admin, Method::POST, "/drill/detached-tasks", &[]).await;
    check(
        actual,
        expect![[r#"
        404
        {
          "entries": null,
          "error": "drills are not allowed here; set `admin_drills: true` to allow them"
        }"#]],
    );
}
