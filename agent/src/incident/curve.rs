//! What an incident held over time, for its picture: a bounded number of points, however long it lives.
//!
//! When it is full, every second point is given up and from then on points stand twice as far apart. The newest value
//! is always there.

use leak_detect::Timestamp;
use serde::{Deserialize, Serialize};

/// The most points that are kept.
const CAPACITY: usize = 256;

/// Values over time, oldest first; at most 256 of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Milliseconds since the Unix epoch, and the value.
    points: Vec<(i64, f64)>,
    /// The least distance between two points but the last, in milliseconds.
    spacing: i64,
}

impl Curve {
    /// Adds the newest value; one that is not newer than the last replaces nothing and is dropped.
    pub fn push(&mut self, at: Timestamp, value: f64) {
        let at = at.millis();
        if !value.is_finite() || self.points.last().is_some_and(|(last, _)| at <= *last) {
            return;
        }
        let crowded = match self.points.as_slice() {
            [.., before, last] => last.0 - before.0 < self.spacing,
            _ => false,
        };
        if crowded {
            self.points.pop();
        }
        self.points.push((at, value));
        if self.points.len() > CAPACITY {
            self.thin();
        }
    }

    fn thin(&mut self) {
        let span = self.points[self.points.len() - 1].0 - self.points[0].0;
        self.spacing = (self.spacing * 2).max(span / (CAPACITY as i64 / 2));
        let mut kept = 0;
        self.points.retain(|_| {
            kept += 1;
            kept % 2 == 1
        });
    }

    /// Times and values, oldest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = (Timestamp, f64)> {
        self.points
            .iter()
            .map(|(at, value)| (Timestamp::from_millis(*at), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_of_scrapes_fits_and_keeps_its_ends() {
        let mut curve = Curve::default();
        let scrapes = 30 * 86_400 / 15;
        for scrape in 0..scrapes {
            curve.push(Timestamp::from_millis(scrape * 15_000), scrape as f64);
        }
        let points: Vec<_> = curve.points().collect();
        assert!(
            (CAPACITY / 3..=CAPACITY).contains(&points.len()),
            "{}",
            points.len()
        );
        assert_eq!(points[0], (Timestamp::from_millis(0), 0.0));
        assert_eq!(points[points.len() - 1].1, (scrapes - 1) as f64);
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn nonsense_and_the_past_are_dropped() {
        let mut curve = Curve::default();
        for (at, value) in [(10, 1.0), (5, 2.0), (10, 3.0), (20, f64::NAN), (30, 4.0)] {
            curve.push(Timestamp::from_millis(at), value);
        }
        let points: Vec<_> = curve
            .points()
            .map(|(at, value)| (at.millis(), value))
            .collect();
        assert_eq!(points, [(10, 1.0), (30, 4.0)]);
    }
}
