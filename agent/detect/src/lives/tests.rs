//! Workloads as data: which processes live when, and what they hold at which age.

mod laws;

use fastrand::Rng;

use super::*;
use crate::level::LevelDetector;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

/// One process: its instance, its first and its last second.
type Process = (u64, f64, f64);

/// What a process holds, from its age, the load per second and what it has done so far.
type Holds = dyn Fn(&mut Rng, f64, f64, f64) -> f64;

struct Workload {
    settings: LevelSettings,
    interval: f64,
    processes: Vec<Process>,
    /// Load of one process per second, by the time of day.
    load: fn(f64) -> f64,
    /// Whether the load is counted.
    counted: bool,
}

struct Played {
    lives: Lives,
    convicted_at: Option<f64>,
    released_at: Option<f64>,
}

impl Workload {
    fn play(&self, seed: u64, holds: &Holds) -> Played {
        let mut random = Rng::with_seed(seed);
        let mut lives = Lives::new();
        let mut detectors: Vec<Option<(LevelDetector, f64)>> =
            self.processes.iter().map(|_| None).collect();
        let end = self
            .processes
            .iter()
            .map(|(.., end)| *end)
            .fold(0.0, f64::max);
        let (mut convicted_at, mut released_at) = (None, None);
        let mut now = 0.0;
        while now < end {
            now += self.interval;
            let at = Timestamp::from_seconds(1e9 + now);
            for ((instance, begin, end), slot) in self.processes.iter().zip(&mut detectors) {
                if now >= *end {
                    if let Some((detector, _)) = slot.take()
                        && let Some(life) = detector.life(*instance)
                    {
                        lives.ended(life);
                    }
                } else if now >= *begin {
                    let (detector, done) =
                        slot.get_or_insert_with(|| (LevelDetector::new(self.settings), 0.0));
                    let jitter = 1.0 + 0.1 * (random.f64() - 0.5);
                    let load = (self.load)(now) * jitter;
                    *done += load * self.interval;
                    let level = holds(&mut random, now - begin, load, *done);
                    detector.restarted(Timestamp::from_seconds(1e9 + begin));
                    detector.observe(at, level.max(0.0).round(), self.counted.then_some(*done));
                }
            }
            if lives.is_due(at) {
                let present: Vec<Life> = self
                    .processes
                    .iter()
                    .zip(&detectors)
                    .filter_map(|((instance, ..), slot)| slot.as_ref()?.0.life(*instance))
                    .collect();
                lives.judge(at, &present, &self.settings);
            }
            match (lives.is_leaking(), convicted_at, released_at) {
                (true, None, _) => convicted_at = Some(now),
                (false, Some(_), None) => released_at = Some(now),
                _ => {}
            }
        }
        Played {
            lives,
            convicted_at,
            released_at,
        }
    }

    /// Every one of four seeds must convict before `by`, and keep its conviction.
    #[track_caller]
    fn leaks(&self, by: f64, holds: &Holds) {
        for seed in 0..4 {
            let played = self.play(seed, holds);
            let at = played.convicted_at.unwrap_or(f64::INFINITY);
            assert!(
                at <= by,
                "seed {seed}: convicted at {at}, {:?}",
                played.lives.verdict(&self.settings)
            );
            assert_eq!(played.released_at, None, "seed {seed}");
        }
    }

    /// None of six seeds may convict.
    #[track_caller]
    fn is_healthy(&self, holds: &Holds) {
        for seed in 0..6 {
            let played = self.play(seed, holds);
            assert_eq!(
                played.convicted_at,
                None,
                "seed {seed}: {:?}",
                played.lives.verdict(&self.settings)
            );
        }
    }
}

fn counts(interval: f64, processes: Vec<Process>) -> Workload {
    Workload {
        settings: LevelSettings {
            false_alerts_per_year: 12.0 / 4096.0,
            ..LevelSettings::count()
        },
        interval,
        processes,
        load: |_| 50.0,
        counted: true,
    }
}

fn bytes(interval: f64, processes: Vec<Process>) -> Workload {
    Workload {
        settings: LevelSettings {
            false_alerts_per_year: 12.0 / 4096.0,
            ..LevelSettings::bytes()
        },
        counted: false,
        ..counts(interval, processes)
    }
}

/// One instance that is restarted every so often.
fn restarted(every: f64, times: u32) -> Vec<Process> {
    (0..times)
        .map(|life| (0, f64::from(life) * every, f64::from(life + 1) * every))
        .collect()
}

