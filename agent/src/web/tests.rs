use std::sync::Arc;

use leak_detect::Timestamp;
use serde_json::json;

use super::shell::Shell;
use super::view::{LastScrape, LeakView, Overview, SeriesView, TargetView};
use super::*;
use crate::config::Config;
use crate::incident::Incident;

const NOW: i64 = 1_700_003_600;

/// An incident as the agent would store it, with whatever differs.
fn incident(changes: serde_json::Value) -> Incident {
    let at = |seconds: i64| (NOW + seconds) * 1000;
    let mut stored = json!({
        "id": "00c0ffee00c0ffee",
        "workload": { "job": "gateway" },
        "family": "held",
        "signal": "resource_ledger_orphaned",
        "resource": "fan_out_task",
        "upstream": "social",
        "route": "/home/{id}",
        "site": "instrumented-gateway/src/drill.rs",
        "cause": "timeout_without_cancellation",
        "state": "growing",
        "onset": at(-400),
        "convicted_at": at(-390),
        "active_since": at(-390),
        "ended_at": null,
        "instances": {},
        "evidence": {
            "tier": "exact", "value": 4_200.0, "peak": 4_200.0, "growth_per_second": [10.1, 10.5, 10.9],
            "fit_start": at(-400), "fit_start_value": 0.0, "fit_slope": 10.5, "samples": 80, "scale_seconds": 400.0,
            "ruled_out": [["load", "orphaned entries are zero at any load"], ["restart", "one process since 22:10:04"]],
            "exhaustion": { "signal": "process_open_fds", "instance": "127.0.0.1:9901", "limit": 65_536.0, "seconds": [5_200.0, 5_800.0, 6_400.0] },
        },
        "signals": [
            { "signal": "resource_ledger_orphaned", "resource": "fan_out_task", "kind": "orphaned", "since": at(-390), "value": 4_200.0, "growth_per_second": [10.1, 10.5, 10.9] },
            { "signal": "resource_ledger_orphaned", "resource": "pool_connection", "kind": "orphaned", "since": at(-390), "value": 4_200.0, "growth_per_second": [10.1, 10.5, 10.9] },
            { "signal": "process_open_fds", "resource": null, "kind": "descriptors", "since": at(-200), "value": 4_290.0, "growth_per_second": [9.1, 10.5, 12.9] },
        ],
        "places": [
            { "site": "instrumented-gateway/src/drill.rs:183", "count": 1_987, "oldest_age_seconds": 401.5, "kind": "fan_out_task" },
            { "site": "instrumented-gateway/src/drill.rs:183", "count": 4_212, "oldest_age_seconds": 402.0, "kind": "task" },
        ],
        "witness": "answered",
        "urgent": null,
        "ticket_only": false,
        "silenced": false,
        "timeline": [{ "at": at(-390), "what": "convicted: 3 samples in a row above zero" }],
        "curve": { "points": (0..80).map(|step| json!([at(-800 + step * 10), f64::from((step as i32 - 40).max(0)) * 105.0])).collect::<Vec<_>>(), "spacing": 0 },
        "upstreams": ["social"],
        "returns": 0,
        "failing_share_before": null,
        "unlisted_since": null,
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        stored[key] = value.clone();
    }
    serde_json::from_value(stored).unwrap()
}

fn overview(incidents: Vec<Incident>) -> Overview {
    Overview {
        now: Timestamp::from_seconds(NOW as f64),
        started_at: Timestamp::from_seconds(NOW as f64 - 7_300.0),
        evaluated_at: Some(Timestamp::from_seconds(NOW as f64 - 3.0)),
        patience_seconds: 30.0,
        dry_run: false,
        incidents,
        targets: Vec::new(),
        sources: Vec::new(),
        series: vec![SeriesView {
            job: Arc::from("gateway"),
            signal: Arc::from("resource_ledger_orphaned"),
            healthy: 17,
            learning: 0,
            undecided: 0,
            leaking: 1,
        }],
    }
}

fn target(error: Option<&str>) -> TargetView {
    let config =
        r#"scrape_configs: [{job_name: gateway, static_configs: [{targets: ["127.0.0.1:9901"]}]}]"#;
    let last = LastScrape {
        at: Timestamp::from_seconds(NOW as f64 - 2.0),
        seconds: 0.0042,
        error: error.map(str::to_owned),
        warning: None,
    };
    TargetView {
        target: Config::parse(config).unwrap().targets().remove(0),
        last: Some(last),
        watched: 17,
    }
}

fn wanted() -> suspects::Wanted {
    suspects::Wanted {
        page: 1,
        reloads: true,
        ..suspects::Wanted::default()
    }
}

fn front(overview: &Overview) -> String {
    suspects::page(overview, &wanted()).into_string()
}

fn leak_view(incident: Incident) -> LeakView {
    LeakView {
        incident,
        alerts: Vec::new(),
        first_action: "Restart 127.0.0.1:9901 first.".to_owned(),
        history: Vec::new(),
        onset_uncertainty: Some(20.0),
        limit: None,
        peers: Vec::new(),
        links: Vec::new(),
        now: NOW as f64,
        gap_seconds: 60.0,
    }
}

#[track_caller]
fn check(page: &str, expected: &[&str]) {
    for text in expected {
        assert!(page.contains(text), "{text:?} is missing from {page}");
    }
}

#[test]
fn silence_is_either_health_or_blindness() {
    let mut seen = overview(Vec::new());
    seen.series[0].leaking = 0;
    seen.targets = vec![target(None)];
    check(
        &front(&seen),
        &[
            "Nothing leaks",
            "17 series of 1 target are watched",
            "Judged 3 s ago",
        ],
    );
    assert_eq!(suspects::title(&seen), "nothing leaks \u{b7} Leakwatch");

    let mut down = seen.clone();
    down.targets.push(target(Some("no connection: refused")));
    check(
        &front(&down),
        &[
            "Blind: this is not the same as healthy",
            "1 of 2 targets cannot be scraped.",
            "no connection: refused",
        ],
    );

    let mut young = seen.clone();
    young.series[0].learning = 4;
    check(
        &front(&young),
        &[
            "Nothing leaks so far, and not all can be judged yet",
            "4 of 21 series have too few samples",
        ],
    );

    let mut started = seen.clone();
    started.targets[0].last = None;
    started.evaluated_at = None;
    check(
        &front(&started),
        &[
            "Blind",
            "1 target has not been scraped yet.",
            "Not judged yet",
        ],
    );

    seen.targets.clear();
    check(&front(&seen), &["Blind", "No target is configured."]);
}

#[test]
fn a_leak_is_named_with_its_place_and_the_worst_comes_first() {
    let urgent = json!({
        "id": "0000000000000002",
        "urgent": { "why": "waiting", "seconds": 150.0, "waiters": 12.0 },
    });
    let over = json!({ "id": "0000000000000003", "state": { "ended": "released" }, "ended_at": (NOW - 60) * 1000 });
    let mut seen = overview(vec![incident(json!({})), incident(over), incident(urgent)]);
    seen.targets = vec![target(None)];
    seen.dry_run = true;
    let page = front(&seen);
    check(
        &page,
        &[
            "2 leaks, 1 urgent",
            "drill.rs:183",
            "timeout_without_cancellation",
            "+37,800 an hour",
            "Dry run.",
            "released",
        ],
    );
    let order: Vec<usize> = ["0002", "00c0ffee", "0003"]
        .iter()
        .map(|id| page.find(id).unwrap())
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn an_incident_is_told_whole() {
    let page = leak::page(&leak_view(incident(json!({})))).into_string();
    let expected = [
        "Do first",
        "Restart 127.0.0.1:9901 first.",
        "00c0ffee00c0ffee.svg",
        "drill.rs:183",
        "1,987",
        "6 min 42 s",
        "file descriptors",
        "one process since 22:10:04",
        "convicted: 3 samples in a row above zero",
        "in 1 h 36 min",
        "(between 1 h 26 min and 1 h 46 min)",
        "give or take 20 s",
    ];
    check(&page, &expected);
    let over = incident(json!({ "state": { "ended": "replaced" }, "ended_at": NOW * 1000 }));
    let page = leak::page(&leak_view(over)).into_string();
    check(&page, &["the successors carry the load and stay flat"]);
    assert!(!page.contains("Do first"));
}

#[test]
fn what_comes_from_outside_is_escaped_everywhere() {
    let evil = "</p><script>alert(1)</script><img src=x onerror=alert(1)>\" onload=\"alert(1)";
    let hostile = incident(json!({
        "workload": { "job": evil, "namespace": evil },
        "signal": evil, "resource": evil, "upstream": evil, "route": evil, "site": evil,
        "signals": [{ "signal": evil, "resource": evil, "kind": "other_level", "since": 0, "value": 1.0, "growth_per_second": [0.0, 0.0, 0.0] }],
        "places": [{ "site": evil, "count": 1, "oldest_age_seconds": null, "kind": evil }],
        "witness": { "failed": evil },
        "timeline": [{ "at": 0, "what": evil }],
        "urgent": { "why": "exhaustion", "signal": evil, "instance": evil, "limit": 1.0, "seconds": [1.0, 1.0, 1.0] },
    }));
    let mut seen = overview(vec![hostile.clone()]);
    seen.targets = vec![target(Some(evil))];
    let view = leak_view(hostile);
    let svg = crate::plot::svg(&view.plot(), crate::plot::Size::WIDE).unwrap();
    for page in [front(&seen), leak::page(&view).into_string(), svg] {
        assert!(
            !page.contains("<script")
                && !page.contains("<img src=x")
                && !page.contains("\" onload"),
            "{page}"
        );
        assert!(page.contains("&lt;"), "{page}");
    }
}

#[test]
fn no_page_runs_anything_or_loads_from_elsewhere() {
    let mut seen = overview(vec![incident(json!({}))]);
    seen.targets = vec![target(None)];
    for (root, content) in [
        ("", suspects::page(&seen, &wanted())),
        ("../", leak::page(&leak_view(incident(json!({}))))),
    ] {
        let shell = Shell {
            root,
            place: shell::Place::Other,
            title: "a page",
            now: NOW as f64,
            refresh_seconds: Some(15),
            toggle: "?refresh=off",
        };
        let page = shell.wrap(content).into_string();
        for forbidden in [
            "<script",
            "style=",
            "javascript:",
            "src=\"http",
            "href=\"http",
            "href=\"/",
            "src=\"/",
            "@import",
            "onclick",
        ] {
            assert!(!page.contains(forbidden), "{forbidden:?} in {page}");
        }
        check(
            &page,
            &[
                "<html lang=\"en\">",
                "name=\"viewport\"",
                &format!("href=\"{root}style.css\""),
                "Skip to the content",
            ],
        );
    }
    assert!(!shell::STYLE.contains("url(") && !shell::STYLE.contains("@import"));
}

#[test]
fn the_api_tells_a_leak_whole_and_infinity_as_null() {
    let endless = incident(json!({
        "evidence": {
            "tier": "level", "value": 4.0, "peak": 5.0, "growth_per_second": [0.0, 0.5, 1.0], "fit_start": 0, "fit_start_value": 0.0,
            "fit_slope": 0.5, "samples": 80, "scale_seconds": 400.0, "ruled_out": [],
            "exhaustion": { "signal": "process_open_fds", "instance": "a:1", "limit": 9.0, "seconds": [10.0, 20.0, null] },
        },
    }));
    let whole = api::whole_leak(
        &leak_view(endless),
        "http://127.0.0.1:9465/leaks/00c0ffee00c0ffee",
    );
    assert_eq!(
        whole["exhaustion"]["seconds"],
        json!({ "low": 10.0, "estimate": 20.0, "high": null })
    );
    assert_eq!(whole["cause"], "timeout_without_cancellation");
    assert_eq!(whole["site"], "instrumented-gateway/src/drill.rs:183");
    assert_eq!(whole["state"], "growing");
    assert_eq!(whole["fit"]["slope"], 0.5);
    assert_eq!(whole["curve"].as_array().unwrap().len(), 80);
}

#[test]
fn five_hundred_suspects_fill_ten_pages_and_a_filter_finds_one() {
    let many: Vec<Incident> = (0..500)
        .map(|number: u32| {
            incident(json!({
                "id": format!("{number:016x}"),
                "workload": { "job": format!("job-{number}") },
                "onset": (NOW - 500 + i64::from(number)) * 1000,
            }))
        })
        .collect();
    let seen = overview(many);
    let list = |wanted: &suspects::Wanted| suspects::page(&seen, wanted).into_string();
    let first = list(&wanted());
    assert_eq!(first.matches("<article").count(), 50);
    check(
        &first,
        &[
            "500 suspects, 50 on a page",
            "page 1 of 10",
            "href=\"?page=2\"",
        ],
    );
    assert!(!first.contains("rel=\"prev\""));
    let last = list(&suspects::Wanted {
        page: 10,
        ..wanted()
    });
    check(&last, &["page 10 of 10", "job-499", "href=\"?page=9\""]);
    let chosen = list(&suspects::Wanted {
        filter: filter::Filter {
            workload: "job-321".to_owned(),
            state: "growing".to_owned(),
            ..filter::Filter::default()
        },
        ..wanted()
    });
    assert_eq!(chosen.matches("<article").count(), 1);
    check(&chosen, &["1 suspect", "value=\"job-321\" selected"]);
}

#[test]
fn what_runs_out_first_comes_first() {
    let runs_out = |id: &str, low: f64| {
        let mut own = incident(json!({ "id": id }));
        if let Some(exhaustion) = &mut own.evidence.exhaustion {
            exhaustion.seconds.low = low;
        }
        own
    };
    let endless = {
        let mut own = incident(json!({ "id": "3", "onset": 0 }));
        own.evidence.exhaustion = None;
        own
    };
    let seen = overview(vec![endless, runs_out("2", 900.0), runs_out("1", 60.0)]);
    let order: Vec<&str> = seen.living().map(|own| own.id.as_str()).collect();
    assert_eq!(order, ["1", "2", "3"]);
}

#[test]
fn a_judgement_that_stands_still_is_told_above_all() {
    let mut seen = overview(Vec::new());
    seen.series[0].leaking = 0;
    seen.targets = vec![target(None)];
    seen.evaluated_at = Some(Timestamp::from_seconds(NOW as f64 - 600.0));
    check(
        &front(&seen),
        &[
            "banner bad",
            "Blind: this is not the same as healthy",
            "Nothing has been judged for 10 min",
        ],
    );
}

#[test]
fn targets_are_listed_with_those_that_are_down_first() {
    let mut seen = overview(Vec::new());
    seen.targets = vec![target(None), target(Some("<b>refused</b>"))];
    let wanted = targets::Wanted {
        page: 1,
        reloads: false,
        ..targets::Wanted::default()
    };
    let page = targets::page(&seen, &wanted).into_string();
    check(
        &page,
        &[
            "2 targets, 1 down",
            "&lt;b&gt;refused",
            "name=\"refresh\" value=\"off\"",
        ],
    );
    assert!(page.find("tag bad").unwrap() < page.find("tag good").unwrap());
    let up = targets::Wanted {
        health: "up".to_owned(),
        ..wanted
    };
    assert!(!targets::page(&seen, &up).into_string().contains("tag bad"));
}
