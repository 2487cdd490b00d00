//! Randomness that is drawn from a seed alone, and fast: a simulation of ten thousand years draws it billions of times.

use fastrand::Rng;

/// Above this mean a Poisson number is drawn from a normal one.
const NORMAL_FROM: f64 = 20.0;

/// A seeded source of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Rng);

impl Chance {
    /// From a seed and what it is for, so that kinds do not share their randomness.
    pub(crate) fn new(purpose: &str, seed: u64) -> Self {
        let seed = purpose
            .bytes()
            .fold(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |hash, byte| {
                (hash.rotate_left(7) ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(Rng::with_seed(seed))
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.f64()
    }

    /// Evenly over the orders of magnitude.
    pub(crate) fn decades(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.max(low).ln()).exp()
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())]
    }

    pub(crate) fn whole(&mut self, low: usize, high: usize) -> usize {
        self.0.usize(low..=high)
    }

    /// Seconds until something that happens every so often, on average, happens.
    pub(crate) fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.0.f64()).ln()
    }

    /// The standard normal, as the sum of eight evenly spread numbers of 16 bits: its tails end at 4.9.
    pub(crate) fn normal(&mut self) -> f64 {
        let lanes = |word: u64| {
            (word & 0xffff) + ((word >> 16) & 0xffff) + ((word >> 32) & 0xffff) + (word >> 48)
        };
        let sum = lanes(self.0.u64(..)) + lanes(self.0.u64(..));
        const SCALE: f64 = 1.224_744_871_391_589 / 65_536.0; // the square root of 12 / 8
        (sum as f64 - 4.0 * 65_535.0) * SCALE
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean > NORMAL_FROM {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let least = (-mean).exp();
        let (mut product, mut count) = (self.0.f64(), 0.0);
        while product > least {
            product *= self.0.f64();
            count += 1.0;
        }
        count
    }

    /// How many of so many, each with this probability.
    pub(crate) fn binomial(&mut self, of: f64, probability: f64) -> f64 {
        if probability <= 0.0 || of <= 0.0 {
            0.0
        } else if probability >= 1.0 {
            of
        } else if of < 16.0 {
            (0..of as u32).filter(|_| self.happens(probability)).count() as f64
        } else if of * probability < NORMAL_FROM {
            self.poisson(of * probability).min(of)
        } else if of * (1.0 - probability) < NORMAL_FROM {
            of - self.poisson(of * (1.0 - probability)).min(of)
        } else {
            let spread = (of * probability * (1.0 - probability)).sqrt();
            (of * probability + spread * self.normal())
                .round()
                .clamp(0.0, of)
        }
    }
}

/// Noise that is correlated over so many steps (an AR(1) process), of standard deviation `spread`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wander {
    keep: f64,
    push: f64,
    at: f64,
}

impl Wander {
    pub(crate) fn new(spread: f64, steps: f64) -> Self {
        let keep = (-1.0 / steps.max(0.05)).exp();
        Self {
            keep,
            push: spread * (1.0 - keep * keep).sqrt(),
            at: 0.0,
        }
    }

    pub(crate) fn next(&mut self, chance: &mut Chance) -> f64 {
        self.at = self.keep * self.at + self.push * chance.normal();
        self.at
    }
}