/// The same with a new name for every life.
fn renamed(every: f64, times: u32) -> Vec<Process> {
    restarted(every, times)
        .into_iter()
        .zip(0..)
        .map(|((_, begin, end), name)| (name, begin, end))
        .collect()
}

/// A rollout every so often over so many instances, one after the other.
fn rollouts(instances: u64, every: f64, times: u64, apart: f64) -> Vec<Process> {
    (0..times)
        .flat_map(|rollout| {
            (0..instances).map(move |instance| {
                let turn = instance as f64 * apart;
                let begin = if rollout == 0 {
                    0.0
                } else {
                    rollout as f64 * every + turn
                };
                let end = (rollout + 1) as f64 * every + turn;
                (1000 * rollout + instance, begin, end)
            })
        })
        .collect()
}

/// Two instances by day and night, and up to eight more that come and go with the day's load.
fn autoscaled(days: u64) -> Vec<Process> {
    let mut processes = Vec::new();
    for day in 0..days {
        let begin = day as f64 * DAY;
        for extra in 0..8_u64 {
            let shift = extra as f64 * 0.5 * HOUR;
            processes.push((
                100 * day + extra,
                begin + 6.0 * HOUR + shift,
                begin + 22.0 * HOUR - shift,
            ));
        }
    }
    processes.extend([
        (9001, 0.0, days as f64 * DAY),
        (9002, 0.0, days as f64 * DAY),
    ]);
    processes
}

fn daily(now: f64) -> f64 {
    50.0 * (1.0 + 0.7 * (std::f64::consts::TAU * (now / DAY - 0.25)).sin())
}

/// In flight: what arrives and stays for 0.4 s, as a Poisson count.
fn in_flight(random: &mut Rng, load: f64) -> f64 {
    let mean = 0.4 * load;
    let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    mean + mean.sqrt() * normal
}

/// Memory of 300 MiB that is uneven by one in a hundred.
fn uneven(random: &mut Rng) -> f64 {
    300.0 * MIB * (1.0 + 0.01 * (random.f64() - 0.5))
}

#[test]
fn a_restart_every_ten_minutes_hides_no_leak() {
    counts(5.0, restarted(10.0 * MINUTE, 12)).leaks(HOUR, &|random, age, load, _| {
        in_flight(random, load) + age / 30.0
    });
}

#[test]
fn a_restart_every_six_hours_hides_no_leak_of_memory() {
    bytes(60.0, restarted(6.0 * HOUR, 12)).leaks(30.0 * HOUR, &|random, age, _, _| {
        uneven(random) + 10.0 * MIB * age / HOUR
    });
}

#[test]
fn a_nightly_deploy_under_new_names_hides_no_leak() {
    let mut workload = counts(60.0, renamed(DAY, 8));
    workload.load = daily;
    workload.leaks(4.0 * DAY, &|random, _, load, done| {
        in_flight(random, load) + done / 60_000.0
    });
    // Where no load is counted, days that all look alike are told from leaks only by services that have none.
    workload.counted = false;
    workload.load = |_| 50.0;
    workload.leaks(6.0 * DAY, &|random, age, load, _| {
        in_flight(random, load) + age / 600.0
    });
}

#[test]
fn rollouts_over_eight_instances_hide_no_leak() {
    let mut workload = bytes(60.0, rollouts(8, 8.0 * HOUR, 6, 10.0 * MINUTE));
    workload.leaks(36.0 * HOUR, &|random, age, _, _| {
        uneven(random) + 10.0 * MIB * age / HOUR
    });
    workload.counted = true;
    workload.load = daily;
    workload.leaks(36.0 * HOUR, &|random, _, _, done| {
        uneven(random) + 10.0 * MIB * done / 180_000.0
    });
}

#[test]
fn autoscaling_hides_no_leak() {
    let mut workload = counts(60.0, autoscaled(4));
    workload.load = daily;
    workload.leaks(2.0 * DAY, &|random, age, load, _| {
        in_flight(random, load) + 4.0 * age / HOUR
    });
}

#[test]
fn autoscaling_under_a_day_of_load_is_no_leak() {
    let mut workload = counts(60.0, autoscaled(6));
    workload.load = daily;
    for counted in [true, false] {
        workload.counted = counted;
        workload.is_healthy(&|random, _, load, _| in_flight(random, load));
    }
}

#[test]
fn lives_that_all_warm_up_are_no_leak() {
    for (every, tau) in [
        (HOUR, 10.0),
        (HOUR, 30.0),
        (3.0 * HOUR, 30.0),
        (30.0 * MINUTE, 10.0),
    ] {
        counts(15.0, restarted(every, 16)).is_healthy(&move |random, age, load, _| {
            in_flight(random, load) + 100.0 * (1.0 - (-age / (tau * MINUTE)).exp())
        });
    }
}

