use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::history::Series;
use crate::replay::{Expected, Player};

const HOUR: f64 = 3600.0;
const END: f64 = 48.0 * HOUR;

/// A value by time in seconds.
type Value = Box<dyn Fn(f64) -> Option<f64>>;

/// A fleet under observation: every series a function of time, a sample a minute.
#[derive(Default)]
struct Fleet {
    series: Vec<(Series, Value)>,
}

impl Fleet {
    fn add(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl Fn(f64) -> Option<f64> + 'static,
    ) {
        let series = Series {
            name: Arc::from(name),
            labels: labels.iter().copied().collect(),
        };
        self.series.push((series, Box::new(value)));
    }

    /// A process with so many descriptors, which began last at `began`, both by time in hours.
    fn process(
        &mut self,
        job: &str,
        instance: &str,
        began: fn(f64) -> f64,
        descriptors: fn(f64) -> f64,
    ) {
        let labels = [
            ("job", job),
            ("instance", instance),
            ("namespace", "shop"),
            ("pod", instance),
        ];
        self.add("process_start_time_seconds", &labels, move |at| {
            Some(began(at / HOUR) * HOUR + 1e6)
        });
        self.add("process_open_fds", &labels, move |at| {
            Some(descriptors(at / HOUR))
        });
        self.add("process_max_fds", &labels, |_| Some(1000.0));
    }

    fn container(&mut self, pod: &str, restarts: fn(f64) -> f64, killed: fn(f64) -> bool) {
        let labels = [("namespace", "shop"), ("pod", pod), ("container", "app")];
        let [reason, counter] = FAMILIES;
        let mut with_reason = labels.to_vec();
        with_reason.push(("reason", "OOMKilled"));
        self.add(reason, &with_reason, move |at| {
            killed(at / HOUR).then_some(1.0)
        });
        self.add(counter, &labels, move |at| Some(restarts(at / HOUR)));
    }

    fn findings(&self) -> Findings {
        let mut table = SeriesTable::default();
        let indices: Vec<SeriesIndex> = self
            .series
            .iter()
            .map(|(series, _)| table.intern(series.clone()))
            .collect();
        let expected = Expected {
            watched_series: 64,
            interval: Duration::from_secs(60),
        };
        let mut player = Player::new(&Config::for_history(), expected);
        player.meet(&table);
        let workload_of = |labels: &Labels| crate::workload::of_target(labels, None);
        let mut coroner = Coroner::new(
            &table,
            &Catalogue::built_in(),
            |index| player.target_of(index),
            workload_of,
        );
        let mut at = 1e6;
        while at <= 1e6 + END {
            let samples = indices.iter().zip(&self.series);
            let samples =
                samples.filter_map(|(index, (_, value))| Some((*index, value(at - 1e6)?)));
            let _ = coroner.take(&Slice {
                at: Timestamp::from_seconds(at),
                samples: samples.collect(),
            });
            at += 60.0;
        }
        coroner.finish(Timestamp::from_seconds(1e6 + END), 600.0)
    }

    /// Each death as `hour name how what had grown`.
    fn deaths(&self) -> Vec<String> {
        let row = |death: &Death| {
            let hour = ((death.at.seconds() - 1e6) / HOUR).round();
            let grown: Vec<&str> = death.grown.iter().map(|own| &*own.signal).collect();
            let what = match &death.unseen {
                Some(why) => why.clone(),
                None => grown.join(" "),
            };
            format!("{hour} h {}: {}; {what}", death.name, death.kind.words())
        };
        self.findings().deaths.iter().map(row).collect()
    }
}

fn flat(_: f64) -> f64 {
    100.0
}

fn always(_: f64) -> f64 {
    -1.0
}

/// Leaks 30 an hour and begins anew every 30 hours.
fn climbing(hour: f64) -> f64 {
    100.0 + 30.0 * (hour % 30.0)
}

fn every_30_hours(hour: f64) -> f64 {
    (hour / 30.0).floor() * 30.0
}

fn at_20(hour: f64) -> f64 {
    if hour < 20.0 { -1.0 } else { 20.0 }
}

#[test]
fn a_restart_is_a_death_and_what_had_grown_is_told() {
    let mut fleet = Fleet::default();
    fleet.process("a", "a-0", every_30_hours, |hour| climbing(hour) * 0.9);
    fleet.process("b", "b-0", at_20, flat);
    fleet.process("c", "c-0", always, climbing);
    assert_eq!(
        fleet.deaths(),
        [
            "20 h b-0: restarted, cause unknown; ",
            "28 h c-0: out of descriptors; process_open_fds",
            "30 h a-0: restarted, cause unknown; process_open_fds",
        ]
    );
}

