//! Twenty instances beside each other: what each holds, from the time, its number and its load.

use fastrand::Rng;

use super::*;
use crate::level::LevelDetector;

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

type Holds = dyn Fn(&mut Rng, u64, f64, f64) -> f64;

struct Fleet {
    settings: LevelSettings,
    instances: u64,
    days: f64,
    counted: bool,
    /// Load of an instance by its number and the time.
    load: fn(u64, f64) -> f64,
    /// When an instance is restarted, if it is.
    restarted: fn(u64) -> Option<f64>,
}

fn memory() -> Fleet {
    Fleet {
        settings: LevelSettings {
            false_alerts_per_year: 12.0 / 4096.0,
            ..LevelSettings::bytes()
        },
        instances: 20,
        days: 2.5,
        counted: false,
        load: |instance, now| (30.0 + 2.0 * instance as f64) * daily(now),
        restarted: |_| None,
    }
}

fn counts() -> Fleet {
    Fleet {
        settings: LevelSettings {
            false_alerts_per_year: 12.0 / 4096.0,
            ..LevelSettings::count()
        },
        ..memory()
    }
}

fn daily(now: f64) -> f64 {
    1.0 + 0.7 * (std::f64::consts::TAU * (now / DAY - 0.25)).sin()
}

fn normal(random: &mut Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

/// Memory of 300 MiB and more by instance, that follows the load a little.
fn resident(random: &mut Rng, instance: u64, load: f64) -> f64 {
    let base = (300.0 + 20.0 * instance as f64) * MIB;
    base * (1.0 + 0.005 * normal(random)) + load * MIB
}

fn in_flight(random: &mut Rng, load: f64) -> f64 {
    let mean = 0.4 * load;
    mean + mean.sqrt() * normal(random)
}

impl Fleet {
    /// Who was convicted, and when.
    fn play(&self, seed: u64, holds: &Holds) -> Vec<(u64, f64)> {
        let mut random = Rng::with_seed(seed);
        let mut detectors: Vec<(LevelDetector, f64)> = (0..self.instances)
            .map(|_| (LevelDetector::new(self.settings), 0.0))
            .collect();
        let mut peers = Peers::new();
        let mut convicted: Vec<(u64, f64)> = Vec::new();
        let mut now = 0.0;
        while now < self.days * DAY {
            now += 300.0;
            let at = Timestamp::from_seconds(1e9 + now);
            for (instance, (detector, done)) in (0..).zip(&mut detectors) {
                let began = (self.restarted)(instance).filter(|restart| now >= *restart);
                if began.is_some_and(|restart| now - restart < 300.0) {
                    detector.restarted(at);
                    *done = 0.0;
                }
                let load = (self.load)(instance, now) * (1.0 + 0.05 * normal(&mut random));
                *done += load * 300.0;
                let level = holds(&mut random, instance, now - began.unwrap_or(0.0), load);
                detector.observe(at, level.max(0.0).round(), self.counted.then_some(*done));
            }
            if peers.is_due(at) {
                let all: Vec<Peer> = (0..)
                    .zip(&detectors)
                    .filter_map(|(instance, (detector, _))| detector.peer(instance))
                    .collect();
                peers.judge(at, &all, &self.settings);
                let again = Peers::restore(&peers.snapshot());
                assert_eq!(again.as_ref(), Ok(&peers));
            }
            for instance in 0..self.instances {
                let is_new = convicted.iter().all(|(own, _)| *own != instance);
                if is_new && peers.is_leaking(instance) {
                    convicted.push((instance, now));
                }
            }
        }
        for (instance, _) in &convicted {
            assert!(peers.is_leaking(*instance), "{instance} was released");
        }
        convicted.sort_by_key(|(instance, _)| *instance);
        convicted
    }

    #[track_caller]
    fn is_healthy(&self, holds: &Holds) {
        for seed in 0..2 {
            assert_eq!(self.play(seed, holds), [], "seed {seed}");
        }
    }

    /// Instances 3 and 11, and no others, within so many hours after six.
    #[track_caller]
    fn two_leak(&self, within: f64, holds: &Holds) {
        for seed in 0..2 {
            let convicted = self.play(seed, holds);
            let who: Vec<u64> = convicted.iter().map(|(instance, _)| *instance).collect();
            assert_eq!(who, [3, 11], "seed {seed}");
            for (_, at) in convicted {
                assert!(
                    at <= (6.0 + within) * HOUR,
                    "seed {seed}: after {} h",
                    at / HOUR
                );
            }
        }
    }
}

fn since_six(instance: u64, now: f64) -> f64 {
    if instance == 3 || instance == 11 {
        (now / HOUR - 6.0).max(0.0)
    } else {
        0.0
    }
}

#[test]
fn two_of_twenty_that_leak_memory_are_named() {
    memory().two_leak(16.0, &|random, instance, now, load| {
        resident(random, instance, load) + 25.0 * MIB * since_six(instance, now)
    });
}

#[test]
fn two_of_twenty_that_leak_counts_are_named() {
    counts().two_leak(16.0, &|random, instance, now, load| {
        in_flight(random, load) + 6.0 * since_six(instance, now)
    });
    let mut counted = counts();
    counted.counted = true;
    counted.two_leak(14.0, &|random, instance, now, load| {
        in_flight(random, load) + 6.0 * since_six(instance, now)
    });
}

#[test]
fn a_leak_that_all_share_is_nobodys() {
    memory().is_healthy(&|random, instance, now, load| {
        resident(random, instance, load) + (20.0 + instance as f64) * MIB * now / HOUR
    });
}

#[test]
fn instances_of_all_sizes_under_a_day_of_load_are_alike() {
    memory().is_healthy(&|random, instance, _, load| resident(random, instance, load));
    counts().is_healthy(&|random, _, _, load| in_flight(random, load));
}

#[test]
fn a_younger_instance_warms_up() {
    let mut fleet = memory();
    fleet.restarted = |instance| (instance == 5).then_some(DAY);
    fleet.is_healthy(&|random, instance, age, load| {
        resident(random, instance, load) + 300.0 * MIB * (1.0 - (-age / (8.0 * HOUR)).exp())
    });
}

#[test]
fn a_leader_that_takes_over_is_a_step() {
    memory().is_healthy(&|random, instance, now, load| {
        let leads = instance == 7 && now > 1.3 * DAY;
        resident(random, instance, load) + if leads { 200.0 * MIB } else { 0.0 }
    });
}

#[test]
fn a_cache_that_fills_in_one_instance_slows_down() {
    memory().is_healthy(&|random, instance, now, load| {
        let filling = if instance == 7 {
            1.0 - (-(now - 0.5 * DAY).max(0.0) / (4.0 * HOUR)).exp()
        } else {
            0.0
        };
        resident(random, instance, load) + 200.0 * MIB * filling
    });
}

#[test]
fn a_growing_share_of_the_load_is_credited() {
    let mut fleet = counts();
    fleet.counted = true;
    fleet.load = |instance, now| {
        let share = if instance == 2 { 1.0 + now / DAY } else { 1.0 };
        60.0 * share * daily(now)
    };
    fleet.is_healthy(&|random, _, _, load| in_flight(random, load));
}

#[test]
fn three_are_too_few_to_compare() {
    let mut fleet = memory();
    fleet.instances = 3;
    fleet.is_healthy(&|random, instance, now, load| {
        let leaked = if instance == 1 {
            25.0 * MIB * now / HOUR
        } else {
            0.0
        };
        resident(random, instance, load) + leaked
    });
}
