use std::time::Duration;

use http::StatusCode;
use resource_ledger::{BodyOutcome, ConnectionOutcome, Labels, Settings};

use super::*;
use crate::metrics::{ListenerMeters, Rejection, RouteMeters, UpstreamMeters, UpstreamResult};
use crate::pool::SocketGate;

struct Subject {
    ledger: Ledger,
    recorder: SharedRecorder,
    page: Page,
}

impl Subject {
    fn render(&self) -> String {
        self.page.render(&SocketGate::default())
    }
}

fn subject() -> Subject {
    let ledger = Ledger::new(Settings::default());
    let recorder = Page::recorder();
    let upstreams = vec![UpstreamLevels::new(
        &recorder,
        &"content".into(),
        || 512,
        || 3,
    )];
    let drills = vec![
        DrillSwitch::new(&recorder, "slow-drip", || true),
        DrillSwitch::new(&recorder, "no-deadline", || false),
    ];
    let fan_out = TaskMonitor::new();
    let page = Page::new(recorder.clone(), ledger.clone(), fan_out, upstreams, drills);
    Subject {
        ledger,
        recorder,
        page,
    }
}

/// The value of a series, as text.
#[track_caller]
fn value(text: &str, series: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .to_owned()
}

#[tokio::test]
async fn every_foreseeable_series_is_there_at_zero() {
    let subject = subject();
    let _upstream = UpstreamMeters::new(&*subject.recorder, "content");
    let _route = RouteMeters::new(&subject.recorder, &"/home/{id}".into());
    let text = subject.render();
    let zero = [
        r#"gateway_requests_total{route="/home/{id}",code="200"}"#,
        r#"gateway_requests_total{route="/home/{id}",code="499"}"#,
        r#"gateway_requests_total{route="/home/{id}",code="504"}"#,
        r#"gateway_request_duration_seconds_count{route="/home/{id}"}"#,
        r#"gateway_pool_connections{upstream="content",state="connecting"}"#,
        r#"gateway_pool_connections{upstream="content",state="idle"}"#,
        r#"gateway_pool_connections{upstream="content",state="in_use"}"#,
        r#"gateway_pool_connections{upstream="content",state="draining"}"#,
        r#"gateway_pool_connects_total{upstream="content"}"#,
        r#"gateway_pool_reuses_total{upstream="content"}"#,
        r#"gateway_upstream_requests_total{upstream="content",result="ok"}"#,
        r#"gateway_upstream_requests_total{upstream="content",result="failed"}"#,
        r#"gateway_upstream_requests_total{upstream="content",result="timed_out"}"#,
        r#"gateway_upstream_requests_total{upstream="content",result="cancelled"}"#,
        r#"gateway_upstream_request_duration_seconds_count{upstream="content"}"#,
        r#"gateway_upstream_rejected_total{upstream="content",reason="in_flight"}"#,
        r#"gateway_upstream_rejected_total{upstream="content",reason="waiters"}"#,
        r#"gateway_upstream_rejected_total{upstream="content",reason="draining"}"#,
        r#"gateway_drill_active{drill="no-deadline"}"#,
        r#"tokio_task_live{task="fan_out"}"#,
    ];
    for series in zero {
        assert_eq!(value(&text, series), "0", "{series}");
    }
    assert_eq!(
        value(&text, r#"gateway_drill_active{drill="slow-drip"}"#),
        "1"
    );
    assert_eq!(
        value(&text, r#"gateway_pool_limit{upstream="content"}"#),
        "512"
    );
    assert_eq!(
        value(&text, r#"gateway_pool_waiters{upstream="content"}"#),
        "3"
    );
}

#[tokio::test]
async fn what_happens_is_counted() {
    let subject = subject();
    let upstream = UpstreamMeters::new(&*subject.recorder, "content");
    upstream.connecting();
    upstream.reused();
    upstream.finished(UpstreamResult::TimedOut, Duration::from_millis(30));
    upstream.rejected(Rejection::Waiters);
    let route = RouteMeters::new(&subject.recorder, &"/a".into());
    for code in [200, 200, 418, 999] {
        let status = StatusCode::from_u16(code).expect("a status");
        route.ended(status, Duration::from_millis(7));
    }
    let listener = ListenerMeters::new(&subject.recorder, "listen");
    listener.limit(10);
    let held = [listener.connection(), listener.connection()];
    let [first, _second] = held;
    drop(first);
    let text = subject.render();
    let expected = [
        (r#"gateway_pool_connects_total{upstream="content"}"#, "1"),
        (r#"gateway_pool_reuses_total{upstream="content"}"#, "1"),
        (
            r#"gateway_upstream_requests_total{upstream="content",result="timed_out"}"#,
            "1",
        ),
        (
            r#"gateway_upstream_rejected_total{upstream="content",reason="waiters"}"#,
            "1",
        ),
        (
            r#"gateway_upstream_request_duration_seconds_bucket{upstream="content",le="0.025"}"#,
            "0",
        ),
        (
            r#"gateway_upstream_request_duration_seconds_bucket{upstream="content",le="0.05"}"#,
            "1",
        ),
        (r#"gateway_requests_total{route="/a",code="200"}"#, "2"),
        (r#"gateway_requests_total{route="/a",code="418"}"#, "1"),
        (r#"gateway_requests_total{route="/a",code="other"}"#, "1"),
        (r#"gateway_request_duration_seconds_count{route="/a"}"#, "4"),
        (r#"gateway_client_connections{listener="listen"}"#, "1"),
        (
            r#"gateway_client_connections_limit{listener="listen"}"#,
            "10",
        ),
    ];
    for (series, count) in expected {
        assert_eq!(value(&text, series), count, "{series}");
    }
}

#[tokio::test]
async fn pool_states_add_up_to_what_the_ledger_says_is_open() {
    let subject = subject();
    let labels = || Labels::new().upstream("content").site("test");
    let pool = subject.ledger.account::<ConnectionOutcome>(labels());
    let entries: Vec<_> = POOL_STATES
        .iter()
        .cycle()
        .take(10)
        .map(|state| {
            let entry = pool.open();
            entry.set_state(state);
            entry
        })
        .collect();
    let text = subject.render();
    let states: f64 = POOL_STATES
        .iter()
        .map(|state| {
            let series =
                format!(r#"gateway_pool_connections{{upstream="content",state="{state}"}}"#);
            value(&text, &series).parse::<f64>().expect("a number")
        })
        .sum();
    let open = r#"resource_ledger_open{resource="pool_connection",upstream="content",site="test"}"#;
    assert_eq!(states, 10.0);
    assert_eq!(value(&text, open), "10");
    drop(entries);
    assert_eq!(value(&subject.render(), open), "0");
}

#[tokio::test]
async fn fan_out_tasks_are_a_level_that_is_true_at_every_scrape() {
    let ledger = Ledger::new(Settings::default());
    let monitor = TaskMonitor::new();
    let page = Page::new(
        Page::recorder(),
        ledger,
        monitor.clone(),
        Vec::new(),
        Vec::new(),
    );
    let held: Vec<_> = (0..5)
        .map(|_| monitor.instrument(std::future::pending::<()>()))
        .collect();
    // Twice: a reporter of differences would say 5, then 0.
    for _ in 0..2 {
        let text = page.render(&SocketGate::default());
        assert_eq!(value(&text, r#"tokio_task_live{task="fan_out"}"#), "5");
        assert_eq!(
            value(&text, r#"tokio_task_instrumented_total{task="fan_out"}"#),
            "5"
        );
    }
    drop(held);
    assert_eq!(
        value(
            &page.render(&SocketGate::default()),
            r#"tokio_task_live{task="fan_out"}"#
        ),
        "0"
    );
}

#[tokio::test]
async fn every_metric_has_its_help_and_type_once() {
    let subject = subject();
    let _upstream = UpstreamMeters::new(&*subject.recorder, "content");
    let _route = RouteMeters::new(&subject.recorder, &"/a".into());
    let _listener = ListenerMeters::new(&subject.recorder, "listen");
    let body = subject.ledger.account::<BodyOutcome>(Labels::new());
    drop(body.open());
    let text = subject.render();
    let mut types: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name");
            assert!(!types.contains(&name), "{name} has two types");
            assert!(
                text.contains(&format!("# HELP {name} ")),
                "{name} has no help"
            );
            types.push(name);
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = types.last().expect("a type before a sample");
            assert!(name.starts_with(family), "{name} below {family}");
        }
    }
    assert!(types.len() > 40, "{types:?}");
    let cpu: f64 = value(&text, "process_cpu_seconds_total")
        .parse()
        .expect("a number");
    assert!(cpu > 0.0);
}
