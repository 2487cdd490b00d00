use std::collections::BTreeMap;
use std::sync::Arc;

use leak_detect::Timestamp;
use serde_json::json;

use super::coroner::{Death, DeathKind, Grown};
use super::report::{Fate, Grade, GradedDeath, Leak, Looked, Report, Told};
use super::trail::Growth;
use super::{grading, html, summary};
use crate::history::SeriesIndex;
use crate::incident::{End, Incident, IncidentId, Instance, State};
use crate::labels::Labels;

const NOW: f64 = 1_700_000_000.0;

/// What a hostile store would call things.
const HOSTILE: &str = "</title><script>alert(1)</script>\"'&\u{1b}[31m\u{202e}";

fn at(hours: f64) -> Timestamp {
    Timestamp::from_seconds(NOW + hours * 3600.0)
}

fn labels(job: &str, instance: &str) -> Labels {
    [("job", job), ("instance", instance)].into_iter().collect()
}

/// A leak of a job's descriptors since hour 0, in one instance.
fn incident(job: &str, instance: &str, state: State, ended: Option<f64>) -> Incident {
    let millis = |hours: f64| at(hours).millis();
    let stored = json!({
        "id": format!("id-{}", job.bytes().map(u64::from).sum::<u64>()),
        "workload": { "job": job },
        "family": "process",
        "signal": "process_open_fds",
        "resource": null, "upstream": null, "route": null, "site": null,
        "cause": "unknown",
        "state": "growing",
        "onset": millis(0.0), "convicted_at": millis(1.0), "active_since": millis(1.0), "ended_at": null,
        "instances": {},
        "evidence": {
            "tier": "level", "value": 500.0, "peak": 900.0, "growth_per_second": [0.1, 0.2, 0.3],
            "fit_start": millis(0.0), "fit_start_value": 100.0, "fit_slope": 0.2, "samples": 80, "scale_seconds": 3600.0,
            "ruled_out": [["load", format!("{HOSTILE} is flat")]],
            "exhaustion": { "signal": "process_open_fds", "instance": instance, "limit": 1024.0, "seconds": [5_200.0, 5_800.0, 6_400.0] },
        },
        "signals": [{ "signal": "process_open_fds", "resource": null, "kind": "descriptors", "since": millis(1.0), "value": 500.0, "growth_per_second": [0.1, 0.2, 0.3] }],
        "places": [], "witness": "not_asked", "urgent": null, "ticket_only": false, "silenced": false,
        "timeline": [], "curve": { "points": [], "spacing": 0 }, "upstreams": [], "returns": 0,
        "failing_share_before": null, "unlisted_since": null,
    });
    let mut incident: Incident = serde_json::from_value(stored).expect("an incident");
    incident.state = state;
    incident.ended_at = ended.map(at);
    let target = labels(job, instance).to_string();
    incident
        .instances
        .insert(target, Instance::new(instance, at(1.0), 500.0));
    incident
}

fn death(hours: f64, job: &str, instance: &str, has_grown: bool) -> Death {
    let grown = Grown {
        signal: Arc::from("process_open_fds"),
        series: SeriesIndex(0),
        growth: Growth {
            from: 100.0,
            to: 973.0,
            seconds: 7200.0,
        },
        standing: Some("not told from load: it follows".to_owned()),
    };
    Death {
        at: at(hours),
        kind: DeathKind::OutOfDescriptors,
        workload: [("job", job)].into_iter().collect(),
        target: Some(labels(job, instance)),
        name: instance.to_owned(),
        grown: if has_grown { vec![grown] } else { Vec::new() },
        unseen: None,
    }
}

/// Grades with a ticket at hour 2 for each incident.
fn grade(incidents: Vec<Incident>, deaths: Vec<Death>) -> (Vec<Leak>, Vec<GradedDeath>) {
    let told = Told {
        ticketed_at: Some(at(2.0)),
        ..Told::default()
    };
    let incidents: BTreeMap<IncidentId, (Incident, Told)> = incidents
        .into_iter()
        .map(|own| (own.id.clone(), (own, told)))
        .collect();
    grading::grade(incidents, deaths)
}

#[track_caller]
fn check(incident: Incident, death: Death, expected: &str) {
    let (leaks, deaths) = grade(vec![incident], vec![death]);
    let got = match &deaths[0].grade {
        Grade::Ticketed { lead, leak } => format!(
            "{:.0} h before by {leak}, {:?}",
            lead / 3600.0,
            leaks[*leak].fate
        ),
        other => format!("{other:?}, {:?}", leaks[0].fate),
    };
    assert_eq!(got, expected);
}

