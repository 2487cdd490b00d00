use leak_detect::{Evidence, Fit, Interval, Tier};

use super::*;
use crate::diagnosis::Context;
use crate::incident::{Book, BookSettings, Change, Sighting, SignalKind};
use crate::labels::Labels;

const BEGAN: i64 = 1_800_000_000;
const CONFIRMATION: u64 = 30;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((BEGAN + seconds) * 1000)
}

/// A leak of one body a second on pod `a`, which began at 0 and is convicted at 20 s; a hundred requests a second.
fn convicted() -> Book {
    let settings = BookSettings {
        confirmation: Duration::from_secs(CONFIRMATION),
        limit: 10,
    };
    let mut book = Book::new(settings, Vec::new());
    let growth = Interval {
        low: 0.9,
        estimate: 1.0,
        high: 1.1,
    };
    let sighting = Sighting {
        target: Arc::from("a"),
        instance: Arc::from("a:1"),
        signal: Arc::from("resource_ledger_orphaned"),
        kind: SignalKind::Orphaned,
        resource: Some(Arc::from("response_body")),
        upstream: Some(Arc::from("social")),
        route: None,
        site: None,
        value: 20.0,
        at: at(20),
        evidence: Some(Evidence {
            tier: Tier::Exact,
            onset: at(0),
            onset_uncertainty_seconds: 1.0,
            convicted_at: at(20),
            growth_per_second: growth,
            fit: Fit {
                start: at(0),
                start_value: 0.0,
                slope: 1.0,
            },
            samples: 4,
            scale_seconds: 20.0,
            baseline: 0.0,
            excess: 20.0,
            peak_excess: 20.0,
            still_growing: true,
            ruled_out: Vec::new(),
        }),
        load: None,
        limit: None,
        seconds_to_exhaustion: None,
        ticket_only: false,
        churn: None,
    };
    let changes = book.sight(at(20), &workload(), &[sighting], &|_| Context::default());
    assert_eq!(changes[0].1, Change::Convicted);
    step(
        &mut book,
        20,
        &["a"],
        &[seen("a", 20, -1000, 20.0, Some(102_000.0))],
    );
    book
}

fn workload() -> Labels {
    [("job", "gateway")].into_iter().collect()
}

/// What a target shows at `now`: its process began at `began`, holds `excess`, and has done `work` so far.
fn seen(target: &str, now: i64, began: i64, excess: f64, work: Option<f64>) -> Look {
    Look {
        target: Arc::from(target),
        at: at(now),
        life_began: at(began),
        carrier: Some(excess),
        excess,
        clear: Some(excess == 0.0),
        work,
    }
}

/// One evaluation; how the incident has ended by it.
fn step(book: &mut Book, now: i64, listed: &[&str], looks: &[Look]) -> Option<End> {
    let listed: Vec<Arc<str>> = listed.iter().map(|target| Arc::from(*target)).collect();
    let looks = |_: &Incident| looks.to_vec();
    let listed = Listed {
        targets: listed,
        none_since: at(now),
    };
    book.look(at(now), &workload(), &listed, &looks, &|_| None, &|_| true)
        .into_iter()
        .find_map(|(_, change)| match change {
            Change::Ended(end) => Some(end),
            _ => None,
        })
}

/// When the incident ends, and how, if every 10 s from 30 s on `looks` shows the targets `listed`.
fn end(listed: &[&str], looks: impl Fn(i64) -> Vec<Look>) -> Option<(i64, End)> {
    let mut book = convicted();
    (30..20_000)
        .step_by(10)
        .find_map(|now| Some((now, step(&mut book, now, listed, &looks(now))?)))
}

#[test]
fn it_is_released_when_the_same_process_has_been_clear_for_long_enough() {
    let released = end(&["a"], |now| {
        vec![seen("a", now, -1000, 0.0, Some(102_000.0))]
    });
    assert_eq!(released, Some((30 + CONFIRMATION as i64, End::Released)));
}

#[test]
fn a_moment_at_zero_is_no_release() {
    let never = end(&["a"], |now| {
        let excess = if now % 40 == 0 { 1.0 } else { 0.0 };
        vec![seen("a", now, -1000, excess, Some(102_000.0))]
    });
    assert_eq!(never, None);
}

#[test]
fn scrapes_that_are_looked_at_again_count_once() {
    let mut book = convicted();
    for now in (30..1000).step_by(10) {
        let stale = seen("a", 30, -1000, 0.0, Some(102_000.0));
        assert_eq!(step(&mut book, now, &["a"], &[stale]), None);
    }
}

#[test]
fn what_cannot_be_seen_is_not_clear() {
    let unknown = end(&["a"], |now| {
        let unseen = Look {
            clear: None,
            ..seen("a", now, -1000, 0.0, None)
        };
        vec![unseen]
    });
    assert_eq!(unknown, None);
    assert_eq!(
        end(&["a"], |_| Vec::new()),
        None,
        "listed and never scraped"
    );
}

