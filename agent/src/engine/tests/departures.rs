//! Targets and series that come and go: what is remembered of them, and for how long.

use super::world::{World, at};

const MINUTE: f64 = 60.0;

fn world() -> World {
    World::new(
        "global: { scrape_interval: 15s }\n\
         scrape_configs:\n  \
         - job_name: shop\n    \
           static_configs: [{ targets: [\"a:1\", \"b:1\"] }]\n",
    )
}

/// Three levels, one of which leaks where that is wanted; the world is as old as that many seconds.
fn expose(world: &mut World, seconds: f64, leaking: &'static str) {
    world.run(seconds, |instance, service, _| {
        service.set("go_goroutines", &[], 40.0);
        service.set("process_open_fds", &[], 12.0);
        let held = if instance == leaking { 3.0 } else { 0.0 };
        let body = [("resource", "response_body"), ("upstream", "social")];
        service.set("resource_ledger_orphaned", &body, held);
    });
}

fn list(world: &mut World, instances: &[&str]) {
    let mut targets = world.config.targets();
    targets.retain(|target| instances.contains(&&*target.instance));
    let now = world.now;
    world.engine.set_scraped(&targets, at(now));
}

/// Series watched after each of these many minutes more.
fn watched_after(world: &mut World, minutes: &[f64], leaking: &'static str) -> Vec<usize> {
    let step = |minutes: &f64| {
        expose(world, minutes * MINUTE, leaking);
        world.engine.counters().series_watched
    };
    minutes.iter().map(step).collect()
}

#[test]
fn a_target_that_came_and_went_is_remembered_for_as_long_as_it_was_there() {
    let mut world = world();
    expose(&mut world, 20.0 * MINUTE, "");
    assert_eq!(world.engine.counters().series_watched, 6);
    list(&mut world, &["a:1"]);
    assert_eq!(watched_after(&mut world, &[19.0, 2.0], ""), [6, 3]);
    list(&mut world, &["a:1", "b:1"]);
    assert_eq!(
        watched_after(&mut world, &[1.0], ""),
        [6],
        "it is back, as a new one"
    );
}

#[test]
fn a_target_that_was_there_for_a_moment_is_remembered_until_it_is_off_the_list() {
    let mut world = world();
    expose(&mut world, MINUTE, "");
    list(&mut world, &["a:1"]);
    assert_eq!(watched_after(&mut world, &[4.0, 2.0], ""), [6, 3]);
}

#[test]
fn the_last_target_of_a_workload_is_remembered_for_hours() {
    let mut world = world();
    expose(&mut world, 10.0 * MINUTE, "");
    list(&mut world, &[]);
    assert_eq!(watched_after(&mut world, &[170.0, 20.0], ""), [6, 0]);
}

#[test]
fn a_target_that_leaks_is_remembered_for_hours() {
    let mut world = world();
    expose(&mut world, 10.0 * MINUTE, "b:1");
    assert!(world.only_incident().is_living());
    list(&mut world, &["a:1"]);
    assert_eq!(watched_after(&mut world, &[170.0, 20.0], "b:1"), [6, 3]);
}

/// Series watched, so many minutes after one of six has vanished that was there for so long.
fn watched_without_one(there_minutes: f64, gone_minutes: f64) -> usize {
    let mut world = world();
    expose(&mut world, there_minutes * MINUTE, "");
    world.service("b:1").vanish("go_goroutines");
    world.run(gone_minutes * MINUTE, |_, _, _| {});
    world.engine.counters().series_watched
}

#[test]
fn a_series_that_came_and_went_is_given_up_sooner_than_one_that_was_there_for_long() {
    assert_eq!(watched_without_one(5.0, 18.0), 6);
    assert_eq!(watched_without_one(5.0, 27.0), 5);
    assert_eq!(watched_without_one(40.0, 38.0), 6);
    assert_eq!(watched_without_one(40.0, 47.0), 5);
    assert_eq!(watched_without_one(120.0, 58.0), 6);
    assert_eq!(watched_without_one(120.0, 67.0), 5);
}

#[test]
fn an_hour_of_pods_that_live_ten_minutes_leaves_what_two_lives_of_each_take() {
    let names: Vec<String> = (0..10)
        .flat_map(|pod| (0..8).map(move |life| format!("\"pod-{pod}-{life}:1\"")))
        .collect();
    let mut world = World::new(&format!(
        "global: {{ scrape_interval: 15s }}\n\
         scrape_configs:\n  - job_name: shop\n    static_configs: [{{ targets: [{}] }}]\n",
        names.join(", ")
    ));
    let mut watched = Vec::new();
    for minute in 0..60 {
        let pods: Vec<String> = (0..10)
            .map(|pod| format!("pod-{pod}-{}:1", (minute + 9 - pod) / 10))
            .collect();
        let listed: Vec<&str> = pods.iter().map(String::as_str).collect();
        list(&mut world, &listed);
        expose(&mut world, MINUTE, "");
        watched.push(world.engine.counters().series_watched);
    }
    assert_eq!(watched[0], 30);
    let most = watched[25..].iter().max().unwrap();
    assert!((54..=66).contains(most), "{watched:?}");
    assert!(
        watched[25..].iter().all(|own| *own >= most - 6),
        "{watched:?}"
    );
}
