//! A seeded simulator of services: what their processes hold, under which load, healthy or leaking.
//!
//! A workload is drawn from its kind, a span and a seed alone, and gives one scrape of all its instances after the other.
//! It is computed in steps of the scrape interval, not by events: what is in flight is a birth-death process (arrivals
//! that stay for a while), to which a kind adds what it holds besides. Real scrapes are late, missing, and for a third of
//! the services without a load; so are these. Not one constant here is a detector's: times are those of programs (pools
//! fill in minutes, caches in hours, collectors run in seconds to hours), shortened where a span could not show them whole.
//!
//! - `chance`: randomness; `load`: arrivals and how long they stay; `footprint` and `heap`: what a process holds.
//! - `lives`: restarts, rollouts, replicas; `leak`: what leaks, when, where.

mod chance;
mod footprint;
mod heap;
mod leak;
mod lives;
mod load;

use self::chance::Chance;
use self::footprint::{Footprint, Moment};
use self::heap::Heap;
use self::leak::{Leak, Who};
use self::lives::{Instance, Lives};
use self::load::{Load, ORDINARY, Residence, Shape};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

/// What a healthy service does, where things are counted.
pub(crate) const HEALTHY: [&str; 22] = [
    "steady",
    "daily cycle",
    "weekly cycle",
    "ramp",
    "step of load",
    "slow decay",
    "bursts",
    "batch",
    "slower upstream",
    "slow upstream for a while",
    "long sessions",
    "warm-up",
    "pool",
    "high water",
    "threads",
    "connection storm",
    "lazy start-up",
    "expiring entries",
    "deploys",
    "rollouts",
    "autoscaling",
    "idle",
];

/// What a healthy service's memory does.
pub(crate) const HEALTHY_MEMORY: [&str; 14] = [
    "flat memory",
    "collector",
    "generations",
    "growing heap",
    "page cache",
    "cache",
    "late cache",
    "arena steps",
    "expiring cache",
    "compaction",
    "log rotation",
    "fragmentation",
    "machine",
    "redeployed memory",
];

/// Of the healthy kinds those that grow once for minutes to hours, long after their start or under nobody's eye before,
/// and then stop: until they stop they are all that a leak is. They are counted by themselves.
pub(crate) const GROWING_ONCE: [&str; 6] = [
    "lazy start-up",
    "expiring entries",
    "late cache",
    "arena steps",
    "expiring cache",
    "log rotation",
];

/// How a service leaks.
pub(crate) const LEAKING: [&str; 17] = [
    "each request",
    "some requests",
    "timer",
    "from the start",
    "outages",
    "by day",
    "descriptors",
    "restarted",
    "rolled out",
    "autoscaled",
    "one of eight",
    "all after a deploy",
    "memory",
    "memory under a collector",
    "memory under generations",
    "edge device",
    "two of twenty",
];

/// How long a series is and how often it is scraped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    pub(crate) interval_seconds: f64,
}

pub(crate) const HOURS: Span = Span {
    name: "3 hours",
    seconds: 3.0 * HOUR,
    interval_seconds: 5.0,
};
pub(crate) const DAYS: Span = Span {
    name: "4 days",
    seconds: 4.0 * DAY,
    interval_seconds: 30.0,
};
pub(crate) const WEEKS: Span = Span {
    name: "6 weeks",
    seconds: 42.0 * DAY,
    interval_seconds: 120.0,
};
pub(crate) const MONTHS: Span = Span {
    name: "6 months",
    seconds: 182.0 * DAY,
    interval_seconds: 300.0,
};

/// What one instance tells at one scrape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scrape {
    /// Number of its name: a new process may have a new one, and they are given out in order.
    pub(crate) instance: u32,
    /// When its process started, in seconds after the first sample.
    pub(crate) started: f64,
    /// Count, or bytes.
    pub(crate) level: f64,
    /// Requests since the process started, where the service shows them.
    pub(crate) load: Option<f64>,
}

/// A workload as it is scraped, in order of time.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) span: Span,
    /// Whether the level is an amount of memory; a count otherwise.
    pub(crate) bytes: bool,
    /// Seconds after the first sample at which it begins to leak; none of a healthy one.
    pub(crate) onset: Option<f64>,
    /// The level at which a process dies.
    pub(crate) limit: f64,
    leak: Option<Leak>,
    chance: Chance,
    shown: bool,
    load: Load,
    residence: Residence,
    lives: Lives,
    instances: Vec<Instance>,
    scraping: Scraping,
    step: usize,
}

/// What is wrong with the scraping.
#[derive(Debug, Clone)]
struct Scraping {
    /// Greatest delay of a scrape, in seconds.
    late: f64,
    /// Share of scrapes that fail.
    missing: f64,
    /// No scrape between these seconds.
    gap: (f64, f64),
}

