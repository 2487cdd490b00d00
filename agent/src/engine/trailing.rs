//! Totals over trailing windows, in bounded memory: what happened in the last five minutes, or before an onset.
//!
//! A counter is made whole over restarts first, then its totals are kept at a bounded number of instants. A window's
//! length is therefore true to one slot.

use std::collections::VecDeque;
use std::time::Duration;

use leak_detect::Timestamp;

/// Slots of a window: its length is true to one part in so many.
const SLOTS: f64 = 60.0;

/// What is known of the time before a counter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing: a counter that was not there before counts from its first value.
    Unknown,
    /// The process was scraped before: a counter that was not there then has begun at zero since.
    LastScrape,
    /// The process began since the last scrape: all of every counter is new.
    Restart,
}

/// A counter that goes on over restarts of its process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counter {
    last: Option<f64>,
    total: f64,
}

impl Counter {
    /// Takes the counter's value, where the scrape brought one. A value that has fallen began anew.
    pub(super) fn observe(&mut self, value: Option<f64>, since: Since) {
        let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) else {
            return;
        };
        let before = match (since, self.last) {
            (Since::Restart, _) | (Since::LastScrape, None) => 0.0,
            (Since::Unknown, None) => value,
            (_, Some(last)) if last <= value => last,
            (_, Some(_)) => 0.0,
        };
        self.total += value - before;
        self.last = Some(value);
    }

    /// What was counted since counting began.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// The counter's own last value: what its process counted since it started.
    pub(super) fn in_this_life(&self) -> f64 {
        self.last.unwrap_or(0.0)
    }
}

/// `N` totals at a bounded number of instants of the last `span`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trailing<const N: usize> {
    span_seconds: f64,
    points: VecDeque<(Timestamp, [f64; N])>,
}

/// How much totals have risen, and in how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rise<const N: usize> {
    pub(super) by: [f64; N],
    pub(super) seconds: f64,
}

impl<const N: usize> Trailing<N> {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span_seconds: span.as_secs_f64(),
            points: VecDeque::new(),
        }
    }

    /// Adds the totals of an instant; one that is not newer than the last is dropped.
    pub(super) fn push(&mut self, at: Timestamp, totals: [f64; N]) {
        if self.points.back().is_some_and(|(last, _)| at <= *last) {
            return;
        }
        let count = self.points.len();
        if count >= 2
            && self.points[count - 1].0 - self.points[count - 2].0 < self.span_seconds / SLOTS
        {
            self.points.pop_back();
        }
        self.points.push_back((at, totals));
        while self.points.len() > 2 && at - self.points[1].0 >= self.span_seconds {
            self.points.pop_front();
        }
    }

    /// The rise over the last `window`, or over as much of it as has been seen; `None` before two instants.
    pub(super) fn rise(&self, window: Duration) -> Option<Rise<N>> {
        let last = *self.points.back()?;
        self.rise_before(last.0, window)
    }

    /// The rise over the `window` that ends at `end`, or over as much of it as has been seen.
    pub(super) fn rise_before(&self, end: Timestamp, window: Duration) -> Option<Rise<N>> {
        let last = self.points.iter().rev().find(|(at, _)| *at <= end)?;
        // The youngest instant that is a whole window ago; else the oldest there is.
        let from = last.0.shifted(-window.as_secs_f64());
        let first = self
            .points
            .iter()
            .rev()
            .find(|(at, _)| *at <= from)
            .or_else(|| self.points.front())?;
        let seconds = last.0 - first.0;
        if seconds <= 0.0 {
            return None;
        }
        let mut by = [0.0; N];
        for (index, by) in by.iter_mut().enumerate() {
            *by = last.1[index] - first.1[index];
        }
        Some(Rise { by, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_counter_goes_on_over_restarts_and_gaps() {
        let mut counter = Counter::default();
        let mut check = |value: Option<f64>, since, expected: f64| {
            counter.observe(value, since);
            assert_eq!(counter.total(), expected, "after {value:?}");
        };
        // What was counted before the first look is not ours.
        check(Some(100.0), Since::Unknown, 0.0);
        check(Some(110.0), Since::LastScrape, 10.0);
        check(None, Since::LastScrape, 10.0);
        check(Some(112.0), Since::LastScrape, 12.0);
        check(Some(4.0), Since::LastScrape, 16.0);
        // A restart may be overtaken within one scrape.
        check(Some(50.0), Since::Restart, 66.0);
        check(Some(f64::NAN), Since::LastScrape, 66.0);
        assert_eq!(counter.in_this_life(), 50.0);
        let mut late = Counter::default();
        late.observe(None, Since::LastScrape);
        late.observe(Some(7.0), Since::LastScrape);
        assert_eq!(
            late.total(),
            7.0,
            "what was not there at the last scrape began at zero"
        );
    }

    #[test]
    fn a_window_sees_what_happened_in_it_and_no_more() {
        let mut trailing = Trailing::<1>::new(Duration::from_secs(300));
        for second in 0..=600 {
            trailing.push(at(second), [second as f64 * 2.0]);
        }
        for window in [30, 60, 300] {
            let rise = trailing.rise(Duration::from_secs(window)).unwrap();
            assert_eq!(rise.by[0], rise.seconds * 2.0);
            assert!(
                (rise.seconds - window as f64).abs() <= 300.0 / SLOTS,
                "{} s for a window of {window} s",
                rise.seconds
            );
        }
        assert!(
            trailing.points.len() as f64 <= SLOTS + 3.0,
            "{}",
            trailing.points.len()
        );
    }

    #[test]
    fn before_the_window_is_full_it_is_as_long_as_what_was_seen() {
        let mut trailing = Trailing::<1>::new(Duration::from_secs(300));
        trailing.push(at(0), [5.0]);
        assert_eq!(trailing.rise(Duration::from_secs(60)), None);
        trailing.push(at(15), [8.0]);
        assert_eq!(
            trailing.rise(Duration::from_secs(60)),
            Some(Rise {
                by: [3.0],
                seconds: 15.0
            })
        );
    }

    #[test]
    fn a_window_can_end_in_the_past() {
        let mut trailing = Trailing::<1>::new(Duration::from_secs(3600));
        for second in (0..=3600).step_by(60) {
            trailing.push(at(second), [if second <= 1800 { 0.0 } else { 100.0 }]);
        }
        let before = trailing
            .rise_before(at(1800), Duration::from_secs(600))
            .unwrap();
        assert_eq!(before.by, [0.0]);
        assert_eq!(before.seconds, 600.0);
    }

    #[test]
    fn with_an_interval_longer_than_the_window_the_last_scrape_counts() {
        let mut trailing = Trailing::<1>::new(Duration::from_secs(300));
        for second in [0, 60, 120] {
            trailing.push(at(second), [second as f64]);
        }
        let rise = trailing.rise(Duration::from_secs(30)).unwrap();
        assert_eq!((rise.by[0], rise.seconds), (60.0, 60.0));
    }
}
