//! What the memory of a process does: collectors, caches, arenas, page cache, rotation, and all that looks like a leak.

use super::chance::{Chance, Wander};
use super::footprint::{Expiring, Moment};
use super::{DAY, HOUR, MIB, MINUTE, Span};

const PAGE: f64 = 4096.0;

/// The memory of one process.
#[derive(Debug, Clone)]
pub(crate) struct Heap {
    /// What it holds at rest, in bytes.
    pub(crate) size: f64,
    /// Bytes of a request in flight, and of a leaked item.
    each: f64,
    pub(crate) leak_each: f64,
    jitter: Wander,
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    Flat,
    /// Garbage until a collection; it is made by work.
    Collector {
        tooth: f64,
        each: f64,
        garbage: f64,
    },
    /// Minor collections promote a part of each tooth, major ones take that back.
    Generations {
        minor: Tooth,
        major: Tooth,
        promoted: f64,
    },
    /// The heap is enlarged, ever more rarely, up to its maximum, and given back never.
    Growing {
        first: f64,
        ratio: f64,
        steps: f64,
        step: f64,
    },
    /// Pages of files read, up to all that is free; now and then reclaimed.
    PageCache {
        limit: f64,
        each: f64,
        held: f64,
        every: f64,
        next: f64,
    },
    Cache {
        amount: f64,
        time: f64,
        begins: f64,
    },
    Arenas {
        times: Vec<f64>,
        each: f64,
    },
    Expiring {
        entries: Expiring,
        each: f64,
    },
    /// Tables in memory, flushed when full, and a compaction that takes more for a while.
    Compaction {
        table: Tooth,
        every: f64,
        more: f64,
        phase: f64,
    },
    /// A file in memory that grows until it is rotated.
    Rotation {
        every: f64,
        each: f64,
        held: f64,
        turn: u64,
    },
    /// Holes between what is still used: ever slower.
    Fragmentation {
        amount: f64,
        time: f64,
    },
    /// A whole machine: many processes that come and go.
    Machine {
        slow: Wander,
        nightly: f64,
    },
}

/// Fills with work up to a height, and is emptied then.
#[derive(Debug, Clone, Copy)]
struct Tooth {
    height: f64,
    each: f64,
    held: f64,
}

impl Tooth {
    /// One that is full after so many seconds of the usual rate.
    fn new(chance: &mut Chance, height: f64, seconds: f64, rate: f64) -> Self {
        let held = height * chance.between(0.0, 1.0);
        Self {
            height,
            each: height / (seconds * rate),
            held,
        }
    }

    /// How often it was emptied by so much work.
    fn fill(&mut self, work: f64) -> f64 {
        self.held += self.each * work;
        let times = (self.held / self.height).floor();
        self.held -= times * self.height;
        times
    }
}

impl Heap {
    /// A kind's, for a service that gets so much a second.
    pub(crate) fn of(kind: &str, chance: &mut Chance, span: Span, rate: f64) -> Self {
        let size = chance.between(60.0, 800.0) * MIB;
        let each = chance.between(4.0, 64.0) * 1024.0;
        let steps = chance.decades(1.0, 20.0);
        let spread = size * chance.decades(0.0005, 0.008);
        Self {
            size,
            each,
            leak_each: 0.0,
            jitter: Wander::new(spread, steps),
            kept: Kept::of(kind, chance, span, rate, size),
        }
    }

    pub(crate) fn bytes(&mut self, chance: &mut Chance, moment: &Moment) -> f64 {
        let kept = self.kept.bytes(chance, self.size, moment);
        let used = self.size
            + kept
            + self.jitter.next(chance)
            + self.each * moment.in_flight
            + self.leak_each * moment.leaked;
        ((used / PAGE).round() * PAGE).max(PAGE)
    }
}

/// By what a kind is drawn.
struct Plan {
    amount: f64,
    /// How long it fills after a start, in seconds.
    young: f64,
    span: Span,
    rate: f64,
    size: f64,
}

impl Kept {
    fn of(kind: &str, chance: &mut Chance, span: Span, rate: f64, size: f64) -> Self {
        let plan = Plan {
            amount: size * chance.between(0.2, 2.0),
            young: chance.decades(10.0 * MINUTE, (0.1 * span.seconds).min(12.0 * HOUR)),
            span,
            rate,
            size,
        };
        Self::collected(kind, chance, &plan)
            .or_else(|| Self::cached(kind, chance, &plan))
            .unwrap_or(Self::Flat)
    }

    /// What collectors, allocators and tables hold.
    fn collected(kind: &str, chance: &mut Chance, plan: &Plan) -> Option<Self> {
        let Plan {
            amount,
            young,
            span,
            rate,
            size,
        } = *plan;
        let seconds = span.seconds;
        Some(match kind {
            "collector" | "memory under a collector" => {
                let period = chance.decades(20.0, (0.04 * seconds).min(2.0 * HOUR));
                let height = size * chance.between(0.2, 1.0);
                let tooth = Tooth::new(chance, height, period, rate);
                Self::Collector {
                    tooth: tooth.height,
                    each: tooth.each,
                    garbage: tooth.held,
                }
            }
            "generations" | "memory under generations" => {
                let period = chance.decades(10.0, 0.004 * seconds);
                let height = size * chance.between(0.1, 0.5);
                let minor = Tooth::new(chance, height, period, rate);
                let times = chance.decades(8.0, (young / period).max(9.0));
                let height = size * chance.between(0.2, 1.5);
                let promoted = height / times;
                let major = Tooth::new(chance, height, times * period, rate);
                Self::Generations {
                    minor,
                    major,
                    promoted,
                }
            }
            "growing heap" => {
                let steps = chance.whole(3, 8) as f64;
                Self::Growing {
                    first: chance.decades(10.0, 600.0),
                    ratio: chance.between(1.6, 4.0),
                    steps,
                    step: amount / steps,
                }
            }
            "compaction" => {
                let period = chance.decades(30.0, 0.02 * seconds);
                Self::Compaction {
                    table: Tooth::new(chance, 0.3 * amount, period, rate),
                    every: chance.decades(4.0, 20.0) * period,
                    more: 0.5 * amount,
                    phase: chance.between(0.0, 1.0),
                }
            }
            "machine" => {
                let steps = chance.decades(30.0 * MINUTE, DAY) / span.interval_seconds;
                Self::Machine {
                    slow: Wander::new(size * chance.between(0.01, 0.06), steps),
                    nightly: size * chance.between(0.0, 0.3),
                }
            }
            _ => return None,
        })
    }