/// Draws a workload of a kind, of [`HEALTHY`], [`HEALTHY_MEMORY`] or [`LEAKING`].
pub(crate) fn draw(kind: &str, span: Span, seed: u64) -> Workload {
    let chance = &mut Chance::new(&format!("{kind}, {}", span.name), seed);
    // Growth for weeks under a load that nobody sees is what a leak looks like: a ramp shows its load.
    let bare = matches!(kind, "machine" | "edge device" | "two of twenty");
    let shown = kind == "ramp" || !bare && !chance.happens(1.0 / 3.0);
    let shape = shape(kind, chance);
    let load = Load::draw(chance, span, shape, shown);
    let mean = match kind {
        "long sessions" => chance.decades(300.0, (0.15 * span.seconds).min(2.0 * HOUR)),
        _ => chance.decades(0.01, 3.0),
    };
    let residence = match kind {
        "slower upstream" => Residence::slower(chance, span, mean),
        "slow upstream for a while" => Residence::slow_for_a_while(chance, span, mean),
        "threads" | "connection storm" if chance.happens(0.5) => {
            Residence::slow_for_a_while(chance, span, mean)
        }
        _ => Residence::even(mean),
    };
    let held = load.mean() * mean;
    let mut lives = Lives::of(kind, chance, span, load.mean());
    let rate = load.mean() / lives.replicas();
    let whole = leak::whole(kind, chance, span, rate * mean);
    let leak = Leak::of(kind, chance, span, rate, whole, lives.number(span));
    if let Some(leak) = leak.as_ref().filter(|leak| leak.who == Who::New) {
        lives.deploy_at(leak.onset);
    }
    let bytes = HEALTHY_MEMORY.contains(&kind)
        || kind.starts_with("memory")
        || matches!(kind, "edge device" | "two of twenty");
    let (footprint, limit) = if bytes {
        let of = match kind {
            "redeployed memory" => {
                chance.one_of(&["collector", "cache", "growing heap", "machine"])
            }
            _ => kind,
        };
        let mut heap = Heap::of(of, chance, span, rate);
        heap.leak_each = leaked_bytes(kind, chance, span, heap.size) / whole;
        let limit = heap.size * chance.between(4.0, 10.0);
        (Footprint::Heap(heap), limit)
    } else {
        let limit = chance.one_of(&[1024.0, 65_536.0, 1_048_576.0]);
        let footprint = Footprint::of(kind, chance, span, rate, rate * mean);
        (footprint, if held > 100.0 { 1_048_576.0 } else { limit })
    };
    let scraping = Scraping::draw(chance, span);
    let mut workload = Workload {
        span,
        bytes,
        onset: leak.as_ref().map(|leak| leak.onset),
        limit,
        leak,
        chance: chance.clone(),
        shown,
        load,
        residence,
        lives,
        instances: Vec::new(),
        scraping,
        step: 0,
    };
    workload.lives.begin(
        &mut workload.chance,
        &footprint,
        rate * mean,
        &mut workload.instances,
    );
    workload
}

fn shape(kind: &str, chance: &mut Chance) -> Shape {
    match kind {
        "steady" => Shape::Steady,
        "daily cycle" | "long sessions" | "autoscaling" | "autoscaled" | "by day" => Shape::Daily,
        "weekly cycle" => Shape::Weekly,
        "ramp" => Shape::Ramp,
        "step of load" => Shape::Step,
        "slow decay" => Shape::Decay,
        "bursts" => Shape::Bursts,
        "batch" => Shape::Batch,
        "idle" => Shape::Idle,
        "some requests" if chance.happens(0.2) => Shape::Falling,
        _ => chance.one_of(&ORDINARY),
    }
}

/// What a leak has taken in the end, of a process that held so much.
fn leaked_bytes(kind: &str, chance: &mut Chance, span: Span, size: f64) -> f64 {
    match kind {
        // 0.7 to 2.5 % an hour, at most to five times what it was.
        "edge device" => {
            size * (chance.decades(0.007, 0.025) * span.seconds / HOUR).clamp(0.25, 4.0)
        }
        _ => size * chance.decades(0.2, 5.0),
    }
}

impl Scraping {
    fn draw(chance: &mut Chance, span: Span) -> Self {
        let begins = chance.between(0.0, 1.0) * span.seconds;
        let lasts = chance.decades(0.001, 0.05) * span.seconds.min(14.0 * DAY);
        Self {
            late: chance.one_of(&[0.0, 0.02, 0.2]) * span.interval_seconds,
            missing: chance.one_of(&[0.0, 0.0, 0.001, 0.02]),
            gap: if chance.happens(0.2) {
                (begins, begins + lasts)
            } else {
                (0.0, 0.0)
            },
        }
    }
}

impl Workload {
    /// The next scrape of all instances: when, in seconds after the first, and what they tell (nothing where it failed);
    /// none after the end.
    pub(crate) fn scrape(&mut self, scrapes: &mut Vec<Scrape>) -> Option<f64> {
        scrapes.clear();
        let (interval, chance) = (self.span.interval_seconds, &mut self.chance);
        let now = self.step as f64 * interval;
        if now >= self.span.seconds {
            return None;
        }
        self.step += 1;
        let rate = self.load.rate(chance, now);
        let residence = self.residence.seconds(chance, now);
        self.lives.go_on(chance, now, rate, &mut self.instances);
        let missing = (self.scraping.gap.0..self.scraping.gap.1).contains(&now)
            || self.scraping.missing > 0.0 && chance.happens(self.scraping.missing);
        let each = rate / self.instances.len().max(1) as f64;
        let stay = (-interval / residence).exp();
        for instance in &mut self.instances {
            let arrived = chance.poisson(each * instance.part * interval);
            let entered = chance.poisson(each * instance.part * residence * (1.0 - stay));
            instance.in_flight = chance.binomial(instance.in_flight, stay) + entered;
            instance.total += arrived;
            if let Some(leak) = &self.leak
                && instance.leaks(leak)
            {
                instance.leaked += leak.items(chance, &self.load, now, interval, arrived);
            }
            let age = now - instance.started;
            let moment = Moment {
                age,
                seen: age.min(now),
                step_seconds: interval,
                arrived,
                in_flight: instance.in_flight,
                residence,
                leaked: instance.leaked,
            };
            let level = instance.footprint.level(chance, instance.base, &moment);
            if !missing {
                scrapes.push(Scrape {
                    instance: instance.name,
                    started: instance.started,
                    level: level.round().max(0.0),
                    load: self.shown.then_some(instance.total),
                });
            }
        }
        Some(now + self.scraping.late * chance.between(0.0, 1.0))
    }
}