#[test]
fn a_ticket_counts_for_a_later_death_of_what_leaks() {
    let growing = || incident("a", "a-0", State::Growing, None);
    check(
        growing(),
        death(5.0, "a", "a-0", true),
        "3 h before by 0, Deadly",
    );
    check(
        growing(),
        death(5.0, "a", "a-0", false),
        "3 h before by 0, Deadly",
    );
    check(
        growing(),
        death(5.0, "a", "a-1", true),
        "3 h before by 0, Deadly",
    );
    check(growing(), death(5.0, "a", "a-1", false), "NoLeak, Growing");
    check(growing(), death(1.5, "a", "a-0", true), "Missed, Growing");
    check(growing(), death(5.0, "b", "a-0", true), "Missed, Growing");
    let over = |ended| incident("a", "a-0", State::Ended(End::Released), Some(ended));
    check(
        over(4.5),
        death(5.0, "a", "a-0", true),
        "3 h before by 0, Deadly",
    );
    check(over(3.5), death(5.0, "a", "a-0", true), "Missed, Released");
    let unseen = Death {
        unseen: Some("too short".to_owned()),
        ..death(5.0, "b", "b-0", false)
    };
    check(growing(), unseen, "Unknown(\"too short\"), Growing");
}

#[test]
fn what_killed_comes_first_and_what_came_to_nothing_last() {
    let incidents = vec![
        incident("released", "r-0", State::Ended(End::Released), Some(9.0)),
        incident("growing", "g-0", State::Growing, None),
        incident("stalled", "s-0", State::Stalled, None),
        incident("deadly", "d-0", State::Ended(End::Released), Some(5.0)),
    ];
    let (leaks, deaths) = grade(incidents, vec![death(5.0, "deadly", "d-0", true)]);
    let order: Vec<(Fate, bool)> = leaks
        .iter()
        .map(|leak| (leak.fate, leak.fate.is_doubtful()))
        .collect();
    let expected = [
        (Fate::Deadly, false),
        (Fate::Growing, false),
        (Fate::Stalled, true),
        (Fate::Released, true),
    ];
    assert_eq!(order, expected);
    assert!(matches!(deaths[0].grade, Grade::Ticketed { leak: 0, .. }));
}

fn report() -> Report {
    let incidents = vec![
        incident(HOSTILE, HOSTILE, State::Growing, None),
        incident("quiet", "q-0", State::Ended(End::Released), Some(9.0)),
    ];
    let deaths = vec![
        death(5.0, HOSTILE, HOSTILE, true),
        death(6.0, "other", HOSTILE, true),
        death(7.0, "third", "t-0", false),
    ];
    let (mut leaks, deaths) = grade(incidents, deaths);
    leaks[0].picture =
        Ok("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>100 % # \"ü\"</text></svg>".to_owned());
    leaks[1].picture = Err(HOSTILE.to_owned());
    Report {
        store: format!("http://store/{HOSTILE}"),
        from: at(-10.0),
        to: at(10.0),
        step: None,
        looked: Looked {
            workloads: 4,
            targets: 4,
            series: 12,
            samples: 34_560,
            seconds: 1.5,
            budget: (12.0, 1.0),
            divisor: 64,
        },
        leaks,
        deaths,
        rollouts: Vec::new(),
        blind: vec![format!("{HOSTILE} was not seen.")],
    }
}

#[test]
fn every_text_of_the_store_is_escaped_on_the_page() {
    let page = html::page(&report());
    assert!(!page.contains("<script"), "{page}");
    assert_eq!(page.matches("</title>").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;"));
    assert!(!page.contains('\u{1b}'), "no control characters");
    let picture = "src=\"data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22%3E%3Ctext%3E100 %25 %23 %22%C3%BC%22%3C/text%3E%3C/svg%3E\"";
    assert!(page.contains(picture), "{page}");
}

#[test]
fn a_report_needs_nothing_from_elsewhere() {
    let page = html::page(&report());
    for foreign in [
        "<link",
        "src=\"http",
        "href=\"http",
        "@import",
        "url(",
        "<iframe",
        " onload",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_summary_says_what_was_foretold_and_what_was_not() {
    let text = summary::text(&report());
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{202e}'),
        "{text}"
    );
    for expected in [
        "Looked at        4 workloads, 4 targets, 12 series, 34,560 samples, in 1.5 s\n",
        "Suspected leaks  1: 1 led to deaths\n",
        "Deaths           3: 3 out of descriptors\n",
        "Foretold         1 of 2 deaths with a leak before it would have been ticketed, 3 h before in the median, 3 h at worst; before 1 other nothing had grown\n",
        "Rollouts         none was seen\n",
        "Likely false     1 ticket; the budget allows 0.03 tickets in this time, over 64 series\n",
        "process_open_fds from 100 to 973 in 2 h; not told from load: it follows\n",
        "quiet: file descriptors\n",
        "what it held was let go by itself, and nobody died\n",
    ] {
        assert!(
            text.contains(expected),
            "{expected:?} is missing from\n{text}"
        );
    }
}
