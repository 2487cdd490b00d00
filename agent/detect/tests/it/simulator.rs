//! A small seeded simulator of services: what they hold, under which load, healthy or leaking.
//!
//! Every series is drawn from its kind and a seed alone. A level is what is in flight (arrivals that stay for a while),
//! plus what a kind adds; the load is a counter of arrivals, which a third of the services do not show.

use fastrand::Rng;

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

/// What a healthy service does.
pub(crate) const HEALTHY: [&str; 14] = [
    "steady",
    "daily cycle",
    "weekly cycle",
    "ramp",
    "step of load",
    "bursts",
    "batch",
    "slower upstream",
    "slow upstream for a while",
    "long sessions",
    "warm-up",
    "pool",
    "deploys",
    "idle",
];

/// What a healthy service's memory does.
pub(crate) const HEALTHY_MEMORY: [&str; 4] = ["flat memory", "collector", "cache", "arena steps"];

/// How a service leaks.
pub(crate) const LEAKING: [&str; 7] = [
    "each request",
    "some requests",
    "timer",
    "from the start",
    "bursts of leaks",
    "restarted",
    "memory",
];

/// A series with its load, and when its leak began.
pub(crate) struct Series {
    pub(crate) interval_seconds: f64,
    /// Level and load's counter, sample by sample.
    pub(crate) samples: Vec<(f64, Option<f64>)>,
    /// Seconds after the first sample at which a process started; the first one's at most 0.
    pub(crate) starts: Vec<f64>,
    pub(crate) bytes: bool,
    /// Seconds after the first sample; none of a healthy one.
    pub(crate) onset: Option<f64>,
}

/// How long a series is and how often it is scraped.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) seconds: f64,
    pub(crate) interval_seconds: f64,
}

pub(crate) const HOURS: Span = Span {
    seconds: 3.0 * HOUR,
    interval_seconds: 5.0,
};
pub(crate) const DAYS: Span = Span {
    seconds: 3.0 * DAY,
    interval_seconds: 60.0,
};
pub(crate) const WEEKS: Span = Span {
    seconds: 21.0 * DAY,
    interval_seconds: 300.0,
};

/// Draws a series of a kind, of [`HEALTHY`], [`HEALTHY_MEMORY`] or [`LEAKING`].
pub(crate) fn draw(kind: &str, span: Span, seed: u64) -> Series {
    let name = kind
        .bytes()
        .fold(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |hash, byte| {
            hash.rotate_left(7) ^ u64::from(byte)
        });
    Drawing {
        kind,
        span,
        random: Rng::with_seed(name ^ span.seconds as u64),
        shown: true,
        whole: 0.0,
    }
    .series()
}

struct Drawing<'a> {
    kind: &'a str,
    span: Span,
    random: Rng,
    /// Whether the load is shown.
    shown: bool,
    /// What will have leaked in the end, all lives together.
    whole: f64,
}