    /// What is kept because it may be used again.
    fn cached(kind: &str, chance: &mut Chance, plan: &Plan) -> Option<Self> {
        let Plan {
            amount,
            young,
            span,
            rate,
            size,
        } = *plan;
        let seconds = span.seconds;
        Some(match kind {
            "page cache" => Self::PageCache {
                limit: amount,
                each: amount / (young * rate),
                held: 0.0,
                every: chance.decades(0.2, 2.0) * seconds.min(30.0 * DAY),
                next: f64::NAN,
            },
            "cache" => Self::Cache {
                amount,
                time: young,
                begins: 0.0,
            },
            "late cache" => Self::Cache {
                amount,
                time: chance.decades(MINUTE, 0.04 * seconds),
                begins: chance.between(0.1, 0.8) * seconds,
            },
            "arena steps" => {
                let steps = chance.whole(2, 5);
                let times = (0..steps).map(|_| chance.between(0.0, seconds)).collect();
                Self::Arenas {
                    times,
                    each: size * chance.between(0.05, 0.12),
                }
            }
            "expiring cache" => {
                let ttl = chance.decades(5.0 * MINUTE, (0.1 * seconds).min(DAY));
                let share = (2000.0 / (rate * ttl)).min(1.0);
                let each = amount / (share * rate * ttl).max(1.0);
                Self::Expiring {
                    entries: Expiring::new(ttl, share),
                    each,
                }
            }
            "log rotation" => {
                let every = chance.one_of(&[10.0 * MINUTE, HOUR, 6.0 * HOUR, DAY]);
                let every = every.min(0.1 * seconds);
                Self::Rotation {
                    every,
                    each: amount / (every * rate),
                    held: 0.0,
                    turn: 0,
                }
            }
            "fragmentation" => Self::Fragmentation {
                amount: size * chance.between(0.03, 0.12),
                time: chance.decades(60.0, HOUR),
            },
            _ => return None,
        })
    }

    /// What depends on time alone.
    fn by_age(&self, age: f64, seen: f64) -> f64 {
        match self {
            Self::Flat => 0.0,
            Self::Growing {
                first,
                ratio,
                steps,
                step,
            } => {
                let taken = (age / *first).max(1e-9).ln() / ratio.ln();
                *step * (taken + 1.0).floor().clamp(0.0, *steps)
            }
            Self::Cache {
                amount,
                time,
                begins,
            } => {
                let since = if *begins > 0.0 { seen - *begins } else { age };
                *amount * (1.0 - (-since.max(0.0) / *time).exp())
            }
            Self::Arenas { times, each } => {
                *each * times.iter().filter(|time| **time < seen).count() as f64
            }
            Self::Fragmentation { amount, time } => *amount * (1.0 + age / *time).ln(),
            _ => 0.0,
        }
    }

    fn bytes(&mut self, chance: &mut Chance, size: f64, moment: &Moment) -> f64 {
        let Moment {
            age, seen, arrived, ..
        } = *moment;
        match self {
            Self::Collector {
                tooth,
                each,
                garbage,
            } => {
                *garbage = (*garbage + *each * arrived) % *tooth;
                *garbage
            }
            Self::Generations {
                minor,
                major,
                promoted,
            } => {
                let collections = minor.fill(arrived);
                major.held += *promoted * collections;
                if major.held >= major.height {
                    major.held = 0.0;
                }
                minor.held + major.held
            }
            Self::PageCache {
                limit,
                each,
                held,
                every,
                next,
            } => {
                if next.is_nan() {
                    *next = age + chance.wait(*every);
                }
                *held =
                    (*held + *each * arrived).min(*limit * (1.0 - 0.01 * chance.between(0.0, 1.0)));
                if age > *next {
                    *held *= chance.between(0.3, 0.9);
                    *next = age + chance.wait(*every);
                }
                *held
            }
            Self::Expiring { entries, each } => *each * entries.held(chance, moment),
            Self::Compaction {
                table,
                every,
                more,
                phase,
            } => {
                table.fill(arrived);
                let compacts = (age / *every + *phase) % 1.0 < 0.07;
                table.held + if compacts { *more } else { 0.0 }
            }
            Self::Rotation {
                every,
                each,
                held,
                turn,
            } => {
                let now = (age / *every) as u64;
                if now != *turn {
                    (*turn, *held) = (now, 0.0);
                }
                *held += *each * arrived;
                *held
            }
            Self::Machine { slow, nightly } => {
                let at_night = age % DAY < 0.03 * DAY;
                slow.next(chance).max(-0.5 * size) + if at_night { *nightly } else { 0.0 }
            }
            _ => self.by_age(age, seen),
        }
    }
}
