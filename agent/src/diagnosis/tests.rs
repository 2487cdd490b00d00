use super::*;
use SignalKind::{Descriptors, Memory, Open, Orphaned, Overdue, Threads};

const TASK: Option<&str> = Some("fan_out_task");
const BODY: Option<&str> = Some("response_body");
const CONNECTION: Option<&str> = Some("pool_connection");

#[track_caller]
fn check(leaking: &[(SignalKind, Option<&str>)], context: Context, expected: Cause) {
    let mut symptoms: Vec<Symptom<'_>> = leaking
        .iter()
        .map(|(kind, resource)| Symptom {
            kind: *kind,
            resource: *resource,
        })
        .collect();
    assert_eq!(diagnose(&symptoms, context), expected);
    symptoms.reverse();
    assert_eq!(
        diagnose(&symptoms, context),
        expected,
        "the order of the symptoms does not matter"
    );
}

fn idle(idle_connections: f64, overdue_connections: f64) -> Context {
    Context {
        idle_connections: Some(idle_connections),
        overdue_connections,
        undrained: None,
    }
}

#[test]
fn orphaned_tasks_are_a_timeout_without_cancellation_whatever_they_hold() {
    for leaking in [
        &[(Orphaned, TASK)][..],
        &[(Orphaned, TASK), (Overdue, TASK)],
        &[
            (Orphaned, TASK),
            (Orphaned, CONNECTION),
            (Overdue, CONNECTION),
            (Descriptors, None),
            (Memory, None),
        ],
        &[
            (Orphaned, TASK),
            (Orphaned, BODY),
            (Orphaned, CONNECTION),
            (Open, BODY),
        ],
    ] {
        check(
            leaking,
            Context::default(),
            Cause::TimeoutWithoutCancellation,
        );
    }
}

#[test]
fn overdue_tasks_with_living_owners_are_a_fan_out_without_deadline() {
    for leaking in [
        &[(Overdue, TASK)][..],
        &[
            (Overdue, TASK),
            (Overdue, CONNECTION),
            (Open, Some("request")),
            (Threads, None),
        ],
        &[(Overdue, TASK), (Overdue, BODY), (Overdue, CONNECTION)],
    ] {
        check(leaking, Context::default(), Cause::FanOutWithoutDeadline);
    }
}

#[test]
fn bodies_without_tasks_are_not_closed() {
    for leaking in [
        &[(Orphaned, BODY)][..],
        &[(Overdue, BODY)],
        &[
            (Orphaned, BODY),
            (Overdue, BODY),
            (Orphaned, CONNECTION),
            (Descriptors, None),
            (Memory, None),
        ],
    ] {
        check(leaking, idle(0.0, 3.0), Cause::UnclosedBodies);
    }
}

#[test]
fn connections_past_their_idle_limit_are_unbounded() {
    check(
        &[(Overdue, CONNECTION)],
        Context::default(),
        Cause::IdleConnectionsUnbounded,
    );
    check(
        &[(Overdue, CONNECTION), (Descriptors, None)],
        idle(40.0, 37.0),
        Cause::IdleConnectionsUnbounded,
    );
}

#[test]
fn connections_that_are_in_use_or_have_lost_their_request_are_not_idle() {
    check(&[(Overdue, CONNECTION)], idle(2.0, 37.0), Cause::Unknown);
    check(
        &[(Orphaned, CONNECTION), (Overdue, CONNECTION)],
        Context::default(),
        Cause::Unknown,
    );
}

#[test]
fn churn_is_told_by_how_connections_were_closed() {
    let closed = |undrained| Context {
        undrained: Some(undrained),
        ..Context::default()
    };
    check(
        &[(SignalKind::Churn, CONNECTION)],
        closed(true),
        Cause::UndrainedBodies,
    );
    check(
        &[(SignalKind::Churn, CONNECTION)],
        closed(false),
        Cause::IdlePoolTooSmall,
    );
}

#[test]
fn without_a_ledger_nothing_is_known() {
    for leaking in [
        &[(Descriptors, None)][..],
        &[(Descriptors, None), (Threads, None), (Memory, None)],
        &[(Open, Some("lease"))],
        &[(Open, BODY)],
        &[(Orphaned, Some("lease"))],
        &[],
    ] {
        check(leaking, Context::default(), Cause::Unknown);
    }
}

#[test]
fn the_words_are_those_of_the_contract() {
    let words = Cause::ALL.map(Cause::word);
    assert_eq!(
        words,
        [
            "timeout_without_cancellation",
            "fan_out_without_deadline",
            "unclosed_bodies",
            "idle_connections_unbounded",
            "undrained_bodies",
            "idle_pool_too_small",
            "unknown",
        ]
    );
    for cause in Cause::ALL {
        assert_eq!(serde_json::to_value(cause).unwrap(), cause.word());
    }
}