#[test]
fn pools_that_fill_in_every_life_are_no_leak() {
    for fills in [3.0, 8.0, 14.0] {
        counts(5.0, renamed(20.0 * MINUTE, 16)).is_healthy(&move |random, age, load, _| {
            in_flight(random, load) + (64.0 * age / (fills * MINUTE)).min(64.0).floor()
        });
    }
}

#[test]
fn a_crash_loop_is_no_leak() {
    counts(5.0, restarted(3.0 * MINUTE, 60))
        .is_healthy(&|random, age, load, _| in_flight(random, load) + age / 3.0);
}

#[test]
fn caches_that_fill_in_every_life_are_no_leak() {
    for tau in [1.0, 2.0, 3.0] {
        bytes(60.0, restarted(6.0 * HOUR, 16)).is_healthy(&move |random, age, _, _| {
            uneven(random) + 400.0 * MIB * (1.0 - (-age / (tau * HOUR)).exp())
        });
    }
}

#[test]
fn batch_jobs_that_climb_for_their_work_and_end_are_no_leak() {
    let back_to_back = renamed(40.0 * MINUTE, 40);
    let nightly: Vec<Process> = (0..9)
        .map(|night| (night, DAY * night as f64, DAY * night as f64 + 7.0 * HOUR))
        .collect();
    let overlapping: Vec<Process> = (0..40)
        .map(|job| {
            (
                job,
                15.0 * MINUTE * job as f64,
                15.0 * MINUTE * job as f64 + 50.0 * MINUTE,
            )
        })
        .collect();
    for jobs in [back_to_back, nightly, overlapping] {
        bytes(30.0, jobs)
            .is_healthy(&|random, age, _, _| uneven(random) + 20.0 * MIB * age / MINUTE);
    }
}

#[test]
fn a_collector_in_every_life_is_no_leak() {
    bytes(30.0, restarted(4.0 * HOUR, 16)).is_healthy(&|random, age, _, _| {
        let cycle = 1.0 + 0.02 * random.f64();
        uneven(random) + 200.0 * MIB * (age * cycle / (35.0 * MINUTE)).fract()
    });
}

#[test]
fn load_that_rises_after_every_start_is_no_leak() {
    // Traffic comes back over the whole of a life.
    let mut workload = counts(15.0, restarted(HOUR, 16));
    workload.load = |now| 50.0 * (0.2 + 0.8 * (now / HOUR).fract());
    workload.is_healthy(&|random, _, load, _| in_flight(random, load));
}

#[test]
fn a_morning_without_a_counter_is_no_leak() {
    let mut workload = counts(15.0, restarted(20.0 * MINUTE, 70));
    workload.load = daily;
    workload.counted = false;
    workload.is_healthy(&|random, _, load, _| in_flight(random, 8.0 * load));
}

#[test]
fn one_life_that_climbs_is_not_the_workloads_leak() {
    let workload = counts(15.0, restarted(HOUR, 10));
    let third = |done: f64| (360_000.0..540_000.0).contains(&done);
    workload.is_healthy(&move |random, age, load, done| {
        in_flight(random, load) + if third(done) { age / 60.0 } else { 0.0 }
    });
}

#[test]
fn flat_lives_under_load_lift_a_conviction() {
    let workload = counts(15.0, renamed(HOUR, 16));
    for seed in 0..4 {
        let repaired = std::cell::Cell::new((0, f64::INFINITY));
        let played = workload.play(seed, &move |random, age, load, _| {
            let (life, before) = repaired.get();
            let life = if age < before { life + 1 } else { life };
            repaired.set((life, age));
            in_flight(random, load) + if life <= 8 { age / 30.0 } else { 0.0 }
        });
        let convicted = played.convicted_at.expect("eight lives leak");
        assert!(convicted < 5.0 * HOUR, "seed {seed}: {convicted}");
        let released = played.released_at.expect("eight lives are flat");
        assert!(
            (9.0 * HOUR..12.0 * HOUR).contains(&released),
            "seed {seed}: {released}"
        );
    }
}

#[test]
fn a_night_without_users_lifts_nothing() {
    let mut workload = counts(60.0, restarted(HOUR, 96));
    workload.load = |now| {
        if (now / DAY).fract() < 0.6 {
            50.0
        } else {
            0.05
        }
    };
    for counted in [true, false] {
        workload.counted = counted;
        workload.leaks(6.0 * HOUR, &|random, _, load, done| {
            in_flight(random, load) + done / 1500.0
        });
    }
}
