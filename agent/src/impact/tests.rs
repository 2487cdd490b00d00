use leak_detect::Interval;

use super::*;

fn runs_out_in(low: f64) -> Exhaustion {
    Exhaustion {
        signal: "process_open_fds".to_owned(),
        instance: "a:9901".to_owned(),
        limit: 1024.0,
        seconds: Interval {
            low,
            estimate: low * 2.0,
            high: f64::INFINITY,
        },
    }
}

fn quiet() -> Users {
    Users {
        waiting_known: true,
        ..Users::default()
    }
}

fn failing(failing: f64, all: f64, share_before: Option<f64>) -> Users {
    Users {
        calls: Some(Calls {
            failing,
            all,
            complete: true,
        }),
        failing_share_before: share_before,
        ..quiet()
    }
}

#[track_caller]
fn check(exhaustion: Option<Exhaustion>, users: Users, urgent: bool) {
    let impact = judge(exhaustion.as_ref(), true, &users);
    let expected = if urgent {
        matches!(impact, Impact::Urgent(_))
    } else {
        impact == Impact::Bearable
    };
    assert!(expected, "{users:?} gave {impact:?}");
}

#[test]
fn the_lower_bound_of_exhaustion_decides() {
    check(Some(runs_out_in(4.0 * 3600.0)), quiet(), false);
    check(Some(runs_out_in(4.0 * 3600.0 - 1.0)), quiet(), true);
    check(Some(runs_out_in(0.0)), quiet(), true);
    check(None, quiet(), false);
}

#[test]
fn users_are_hit_by_a_share_a_number_and_a_rise_together() {
    check(None, failing(10.0, 1000.0, None), true);
    check(None, failing(10.0, 1000.0, Some(0.003)), true);
    check(None, failing(9.0, 100.0, None), false);
    check(None, failing(10.0, 1001.0, None), false);
    check(None, failing(500.0, 1000.0, Some(0.2)), false);
    check(None, failing(500.0, 1000.0, Some(0.16)), true);
}

#[test]
fn waiting_for_two_minutes_at_every_scrape_hits_users() {
    check(
        None,
        Users {
            waiting: Some((119.0, 3.0)),
            ..quiet()
        },
        false,
    );
    check(
        None,
        Users {
            waiting: Some((120.0, 3.0)),
            ..quiet()
        },
        true,
    );
}

#[test]
fn what_has_not_been_watched_for_long_enough_is_not_known() {
    let young = Users {
        calls: Some(Calls {
            complete: false,
            ..Calls::default()
        }),
        ..quiet()
    };
    assert_eq!(judge(None, true, &young), Impact::Unknown);
    assert_eq!(judge(None, true, &Users::default()), Impact::Unknown);
    assert_eq!(judge(None, false, &quiet()), Impact::Unknown);
    let hit = Users {
        calls: Some(Calls {
            failing: 50.0,
            all: 100.0,
            complete: false,
        }),
        ..quiet()
    };
    assert!(matches!(
        judge(None, false, &hit),
        Impact::Urgent(Urgency::UsersHit { .. })
    ));
}

#[test]
fn reuse_is_lost_by_a_number_and_a_share_together() {
    let churn = |closes, exchanges| Churn {
        undrained: true,
        closes,
        exchanges,
        window_seconds: 30.0,
    };
    assert!(is_reuse_lost(&churn(30.0, 60.0)));
    assert!(!is_reuse_lost(&churn(29.0, 29.0)));
    assert!(!is_reuse_lost(&churn(30.0, 61.0)));
    assert!(is_reuse_lost(&churn(400.0, 400.0)));
}

#[test]
fn the_reasons_can_be_read_at_night() {
    let sentences = [
        Urgency::Exhaustion(runs_out_in(5000.0)).sentence(),
        Urgency::Exhaustion(runs_out_in(0.0)).sentence(),
        Urgency::UsersHit {
            failing: 412.0,
            calls: 2000.0,
            share_before: 0.001,
        }
        .sentence(),
        Urgency::Waiting {
            seconds: 150.0,
            waiters: 12.0,
        }
        .sentence(),
    ];
    expect_test::expect![[r#"
        process_open_fds of a:9901 may reach its limit of 1,024 within 1 h 23 min
        process_open_fds of a:9901 is at its limit of 1,024
        users are hit: 412 of 2,000 upstream calls of the last 5 min were refused or timed out (21 %, before the leak 0.1 %)
        users are hit: requests have been waiting for a connection at every scrape for 2 min 30 s (12 wait now)
    "#]]
    .assert_eq(&format!("{}\n", sentences.join("\n")));
}
