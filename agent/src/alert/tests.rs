use super::*;

const INTERVAL: u64 = 10;
const RESEND: u64 = 60;

fn timing(pending: u64, keep_firing_for: u64) -> Timing {
    Timing {
        evaluation_interval: Duration::from_secs(INTERVAL),
        pending: Duration::from_secs(pending),
        keep_firing_for: Duration::from_secs(keep_firing_for),
        resend_delay: Duration::from_secs(RESEND),
        limit: 3,
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds as i64 * 1000)
}

fn wish(name: AlertName, labels: &[(&str, &str)], holds: bool) -> Wanted {
    Wanted {
        name,
        incident: IncidentId::parse("0123456789abcdef").unwrap(),
        labels: labels
            .iter()
            .copied()
            .chain([("alertname", name.word())])
            .collect(),
        annotations: [("summary", "it leaks")].into_iter().collect(),
        generator_url: "http://127.0.0.1:9465/leaks/0123456789abcdef".to_owned(),
        holds,
        hold_until: None,
    }
}

/// One alert over its life. Every character of `wishes` is an evaluation, 10 s apart: `+` wanted and its condition
/// holds, `-` wanted and its condition does not hold, `.` not wanted. Each line of what comes out is a message, or a
/// change of state that sends none; times are in seconds since the first evaluation.
#[track_caller]
fn check(pending: u64, keep_firing_for: u64, wishes: &str, expected: expect_test::Expect) {
    let mut alerts = Alerts::new(timing(pending, keep_firing_for), Vec::new());
    let since = |time: Timestamp| (time.millis() - at(0).millis()) / 1000;
    let mut lines = String::new();
    let mut before = "none";
    for (tick, what) in wishes.chars().enumerate() {
        let now = at(tick as u64 * INTERVAL);
        let wanted = match what {
            '+' => vec![wish(AlertName::ResourceLeak, &[], true)],
            '-' => vec![wish(AlertName::ResourceLeak, &[], false)],
            _ => Vec::new(),
        };
        alerts.evaluate(now, wanted);
        let state = alerts
            .iter()
            .next()
            .map_or("none", |alert| match alert.state {
                AlertState::Pending => "pending",
                AlertState::Firing => "firing",
                AlertState::Resolved => "resolved",
            });
        let sent = alerts.due(now);
        assert!(sent.len() <= 1);
        if let Some(alert) = sent.first() {
            let what = if alert.resolved { "resolved" } else { "firing" };
            let line = format!(
                "{}: sends {what}, startsAt {}, endsAt {}\n",
                since(now),
                since(alert.starts_at),
                since(alert.ends_at)
            );
            lines.push_str(&line);
        } else if state != before {
            lines.push_str(&format!("{}: {state}\n", since(now)));
        }
        before = state;
    }
    expected.assert_eq(&lines);
}