#[test]
fn used_up_descriptors_and_the_restart_after_them_are_one_death() {
    let mut fleet = Fleet::default();
    fleet.process("a", "a-0", every_30_hours, climbing);
    assert_eq!(
        fleet.deaths(),
        ["28 h a-0: out of descriptors; process_open_fds"]
    );
}

#[test]
fn kubernetes_tells_why_a_process_ended() {
    let mut fleet = Fleet::default();
    fleet.process("a", "a-0", at_20, flat);
    fleet.container("a-0", |hour| f64::from(hour >= 20.05), |hour| hour >= 20.05);
    fleet.process("b", "b-0", at_20, flat);
    fleet.container("b-0", |hour| f64::from(hour >= 20.05), |_| false);
    fleet.container(
        "dark-0",
        |hour| f64::from(hour >= 10.0),
        |hour| hour >= 10.0,
    );
    assert_eq!(
        fleet.deaths(),
        [
            "10 h shop/dark-0/app: killed for memory; nothing in it exposes a level of the catalogue",
            "20 h a-0: killed for memory; ",
            "20 h b-0: container restarted; ",
        ]
    );
}

#[test]
fn a_deploy_is_no_death() {
    let mut fleet = Fleet::default();
    for instance in ["a-0", "a-1", "a-2"] {
        fleet.process("a", instance, at_20, flat);
    }
    // One of three is a death.
    fleet.process("b", "b-0", at_20, flat);
    fleet.process("b", "b-1", always, flat);
    fleet.process("b", "b-2", always, flat);
    let findings = fleet.findings();
    assert_eq!(fleet.deaths(), ["20 h b-0: restarted, cause unknown; "]);
    let rollouts: Vec<(usize, bool)> = findings
        .rollouts
        .iter()
        .map(|own| (own.instances, own.is_renamed))
        .collect();
    assert_eq!(rollouts, [(3, false)]);
    assert_eq!(findings.rollouts[0].workload.get("job"), Some("a"));
}

#[test]
fn new_names_in_the_place_of_old_ones_are_a_rollout() {
    let mut fleet = Fleet::default();
    let before = |at: f64| (at < 20.0 * HOUR).then_some(100.0);
    let after = |at: f64| (at >= 20.1 * HOUR).then_some(100.0);
    for (pod, is_old) in [
        ("a-x1", true),
        ("a-x2", true),
        ("a-y1", false),
        ("a-y2", false),
    ] {
        let labels = [("job", "a"), ("instance", pod), ("pod", pod)];
        fleet.add("process_open_fds", &labels, move |at| {
            if is_old { before(at) } else { after(at) }
        });
    }
    let findings = fleet.findings();
    assert_eq!(findings.deaths, []);
    let rollouts: Vec<(usize, bool)> = findings
        .rollouts
        .iter()
        .map(|own| (own.instances, own.is_renamed))
        .collect();
    assert_eq!(rollouts, [(2, true)]);
    assert_eq!(
        (
            findings.targets,
            findings.without_load,
            findings.without_start
        ),
        (4, 4, 4)
    );
}

#[test]
fn a_gap_is_counted_and_is_no_death() {
    let mut fleet = Fleet::default();
    fleet.add(
        "process_open_fds",
        &[("job", "a"), ("instance", "a-0")],
        |at| (!(10.0 * HOUR..=12.0 * HOUR).contains(&at)).then_some(100.0),
    );
    let findings = fleet.findings();
    assert_eq!((findings.deaths.len(), findings.gaps.0), (0, 1));
    assert!(
        (findings.gaps.1 - 2.0 * HOUR).abs() < 300.0,
        "{}",
        findings.gaps.1
    );
}

#[test]
fn of_a_life_that_was_hardly_seen_nothing_is_said() {
    let mut fleet = Fleet::default();
    fleet.process(
        "a",
        "a-0",
        |hour| if hour < 5.0 { -200.0 } else { 5.0 },
        flat,
    );
    assert_eq!(
        fleet.deaths(),
        [
            "5 h a-0: restarted, cause unknown; of a life of 8 d 12 h only the last 4 h 59 min were seen"
        ]
    );
}
