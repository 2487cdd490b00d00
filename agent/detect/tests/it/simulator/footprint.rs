//! What a process holds beside the requests in flight: pools, threads, caches that count entries. Memory is in [`heap`].
//!
//! [`heap`]: super::heap

use super::chance::Chance;
use super::heap::Heap;
use super::{DAY, HOUR, MINUTE, Span};

/// What happened to a process in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Since the process started.
    pub(crate) age: f64,
    /// Since it has been watched: its age, or less.
    pub(crate) seen: f64,
    pub(crate) step_seconds: f64,
    pub(crate) arrived: f64,
    pub(crate) in_flight: f64,
    /// How long a request stays now.
    pub(crate) residence: f64,
    /// Items leaked so far.
    pub(crate) leaked: f64,
}

/// What a process holds; cloned for each life, with the state that it begins with.
#[derive(Debug, Clone)]
pub(crate) enum Footprint {
    InFlight,
    WarmUp {
        full: f64,
        fill: f64,
    },
    /// Opened one after the other until the limit.
    Pool {
        full: f64,
        fill: f64,
    },
    /// A pool that never shrinks: the highest concurrency so far, up to a limit.
    HighWater {
        limit: f64,
        held: f64,
    },
    /// Threads that end after so long without work; more work than threads waits.
    Threads {
        limit: f64,
        keep_alive: f64,
        held: f64,
    },
    /// Idle connections after a storm, closed when they have been idle for so long.
    Storm {
        full: f64,
        idle_timeout: f64,
        every: f64,
        next: f64,
    },
    /// What is loaded at first use, long after the start.
    Lazy {
        begins: f64,
        full: f64,
        fill: f64,
    },
    /// Entries that expire after a fixed time.
    Expiring(Expiring),
    Heap(Heap),
}

const EXPIRING_BINS: usize = 48;

/// Entries by when they were made, in bins of a part of their time to live.
#[derive(Debug, Clone)]
pub(crate) struct Expiring {
    share: f64,
    bin_seconds: f64,
    bin: u64,
    made: Vec<f64>,
    held: f64,
}

impl Expiring {
    pub(crate) fn new(ttl: f64, share: f64) -> Self {
        Self {
            share,
            bin_seconds: ttl / EXPIRING_BINS as f64,
            bin: 0,
            made: vec![0.0; EXPIRING_BINS],
            held: 0.0,
        }
    }

    pub(crate) fn held(&mut self, chance: &mut Chance, moment: &Moment) -> f64 {
        let bin = (moment.age / self.bin_seconds) as u64;
        if self.bin == 0 && bin > 0 {
            // Watched from the middle of its life on: it holds already what it usually holds.
            let rate = moment.arrived / moment.step_seconds;
            self.made.fill(self.share * rate * self.bin_seconds);
            self.held = self.made.iter().sum();
            self.bin = bin;
        }
        let passed = (bin - self.bin).min(EXPIRING_BINS as u64);
        for next in self.bin + 1..=self.bin + passed {
            let slot = next as usize % EXPIRING_BINS;
            self.held -= self.made[slot];
            self.made[slot] = 0.0;
        }
        self.bin = bin;
        let made = chance.poisson(self.share * moment.arrived);
        self.made[bin as usize % EXPIRING_BINS] += made;
        self.held += made;
        self.held
    }
}

impl Footprint {
    /// A kind's, for a service that gets so much a second; `held` is what is usually in flight.
    pub(crate) fn of(kind: &str, chance: &mut Chance, span: Span, rate: f64, held: f64) -> Self {
        let full = chance.between(8.0, 150.0).round();
        let fill = chance.between(60.0, 900.0);
        // What begins late must show within the span what it is.
        let late_fill = chance.decades(MINUTE, (0.04 * span.seconds).min(12.0 * HOUR));
        match kind {
            "warm-up" => Self::WarmUp {
                full: 4.0 * full,
                fill,
            },
            "pool" => Self::Pool { full, fill },
            "high water" => Self::HighWater {
                limit: full.max(2.0 * held),
                held: 0.0,
            },
            "threads" => Self::Threads {
                limit: (4.0 * full).max(4.0 * held),
                keep_alive: chance.one_of(&[10.0, 60.0, 300.0]),
                held: 0.0,
            },
            "connection storm" => Self::Storm {
                full: full.max(held) * chance.between(1.0, 10.0),
                idle_timeout: chance.decades(30.0, 1800.0),
                every: chance.decades(0.1, 1.0) * span.seconds.min(14.0 * DAY),
                next: f64::NAN,
            },
            "lazy start-up" => Self::Lazy {
                begins: chance.between(0.1, 0.8) * span.seconds,
                full: 4.0 * full,
                fill: late_fill,
            },
            "expiring entries" => {
                let ttl = chance.decades(5.0 * MINUTE, (0.1 * span.seconds).min(DAY));
                let entries = chance.decades(20.0, 5000.0);
                Self::Expiring(Expiring::new(ttl, (entries / (rate * ttl)).min(1.0)))
            }
            _ => Self::InFlight,
        }
    }

    /// The level that is shown, of a process that holds `base` in any case.
    pub(crate) fn level(&mut self, chance: &mut Chance, base: f64, moment: &Moment) -> f64 {
        let Moment {
            age,
            in_flight,
            step_seconds,
            ..
        } = *moment;
        let flying = base + in_flight + moment.leaked;
        flying
            + match self {
                Self::InFlight => 0.0,
                Self::WarmUp { full, fill } => *full * (1.0 - (-age / *fill).exp()),
                Self::Pool { full, fill } => (*full * age / *fill).min(*full).floor(),
                Self::HighWater { limit, held } => {
                    *held = held.max(peak(moment).min(*limit));
                    (*held - in_flight).max(0.0)
                }
                Self::Threads {
                    limit,
                    keep_alive,
                    held,
                } => {
                    let busy = in_flight.min(*limit);
                    let stay = (-step_seconds / *keep_alive).exp();
                    *held = busy.max(busy + (*held - busy) * stay);
                    *held - in_flight
                }
                Self::Storm {
                    full,
                    idle_timeout,
                    every,
                    next,
                } => {
                    if next.is_nan() {
                        *next = age + chance.wait(*every);
                    }
                    let since = age - *next;
                    if since > 2.0 * *idle_timeout {
                        *next = age + chance.wait(*every);
                    }
                    // Held for the time-out, then closed in the order in which they were last used.
                    *full * (2.0 - since / *idle_timeout).clamp(0.0, 1.0) * f64::from(since >= 0.0)
                }
                Self::Lazy { begins, full, fill } => {
                    *full * (1.0 - (-(moment.seen - *begins).max(0.0) / *fill).exp())
                }
                Self::Expiring(entries) => entries.held(chance, moment),
                Self::Heap(heap) => return heap.bytes(chance, moment),
            }
    }
}

/// The highest concurrency within a step: a sample sees only one moment of it.
fn peak(moment: &Moment) -> f64 {
    let mean = moment.arrived / moment.step_seconds * moment.residence;
    let moments = 1.0 + moment.step_seconds / moment.residence.max(1e-3);
    moment
        .in_flight
        .max((mean + (2.0 * mean * moments.ln()).sqrt()).round())
}