impl Drawing<'_> {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random.f64()
    }

    /// Evenly over the orders of magnitude.
    fn decades(&mut self, low: f64, high: f64) -> f64 {
        (self.between(low.ln(), high.ln())).exp()
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (mut product, mut count) = (self.random.f64(), 0.0);
        while product > (-mean).exp() {
            product *= self.random.f64();
            count += 1.0;
        }
        count
    }

    fn series(mut self) -> Series {
        let Span {
            seconds,
            interval_seconds,
        } = self.span;
        let count = (seconds / interval_seconds) as usize;
        let bytes = HEALTHY_MEMORY.contains(&self.kind) || self.kind == "memory";
        // Growth for weeks under a load that nobody sees is what a leak looks like: a ramp shows its load.
        self.shown = self.kind == "ramp" || self.random.f64() > 1.0 / 3.0;
        let loads = self.loads(count);
        let starts = self.starts();
        let residences = self.residences(count);
        let onset = LEAKING.contains(&self.kind).then(|| {
            if matches!(self.kind, "from the start" | "restarted") {
                0.0
            } else {
                self.between(0.1, 0.4) * seconds
            }
        });
        let mut leak = self.leak(&loads, &residences, onset, &starts);
        let mut add = self.addition(bytes);
        let base = self.between(5.0, 200.0).round();
        let (mut level, mut total, mut leaked, mut life) = (loads[0] * residences[0], 0.0, 0.0, 0);
        let mut samples = Vec::with_capacity(count);
        for sample in 0..count {
            let now = sample as f64 * interval_seconds;
            if starts.get(life + 1).is_some_and(|start| *start <= now) {
                (life, total, leaked) = (life + 1, 0.0, 0.0);
            }
            let arrived = self.poisson(loads[sample] * interval_seconds);
            total += arrived;
            let stay = (-interval_seconds / residences[sample]).exp();
            let entered = self.poisson(loads[sample] * residences[sample] * (1.0 - stay));
            let left = self.poisson(level * (1.0 - stay));
            level = (level + entered - left).max(0.0);
            leaked += leak(&mut self, now, arrived);
            let held = add(
                &mut self,
                now - starts[life].max(0.0),
                level,
                base + level + leaked,
                leaked,
            );
            samples.push((held.round().max(0.0), self.shown.then_some(total)));
        }
        Series {
            interval_seconds,
            samples,
            starts,
            bytes,
            onset,
        }
    }

    /// Arrivals a second, sample by sample.
    fn loads(&mut self, count: usize) -> Vec<f64> {
        let Span {
            seconds,
            interval_seconds,
        } = self.span;
        let mean = if self.kind == "idle" {
            self.decades(0.005, 0.2)
        } else {
            self.decades(0.5, 300.0)
        };
        let shape = match self.kind {
            "steady" | "ramp" | "step of load" | "bursts" | "batch" | "weekly cycle" | "idle" => {
                self.kind
            }
            "long sessions" => "daily cycle",
            _ => [
                "steady",
                "daily cycle",
                "bursts",
                "daily cycle",
                "weekly cycle",
            ][self.random.usize(..5)],
        };
        let (phase, depth, growth, at, times) = (
            self.random.f64(),
            self.between(0.3, 0.95),
            self.between(0.5, 3.0),
            self.between(0.2, 0.8),
            self.between(1.5, 4.0),
        );
        // A day in the life of a short series is a swing of hours, where its load tells of it.
        let swing = self.between(0.7, 3.0) * seconds;
        let day = if seconds < DAY && self.shown {
            swing
        } else {
            DAY
        };
        let mut bursts: Vec<(f64, f64, f64)> = Vec::new();
        if shape == "bursts" {
            for _ in 0..10 {
                let begin = self.between(0.0, seconds);
                bursts.push((
                    begin,
                    begin + self.decades(0.001, 0.03) * seconds,
                    self.between(2.0, 8.0),
                ));
            }
        }
        let (noise, memory) = (self.between(0.02, 0.12), self.decades(2.0, 60.0));
        let mut wander = 0.0;
        (0..count)
            .map(|sample| {
                let now = sample as f64 * interval_seconds;
                let cycle = 1.0 - depth * (std::f64::consts::TAU * (now / day + phase)).cos();
                wander = wander * (-1.0 / memory).exp()
                    + noise * (2.0 / memory).min(1.0).sqrt() * self.normal();
                let form = match shape {
                    "daily cycle" => cycle,
                    "weekly cycle" => {
                        cycle
                            * if (now / day + 7.0 * phase) % 7.0 < 5.0 {
                                1.0
                            } else {
                                1.0 - 0.6 * depth
                            }
                    }
                    "ramp" => 1.0 + growth * now / seconds,
                    "step of load" => {
                        if now < at * seconds {
                            1.0
                        } else {
                            times
                        }
                    }
                    "bursts" => bursts
                        .iter()
                        .filter(|(begin, end, _)| (*begin..*end).contains(&now))
                        .map(|burst| burst.2)
                        .fold(1.0, f64::max),
                    "batch" if (now / day + phase) % 1.0 < 0.06 => 2.0 * times,
                    _ => 1.0,
                };
                mean * form * f64::exp(wander)
            })
            .collect()
    }

    /// How long an arrival stays, in seconds, sample by sample.
    fn residences(&mut self, count: usize) -> Vec<f64> {
        let Span {
            seconds,
            interval_seconds,
        } = self.span;
        let mean = if self.kind == "long sessions" {
            self.decades(300.0, 2.0 * HOUR)
        } else {
            self.decades(0.01, 3.0)
        };
        let (at, times, width) = (
            self.between(0.3, 0.7) * seconds,
            self.between(2.0, 8.0),
            self.between(60.0, 900.0),
        );
        (0..count)
            .map(|sample| {
                let now = sample as f64 * interval_seconds;
                mean * match self.kind {
                    "slower upstream" if now > at => times,
                    "slow upstream for a while" => {
                        1.0 + times * (-((now - at) / width).powi(2)).exp()
                    }
                    _ => 1.0,
                }
            })
            .collect()
    }

    fn starts(&mut self) -> Vec<f64> {
        let mut starts = vec![if self.random.bool() {
            0.0
        } else {
            -self.decades(HOUR, 30.0 * DAY)
        }];
        let restarts = match self.kind {
            "deploys" => self.random.usize(1..8),
            "restarted" => self.random.usize(1..4),
            _ => 0,
        };
        let mut later: Vec<f64> = (0..restarts)
            .map(|_| self.between(0.05, 0.95) * self.span.seconds)
            .collect();
        later.sort_by(f64::total_cmp);
        starts.extend(later);
        starts
    }

    /// What leaks in an interval in which so much arrived.
    fn leak(
        &mut self,
        loads: &[f64],
        residences: &[f64],
        onset: Option<f64>,
        starts: &[f64],
    ) -> impl FnMut(&mut Drawing, f64, f64) -> f64 + use<> {
        let Span {
            seconds,
            interval_seconds,
        } = self.span;
        let kind = self.kind.to_owned();
        let arrivals: f64 = loads.iter().sum::<f64>() * interval_seconds;
        let held = arrivals / seconds * residences[0];
        self.whole = self.decades(1.0, 30.0) * (40.0 + held) * starts.len() as f64;
        let whole = self.whole;
        let share = if kind == "each request" {
            1.0
        } else {
            (whole / arrivals).min(1.0)
        };
        let pauses: Vec<f64> = (0..12).map(|_| self.between(0.0, seconds)).collect();
        let every = (seconds / self.between(30.0, 120.0)).max(interval_seconds);
        move |drawing, now, arrived| match onset {
            Some(onset) if now >= onset => match kind.as_str() {
                "timer" => {
                    if now % every < interval_seconds {
                        drawing.poisson(whole * every / seconds)
                    } else {
                        0.0
                    }
                }
                "bursts of leaks" => {
                    let leaking = pauses
                        .iter()
                        .any(|begin| (*begin..begin + 0.02 * seconds).contains(&now));
                    if leaking {
                        drawing.poisson((4.0 * share).min(1.0) * arrived)
                    } else {
                        0.0
                    }
                }
                _ => drawing.poisson(share * arrived),
            },
            _ => 0.0,
        }
    }

    /// From the process's age, what is in flight, the count held and the count leaked to the level that is shown.
    fn addition(
        &mut self,
        bytes: bool,
    ) -> impl FnMut(&mut Drawing, f64, f64, f64, f64) -> f64 + use<> {
        let kind = self.kind.to_owned();
        let seconds = self.span.seconds;
        let (size, amount, time) = (
            self.between(60.0, 800.0) * MIB,
            self.between(0.2, 2.0),
            self.decades(60.0, 0.04 * seconds),
        );
        let (full, fill, each) = (
            self.between(8.0, 150.0),
            self.between(60.0, 900.0),
            self.between(4.0, 64.0) * 1024.0,
        );
        let (period, leak_each) = (
            self.decades(0.003, 0.04) * seconds,
            size * self.decades(0.3, 5.0) / self.whole.max(1.0),
        );
        let steps: Vec<f64> = (0..4).map(|_| self.between(0.0, seconds)).collect();
        let mut jitter = 0.0;
        move |drawing, age, in_flight, count, leaked| {
            if !bytes {
                return count
                    + match kind.as_str() {
                        "warm-up" => full * 4.0 * (1.0 - (-age / fill).exp()),
                        "pool" => (full * age / fill).min(full).floor(),
                        _ => 0.0,
                    };
            }
            jitter = 0.9 * jitter + 0.002 * size * drawing.normal();
            let kept = match kind.as_str() {
                "collector" => size * amount * (age / period).fract(),
                "cache" => size * amount * (1.0 - (-age / time).exp()),
                "arena steps" => {
                    0.1 * size * steps.iter().filter(|step| **step < age).count() as f64
                }
                _ => 0.0,
            };
            ((size + kept + jitter + each * in_flight + leak_each * leaked) / 4096.0).round()
                * 4096.0
        }
    }
}