#[test]
fn a_successor_in_its_place_must_work_as_long_as_convicted_the_first() {
    // 2,000 requests convicted it: at 100 a second done after 20 s, and then it is watched for 30 s more.
    let replaced = end(&["a"], |now| {
        vec![seen("a", now, 25, 0.0, Some(100.0 * (now - 25) as f64))]
    });
    let (now, end_word) = replaced.unwrap();
    assert_eq!(end_word, End::Replaced);
    assert!((75..=95).contains(&now), "at {now} s");
    let idle = end(&["a"], |now| vec![seen("a", now, 25, 0.0, Some(0.0))]);
    assert_eq!(idle, None, "without work nothing is shown");
    let uncounted = end(&["a"], |now| vec![seen("a", now, 25, 0.0, None)]);
    assert_eq!(uncounted, None, "work that is counted no more is none");
}

#[test]
fn a_successor_that_leaks_is_the_same_incident() {
    let leaking = end(&["a"], |now| {
        let age = now - 25;
        vec![seen(
            "a",
            now,
            25,
            (age / 10) as f64,
            Some(100.0 * age as f64),
        )]
    });
    assert_eq!(leaking, None);
}

#[test]
fn a_rare_leak_needs_more_work_to_be_acquitted() {
    let mut book = convicted();
    // One in a thousand for an hour, then a restart.
    for now in (30..3600).step_by(10) {
        let look = seen(
            "a",
            now,
            -1000,
            (now / 10) as f64,
            Some(100.0 * (now + 1000) as f64),
        );
        assert_eq!(step(&mut book, now, &["a"], &[look]), None);
    }
    let replaced = (3610..10_000).step_by(10).find(|now| {
        let look = seen("a", *now, 3605, 0.0, Some(100.0 * (now - 3605) as f64));
        step(&mut book, *now, &["a"], &[look]).is_some()
    });
    // Three times a thousand requests, at a hundred a second, and the time to be found out.
    assert!(matches!(replaced, Some(3665..=3695)), "{replaced:?}");
}

#[test]
fn pods_with_new_names_are_successors() {
    let both = |now: i64, excess: f64| {
        let work = Some(50.0 * now as f64);
        vec![
            seen("b", now, 0, excess, work),
            seen("c", now, 0, 0.0, work),
        ]
    };
    let replaced = end(&["b", "c"], |now| both(now, 0.0));
    assert!(
        matches!(replaced, Some((70..=100, End::Replaced))),
        "{replaced:?}"
    );
    assert_eq!(
        end(&["b", "c"], |now| both(now, 1.0)),
        None,
        "one of them leaks"
    );
    let idle = end(&["b"], |now| vec![seen("b", now, 0, 0.0, Some(7.0))]);
    assert_eq!(idle, None);
}

#[test]
fn a_workload_that_nobody_lists_is_gone_after_two_hours_and_not_if_it_comes_back() {
    assert_eq!(end(&[], |_| Vec::new()), Some((30 + 7200, End::Gone)));
    let mut book = convicted();
    for now in (30..20_000).step_by(10) {
        let listed: &[&str] = if now % 7000 == 0 { &["a"] } else { &[] };
        assert_eq!(step(&mut book, now, listed, &[]), None);
    }
}

#[test]
fn the_book_knows_who_lives_through_ends_restarts_and_time() {
    let settings = BookSettings {
        confirmation: Duration::from_secs(CONFIRMATION),
        limit: 10,
    };
    let mut book = convicted();
    #[track_caller]
    fn check(book: &Book, living: usize, known: usize) {
        assert_eq!(book.has_living(&workload()), living > 0);
        assert_eq!(book.living_of(&workload()).len(), living);
        assert_eq!(book.living().count(), living);
        assert!(book.living().all(Incident::is_living));
        assert_eq!(book.iter().filter(|own| own.is_living()).count(), living);
        assert_eq!(book.iter().count(), known);
    }
    check(&book, 1, 1);
    let released = (30..200).step_by(10).find(|now| {
        step(
            &mut book,
            *now,
            &["a"],
            &[seen("a", *now, -1000, 0.0, None)],
        )
        .is_some()
    });
    let ended = released.expect("it is released");
    check(&book, 0, 1);
    let stored: Vec<Incident> = book.iter().cloned().collect();
    let mut restarted = Book::new(settings, stored);
    check(&restarted, 0, 1);
    let month = 30 * 86_400;
    assert!(!restarted.forget(at(ended + month - 1)));
    assert!(restarted.forget(at(ended + month)));
    check(&restarted, 0, 0);
    let stored = convicted().iter().cloned().collect();
    check(&Book::new(settings, stored), 1, 1);
}
