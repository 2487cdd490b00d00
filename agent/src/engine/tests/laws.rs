//! What holds whatever happens: values that make no sense, restarts, gaps and kills, in any order.

use proptest::prelude::*;

use super::drills::work;
use super::world::World;
use crate::alert::{AlertName, AlertState};
use crate::incident::State;

const BODY: [(&str, &str); 3] = [
    ("resource", "response_body"),
    ("upstream", "social"),
    ("route", "/content/*"),
];

#[derive(Clone, Debug)]
enum Event {
    /// A scrape that shows so many orphaned bodies.
    Orphaned(f64),
    /// A scrape whose values make no sense.
    Nonsense(f64),
    /// A scrape that fails.
    Down,
    /// The series is missing.
    Vanish,
    /// The process is replaced.
    Replace,
    /// The agent is killed and comes back.
    Kill,
    /// Nobody looks for so many seconds.
    Gap(f64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => prop_oneof![Just(0.0), Just(1.0), Just(7.0)].prop_map(Event::Orphaned),
        1 => prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(-3.0), Just(1e300), Just(f64::MIN_POSITIVE)
        ]
        .prop_map(Event::Nonsense),
        1 => Just(Event::Down),
        1 => Just(Event::Vanish),
        1 => Just(Event::Replace),
        1 => Just(Event::Kill),
        1 => (1.0..100_000.0).prop_map(Event::Gap),
    ];
    prop::collection::vec((event, 1_usize..12), 1..40).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(event, times)| vec![event; times])
            .collect()
    })
}

fn happen(world: &mut World, event: &Event) {
    let is_down = matches!(event, Event::Down);
    match event {
        Event::Vanish => world.service("a:9901").vanish("resource_ledger_orphaned"),
        Event::Replace => world.replace("a:9901"),
        Event::Kill => world.kill(),
        Event::Gap(seconds) => world.now += seconds,
        Event::Orphaned(_) | Event::Nonsense(_) | Event::Down => {}
    }
    world.service("a:9901").is_down = is_down;
    world.step(|_, service, _| {
        work(service, 50.0);
        match event {
            Event::Orphaned(value) => service.set("resource_ledger_orphaned", &BODY, *value),
            Event::Nonsense(value) => {
                service.set("resource_ledger_orphaned", &BODY, *value);
                service.set("resource_ledger_oldest_age_seconds", &BODY, *value);
                service.set("resource_ledger_opened_total", &BODY, *value);
                service.set("process_open_fds", &[], *value);
                service.set("process_max_fds", &[], *value);
                service.set("gateway_pool_waiters", &[("upstream", "social")], *value);
            }
            _ => {}
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn no_alert_ends_while_its_leak_is_there_to_be_seen(events in events()) {
        let mut world = World::gateway();
        for event in &events {
            let before = world.is_firing(AlertName::ResourceLeak);
            happen(&mut world, event);
            let held = world.service("a:9901").get("resource_ledger_orphaned", &BODY);
            let shows_leak = held == 1.0 || held == 7.0;
            if before && (shows_leak || matches!(event, Event::Down)) {
                prop_assert!(world.is_firing(AlertName::ResourceLeak), "after {event:?}");
            }
        }
    }

    #[test]
    fn what_is_sent_of_one_alert_is_of_one_piece(events in events()) {
        let mut world = World::gateway();
        for event in &events {
            happen(&mut world, event);
            // What is stored is always whole: the same incidents and alerts as the engine's.
            let saved = world.engine.saved();
            let text = serde_json::to_string(&(&saved.incidents, &saved.alerts)).unwrap();
            let read: (Vec<crate::incident::Incident>, Vec<crate::alert::Alert>) =
                serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.0.len(), saved.incidents.len());
            prop_assert!(world.engine.incidents().filter(|own| own.is_living()).count() <= 2);
        }
        let mut lives: Vec<(String, f64, bool)> = Vec::new();
        for (at, alert) in &world.sent {
            let labels = alert.labels.to_string();
            let starts_at = alert.starts_at.seconds();
            prop_assert!(alert.ends_at > alert.starts_at || alert.resolved);
            prop_assert!(alert.resolved || alert.ends_at.seconds() > *at, "a promise lies in the future");
            match lives.iter_mut().find(|life| life.0 == labels && life.1 == starts_at) {
                Some(life) => {
                    prop_assert!(!life.2 || alert.resolved, "what was resolved never fires again with its old start");
                    life.2 = alert.resolved;
                }
                None => lives.push((labels, starts_at, alert.resolved)),
            }
        }
        for incident in world.engine.incidents() {
            prop_assert_eq!(incident.ended_at.is_some(), matches!(incident.state, State::Ended(_)));
            let fires = world.engine.alerts().any(|alert| {
                alert.incident == incident.id && alert.state == AlertState::Firing
            });
            prop_assert!(incident.is_living() || !fires, "nothing fires for what has ended");
        }
    }
}