#[test]
fn it_is_sent_at_once_then_when_more_than_the_delay_has_passed_and_promises_four_times_that() {
    check(
        0,
        0,
        "+++++++++++++++",
        expect_test::expect![[r#"
        0: sends firing, startsAt 0, endsAt 240
        70: sends firing, startsAt 0, endsAt 310
        140: sends firing, startsAt 0, endsAt 380
    "#]],
    );
}

#[test]
fn it_waits_for_as_long_as_it_must_hold_and_starts_when_it_fires() {
    check(
        25,
        0,
        "+++++",
        expect_test::expect![[r#"
        0: pending
        30: sends firing, startsAt 30, endsAt 270
    "#]],
    );
}

#[test]
fn what_ceases_before_it_fires_was_nothing() {
    check(
        25,
        60,
        "++-.++.",
        expect_test::expect![[r#"
        0: pending
        20: none
        40: pending
        60: none
    "#]],
    );
}

#[test]
fn resolved_is_sent_at_once_and_again_for_fifteen_minutes() {
    let wishes = format!("++{}", ".".repeat(100));
    check(
        0,
        0,
        &wishes,
        expect_test::expect![[r#"
        0: sends firing, startsAt 0, endsAt 240
        20: sends resolved, startsAt 0, endsAt 20
        90: sends resolved, startsAt 0, endsAt 20
        160: sends resolved, startsAt 0, endsAt 20
        230: sends resolved, startsAt 0, endsAt 20
        300: sends resolved, startsAt 0, endsAt 20
        370: sends resolved, startsAt 0, endsAt 20
        440: sends resolved, startsAt 0, endsAt 20
        510: sends resolved, startsAt 0, endsAt 20
        580: sends resolved, startsAt 0, endsAt 20
        650: sends resolved, startsAt 0, endsAt 20
        720: sends resolved, startsAt 0, endsAt 20
        790: sends resolved, startsAt 0, endsAt 20
        860: sends resolved, startsAt 0, endsAt 20
        930: none
    "#]],
    );
}

#[test]
fn a_condition_that_ceases_for_a_moment_does_not_flap() {
    check(
        0,
        30,
        "+--+---+----+",
        expect_test::expect![[r#"
        0: sends firing, startsAt 0, endsAt 240
        70: sends firing, startsAt 0, endsAt 310
        110: sends resolved, startsAt 0, endsAt 110
        120: sends firing, startsAt 120, endsAt 360
    "#]],
    );
}

#[test]
fn the_end_of_the_incident_does_not_wait_for_keep_firing_for() {
    check(
        0,
        300,
        "+-.",
        expect_test::expect![[r#"
        0: sends firing, startsAt 0, endsAt 240
        20: sends resolved, startsAt 0, endsAt 20
    "#]],
    );
}

#[test]
fn firing_again_while_resolved_is_resent_starts_anew_and_is_sent_at_once() {
    check(
        0,
        0,
        "++.+",
        expect_test::expect![[r#"
        0: sends firing, startsAt 0, endsAt 240
        20: sends resolved, startsAt 0, endsAt 20
        30: sends firing, startsAt 30, endsAt 270
    "#]],
    );
}

#[test]
fn a_slow_evaluation_stretches_the_promise() {
    let slow = Timing {
        evaluation_interval: Duration::from_secs(120),
        ..timing(0, 0)
    };
    let mut alerts = Alerts::new(slow, Vec::new());
    alerts.evaluate(at(0), vec![wish(AlertName::ResourceLeak, &[], true)]);
    assert_eq!(alerts.due(at(0))[0].ends_at, at(480));
}

#[test]
fn a_page_goes_out_before_its_ticket_and_both_keep_their_own_lives() {
    let mut alerts = Alerts::new(timing(0, 0), Vec::new());
    let ticket = || wish(AlertName::ResourceLeak, &[("job", "gateway")], true);
    let page = || wish(AlertName::ResourceLeakUrgent, &[("job", "gateway")], true);
    alerts.evaluate(at(0), vec![ticket()]);
    assert_eq!(alerts.due(at(0)).len(), 1);
    alerts.evaluate(at(10), vec![ticket(), page()]);
    let sent = alerts.due(at(10));
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].starts_at, sent[0].labels.get("alertname")),
        (at(10), Some("ResourceLeakUrgent"))
    );
    alerts.evaluate(at(80), vec![ticket(), page()]);
    let names: Vec<_> = alerts
        .due(at(80))
        .iter()
        .map(|own| own.labels.get("alertname").unwrap().to_owned())
        .collect();
    assert_eq!(names, ["ResourceLeakUrgent", "ResourceLeak"]);
    alerts.evaluate(at(90), vec![ticket()]);
    let sent = alerts.due(at(90));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].resolved, "back to the ticket alone, which stays");
}

#[test]
fn its_words_change_and_its_labels_do_not() {
    let mut alerts = Alerts::new(timing(0, 0), Vec::new());
    alerts.evaluate(at(0), vec![wish(AlertName::ResourceLeak, &[], true)]);
    alerts.due(at(0));
    let mut later = wish(AlertName::ResourceLeak, &[], true);
    later.annotations = [("summary", "it leaks more")].into_iter().collect();
    alerts.evaluate(at(10), vec![later]);
    assert!(
        alerts.due(at(10)).is_empty(),
        "new words alone are not sent before their time"
    );
    alerts.evaluate(at(61), vec![wish(AlertName::ResourceLeak, &[], true)]);
    let sent = alerts.due(at(61));
    assert_eq!((sent.len(), sent[0].starts_at), (1, at(0)));
}

#[test]
fn a_witness_may_hold_the_first_sending_for_a_moment() {
    let mut alerts = Alerts::new(timing(0, 0), Vec::new());
    let held = |until| Wanted {
        hold_until: until,
        ..wish(AlertName::ResourceLeak, &[], true)
    };
    alerts.evaluate(at(0), vec![held(Some(at(5)))]);
    assert!(alerts.due(at(0)).is_empty());
    alerts.evaluate(at(1), vec![held(None)]);
    assert_eq!(alerts.due(at(1))[0].starts_at, at(0), "it answered");
    let mut silent = Alerts::new(timing(0, 0), Vec::new());
    silent.evaluate(at(0), vec![held(Some(at(5)))]);
    silent.evaluate(at(10), vec![held(Some(at(5)))]);
    assert_eq!(silent.due(at(10)).len(), 1, "it did not");
}

#[test]
fn after_a_restart_everything_is_sent_at_once_with_its_old_times() {
    let mut alerts = Alerts::new(timing(0, 0), Vec::new());
    let both = || {
        vec![
            wish(AlertName::ResourceLeak, &[], true),
            wish(AlertName::ConnectionReuseLost, &[], true),
        ]
    };
    alerts.evaluate(at(0), both());
    alerts.due(at(0));
    alerts.evaluate(at(10), vec![wish(AlertName::ResourceLeak, &[], true)]);
    alerts.due(at(10));
    let stored = serde_json::to_string(&alerts.iter().collect::<Vec<_>>()).unwrap();
    let mut restarted = Alerts::new(timing(0, 0), serde_json::from_str(&stored).unwrap());
    assert!(
        !restarted.evaluate(at(20), vec![wish(AlertName::ResourceLeak, &[], true)]),
        "nothing changed"
    );
    let sent = restarted.due(at(20));
    assert_eq!(sent.len(), 2);
    assert_eq!((sent[0].starts_at, sent[0].resolved), (at(0), false));
    assert_eq!(
        (sent[1].starts_at, sent[1].ends_at, sent[1].resolved),
        (at(0), at(10), true)
    );
    let gone = at(10 + 15 * 60 + 1);
    restarted.evaluate(gone, vec![wish(AlertName::ResourceLeak, &[], true)]);
    assert_eq!(restarted.iter().len(), 1);
}

#[test]
fn above_the_limit_alerts_are_counted_and_the_resolved_make_room() {
    let mut alerts = Alerts::new(timing(0, 0), Vec::new());
    let many = |from: usize| {
        (from..from + 5)
            .map(|job| wish(AlertName::ResourceLeak, &[("job", &*job.to_string())], true))
            .collect::<Vec<_>>()
    };
    alerts.evaluate(at(0), many(0));
    assert_eq!((alerts.iter().len(), alerts.refused()), (3, 2));
    alerts.evaluate(at(10), many(2));
    let firing = alerts
        .iter()
        .filter(|alert| alert.state == AlertState::Firing)
        .count();
    assert_eq!(firing, 3);
}

#[test]
fn of_two_incidents_with_the_same_labels_the_first_speaks() {
    let mut alerts = Alerts::new(timing(0, 0), Vec::new());
    let second = Wanted {
        incident: IncidentId::parse("fedcba9876543210").unwrap(),
        ..wish(AlertName::ResourceLeak, &[], true)
    };
    alerts.evaluate(
        at(0),
        vec![wish(AlertName::ResourceLeak, &[], true), second],
    );
    let incidents: Vec<_> = alerts
        .iter()
        .map(|alert| alert.incident.as_str().to_owned())
        .collect();
    assert_eq!(incidents, ["0123456789abcdef"]);
}

#[test]
fn published_words_are_renewed_every_five_minutes_or_when_they_say_more() {
    let mut alerts = Alerts::new(timing(20, 0), Vec::new());
    let mut say = |seconds: u64, summary: &str, site: &str, held_until: Option<u64>| {
        let wanted = Wanted {
            annotations: [("summary", summary), ("site", site)].into_iter().collect(),
            hold_until: held_until.map(at),
            ..wish(AlertName::ResourceLeak, &[], true)
        };
        alerts.evaluate(at(seconds), vec![wanted]);
        let words = alerts.iter().next().unwrap().published(at(seconds));
        words.map(|words| words.get("summary").unwrap_or_default().to_owned())
    };
    for (seconds, summary, site, held_until, expected) in [
        (0, "pending", "", None, None),
        (20, "firing, held", "", Some(30), None),
        (30, "not held any more", "", Some(30), Some("firing, held")),
        (40, "with a place", "a.rs:1", None, Some("with a place")),
        (330, "a figure moved", "a.rs:1", None, Some("with a place")),
        (
            340,
            "five minutes on",
            "a.rs:1",
            None,
            Some("five minutes on"),
        ),
    ] {
        let said = say(seconds, summary, site, held_until);
        assert_eq!(said.as_deref(), expected, "after {seconds} s");
    }
}
