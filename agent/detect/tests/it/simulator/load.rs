//! How many requests arrive: the shape of a service's load, and how long each stays.

use std::f64::consts::TAU;

use super::chance::{Chance, Wander};
use super::{DAY, HOUR, MINUTE, Span};

/// The form of a load over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Steady,
    Daily,
    Weekly,
    /// Grows all the time, in the end to two to four times.
    Ramp,
    /// A campaign: from one moment to the next it is so many times as much, and stays so.
    Step,
    /// A campaign that is forgotten again, over hours or days.
    Decay,
    Bursts,
    /// A nightly job.
    Batch,
    /// Hardly any at all.
    Idle,
    Falling,
}

/// What services of no particular kind have.
pub(crate) const ORDINARY: [Shape; 6] = [
    Shape::Steady,
    Shape::Daily,
    Shape::Daily,
    Shape::Weekly,
    Shape::Bursts,
    Shape::Batch,
];

/// Arrivals a second over time.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    shape: Shape,
    mean: f64,
    seconds: f64,
    day: f64,
    phase: f64,
    depth: f64,
    /// When a step or a decay comes, how many times as much it brings, and how long a decay takes.
    at: f64,
    times: f64,
    decay: f64,
    /// Mean time between bursts; begin, end and height of the present or next one.
    between_bursts: f64,
    burst: (f64, f64, f64),
    wander: Wander,
}

impl Load {
    /// `seen`: whether the service shows its load. Where it does, a short span may hold a day's swing in hours.
    pub(crate) fn draw(chance: &mut Chance, span: Span, shape: Shape, seen: bool) -> Self {
        let swing = chance.between(0.7, 3.0) * span.seconds;
        let mean = match shape {
            Shape::Idle => chance.decades(0.005, 0.2),
            _ => chance.decades(0.5, 300.0),
        };
        let longest = (0.2 * span.seconds).min(3.0 * DAY);
        let mut load = Self {
            shape,
            mean,
            seconds: span.seconds,
            day: if seen && span.seconds < DAY {
                swing
            } else {
                DAY
            },
            phase: chance.between(0.0, 1.0),
            depth: chance.between(0.3, 0.95),
            at: chance.between(0.15, 0.8) * span.seconds,
            times: chance.between(1.5, 4.0),
            decay: chance.decades(0.02, 0.3) * span.seconds.min(14.0 * DAY),
            between_bursts: chance.decades(20.0 * MINUTE, longest),
            burst: (0.0, 0.0, 0.0),
            wander: Wander::new(chance.between(0.02, 0.12), chance.decades(2.0, 60.0)),
        };
        load.next_burst(chance, 0.0);
        load
    }

    fn next_burst(&mut self, chance: &mut Chance, now: f64) {
        let begin = now + chance.wait(self.between_bursts);
        let longest = (0.3 * self.between_bursts).min(2.0 * HOUR);
        let lasts = chance.decades(20.0, longest);
        self.burst = (begin, begin + lasts, chance.between(2.0, 8.0));
    }

    /// Arrivals a second, to be asked for at every step in order of time.
    pub(crate) fn rate(&mut self, chance: &mut Chance, now: f64) -> f64 {
        let form = match self.shape {
            Shape::Steady | Shape::Idle => 1.0,
            Shape::Daily => self.cycle(now),
            Shape::Weekly => {
                let weekend = (now / self.day + 7.0 * self.phase) % 7.0 >= 5.0;
                self.cycle(now) * if weekend { 1.0 - 0.6 * self.depth } else { 1.0 }
            }
            Shape::Ramp => 1.0 + (self.times - 0.5) * now / self.seconds,
            Shape::Falling => 1.0 - 0.2 * self.times * now / self.seconds,
            Shape::Step if now >= self.at => self.times,
            Shape::Decay if now >= self.at => {
                1.0 + 2.0 * self.times * (-(now - self.at) / self.decay).exp()
            }
            Shape::Step | Shape::Decay => 1.0,
            Shape::Bursts => {
                if now >= self.burst.1 {
                    self.next_burst(chance, now);
                }
                if now >= self.burst.0 {
                    self.burst.2
                } else {
                    1.0
                }
            }
            Shape::Batch if (now / self.day + self.phase) % 1.0 < 0.06 => 2.0 * self.times,
            Shape::Batch => 1.0,
        };
        self.mean * form * self.wander.next(chance).exp()
    }

    fn cycle(&self, now: f64) -> f64 {
        1.0 - self.depth * (TAU * (now / self.day + self.phase)).cos()
    }

    /// Whether it is the service's night: the third of the day with the least to do.
    pub(crate) fn is_night(&self, now: f64) -> bool {
        (now / self.day + self.phase + 1.0 / 6.0) % 1.0 < 1.0 / 3.0
    }

    /// The rate that the level is built around.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }
}

/// How long a request stays, over time.
#[derive(Debug, Clone)]
pub(crate) struct Residence {
    mean: f64,
    upstream: Upstream,
}

#[derive(Debug, Clone)]
enum Upstream {
    Even,
    /// So many times as slow from a moment on.
    Slower {
        at: f64,
        times: f64,
    },
    /// Slow for minutes, again and again: the next time it is worst, for how long, how much, and how often.
    SlowForAWhile {
        at: f64,
        width: f64,
        times: f64,
        every: f64,
    },
}

impl Residence {
    pub(crate) fn even(mean: f64) -> Self {
        Self {
            mean,
            upstream: Upstream::Even,
        }
    }

    pub(crate) fn slower(chance: &mut Chance, span: Span, mean: f64) -> Self {
        let upstream = Upstream::Slower {
            at: chance.between(0.3, 0.7) * span.seconds,
            times: chance.between(2.0, 8.0),
        };
        Self { mean, upstream }
    }

    pub(crate) fn slow_for_a_while(chance: &mut Chance, span: Span, mean: f64) -> Self {
        let upstream = Upstream::SlowForAWhile {
            at: chance.between(0.2, 0.7) * span.seconds.min(DAY),
            width: chance.between(60.0, 900.0),
            times: chance.between(2.0, 10.0),
            every: chance.decades(0.5 * DAY, 14.0 * DAY),
        };
        Self { mean, upstream }
    }

    /// Seconds, to be asked for at every step in order of time.
    pub(crate) fn seconds(&mut self, chance: &mut Chance, now: f64) -> f64 {
        let mean = self.mean;
        match &mut self.upstream {
            Upstream::Slower { at, times } if now > *at => mean * *times,
            Upstream::Even | Upstream::Slower { .. } => mean,
            Upstream::SlowForAWhile {
                at,
                width,
                times,
                every,
            } => {
                let away = (now - *at) / *width;
                if away > 4.0 {
                    *at += 8.0 * *width + chance.wait(*every);
                    *width = chance.between(60.0, 900.0);
                    *times = chance.between(2.0, 10.0);
                }
                mean * (1.0 + *times * (-away * away).exp())
            }
        }
    }
}
