//! Whether the connections to one upstream are reused: how many are closed for want of it, of how many exchanges.
//!
//! Connections that the client or the peer closed are not read at all. A loss is judged over several trailing windows
//! at once, so that a total one shows in half a minute after any time of health, and a partial one in five.

use std::collections::BTreeMap;

use leak_detect::Timestamp;

use crate::engine::traffic::{COMPLETE, Place, Readings};
use crate::engine::trailing::{Counter, Rise, Since, Trailing};
use crate::impact::{CHURN_CLOSES, CHURN_SHARE, CHURN_WINDOWS, is_reuse_lost};
use crate::incident::Churn;

/// A route has its part in a loss of reuse from this share of the unread bodies on.
const ROUTE_SHARE: f64 = 0.1;

/// Reuse is back when less than this share of a scrape's exchanges loses its connection.
const KEPT_SHARE: f64 = CHURN_SHARE / 2.0;

/// The most routes and sites for which unread bodies are told apart, of one upstream.
const PLACES_LIMIT: usize = 64;

/// Undrained, evicted, bodies opened, calls.
type Totals = [f64; 4];

/// How the connections to one upstream are reused.
#[derive(Clone, Debug)]
pub(crate) struct Reuse {
    undrained: Counter,
    evicted: Counter,
    bodies: Counter,
    calls: Counter,
    counts_exchanges: bool,
    trailing: Trailing<4>,
    unread: BTreeMap<Place, (Counter, Trailing<1>)>,
    /// What the last scrape added.
    last_step: Totals,
    last_at: Option<Timestamp>,
    /// Since when connections have been lost without a scrape that kept them.
    churning_since: Option<Timestamp>,
}

impl Reuse {
    pub(super) fn new(since: Option<Timestamp>) -> Self {
        let [.., longest] = CHURN_WINDOWS;
        let mut trailing = Trailing::new(longest);
        if let Some(since) = since {
            trailing.push(since, [0.0; 4]);
        }
        Self {
            undrained: Counter::default(),
            evicted: Counter::default(),
            bodies: Counter::default(),
            calls: Counter::default(),
            counts_exchanges: false,
            trailing,
            unread: BTreeMap::new(),
            last_step: [0.0; 4],
            last_at: since,
            churning_since: None,
        }
    }

    pub(super) fn observe(&mut self, at: Timestamp, readings: &Readings, since: Since) {
        let before = self.totals();
        self.undrained.observe(readings.undrained, since);
        self.evicted.observe(readings.evicted, since);
        self.bodies.observe(readings.bodies_opened, since);
        self.calls.observe(readings.calls, since);
        self.counts_exchanges |= readings.bodies_opened.is_some() || readings.calls.is_some();
        let totals = self.totals();
        self.trailing.push(at, totals);
        for (index, step) in self.last_step.iter_mut().enumerate() {
            *step = totals[index] - before[index];
        }
        self.observe_places(at, readings, since);
        match self.reuse_in_last_scrape() {
            Some(false) => {
                self.churning_since
                    .get_or_insert(self.last_at.unwrap_or(at));
            }
            Some(true) => self.churning_since = None,
            None => {}
        }
        self.last_at = Some(at);
    }

    fn totals(&self) -> Totals {
        [
            self.undrained.total(),
            self.evicted.total(),
            self.bodies.total(),
            self.calls.total(),
        ]
    }

    fn observe_places(&mut self, at: Timestamp, readings: &Readings, since: Since) {
        let [.., longest] = CHURN_WINDOWS;
        for (place, value) in &readings.unread {
            if self.unread.len() >= PLACES_LIMIT && !self.unread.contains_key(place) {
                continue;
            }
            let (counter, trailing) = self.unread.entry(place.clone()).or_insert_with(|| {
                let mut trailing = Trailing::new(longest);
                if let Some(before) = self.last_at {
                    trailing.push(before, [0.0]);
                }
                (Counter::default(), trailing)
            });
            counter.observe(Some(*value), since);
            trailing.push(at, [counter.total()]);
        }
    }

    /// The loss of reuse over the shortest trailing window that shows one (`true`); where none does, what may become
    /// one (`false`).
    ///
    /// For want of room in the idle pool only over the whole of the longest window: a burst may well end that way.
    pub(crate) fn lost(&self) -> Option<(Churn, bool)> {
        if !self.counts_exchanges {
            return None;
        }
        let [shortest, .., longest] = CHURN_WINDOWS;
        let now = self.trailing.rise(shortest)?;
        // What the longer windows still remember may be over.
        let goes_on =
            |churn: Churn| churn.closes > 0.0 && churn.closes >= CHURN_SHARE * churn.exchanges;
        for window in CHURN_WINDOWS {
            let churn = undrained(self.trailing.rise(window)?);
            if is_reuse_lost(&churn) && goes_on(undrained(now)) {
                return Some((churn, true));
            }
        }
        let churn = evicted(self.trailing.rise(longest)?);
        let is_complete = churn.window_seconds >= COMPLETE * longest.as_secs_f64();
        if is_complete && is_reuse_lost(&churn) && goes_on(evicted(now)) {
            return Some((churn, true));
        }
        let begun = undrained(now);
        let may_become_one = begun.closes >= CHURN_CLOSES / 3.0 && goes_on(begun);
        may_become_one.then_some((begun, false))
    }

    /// Since when reuse has been lost without a scrape that kept it.
    pub(crate) fn churning_since(&self) -> Option<Timestamp> {
        self.churning_since
    }

    /// Whether the exchanges of the last scrape kept their connections (`Some(true)`) or lost them (`Some(false)`);
    /// `None` without exchanges, and between a quarter and a half: such a scrape ends no loss and begins none.
    pub(crate) fn reuse_in_last_scrape(&self) -> Option<bool> {
        let exchanges = exchanges(self.last_step);
        let closes = self.closes_in_last_scrape();
        if closes > 0.0 && closes >= CHURN_SHARE * exchanges {
            Some(false)
        } else {
            (exchanges > 0.0 && closes < KEPT_SHARE * exchanges).then_some(true)
        }
    }

    /// What the last scrape added to the connections that were closed instead of reused.
    pub(crate) fn closes_in_last_scrape(&self) -> f64 {
        let [undrained, evicted, ..] = self.last_step;
        undrained.max(evicted)
    }

    /// Exchanges in this life of the process.
    pub(crate) fn exchanges_in_this_life(&self) -> f64 {
        exchanges([
            0.0,
            0.0,
            self.bodies.in_this_life(),
            self.calls.in_this_life(),
        ])
    }

    /// The route and the site of the bodies that were not read, as far as each is one.
    pub(crate) fn unread_place(&self) -> Place {
        let [.., longest] = CHURN_WINDOWS;
        let rises: Vec<(&Place, f64)> = self
            .unread
            .iter()
            .map(|(place, (_, trailing))| {
                (place, trailing.rise(longest).map_or(0.0, |rise| rise.by[0]))
            })
            .collect();
        let all: f64 = rises.iter().map(|(_, rise)| rise).sum();
        let mut part = rises
            .into_iter()
            .filter(|(_, rise)| *rise > 0.0 && *rise >= ROUTE_SHARE * all)
            .map(|(place, _)| place);
        let Some(first) = part.next() else {
            return (None, None);
        };
        part.fold(first.clone(), |(route, site), place| {
            (
                route.filter(|own| Some(own) == place.0.as_ref()),
                site.filter(|own| Some(own) == place.1.as_ref()),
            )
        })
    }
}

/// Every exchange opens a body; where bodies are not counted, its call stands for it.
fn exchanges([_, _, bodies, calls]: Totals) -> f64 {
    if bodies > 0.0 { bodies } else { calls }
}

fn undrained(rise: Rise<4>) -> Churn {
    Churn {
        undrained: true,
        closes: rise.by[0],
        exchanges: exchanges(rise.by),
        window_seconds: rise.seconds,
    }
}

fn evicted(rise: Rise<4>) -> Churn {
    Churn {
        undrained: false,
        closes: rise.by[1],
        ..undrained(rise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: i64 = 5;

    /// Scrapes 5 s apart; `rows`: how many, and what each adds: undrained closes, evicted closes, bodies, calls.
    fn run(rows: &[(usize, [f64; 4])]) -> Reuse {
        let mut reuse = Reuse::new(None);
        let mut sums = [1000.0; 4];
        let mut at = 0;
        for (scrapes, step) in rows {
            for _ in 0..*scrapes {
                let since = if at == 0 {
                    Since::Unknown
                } else {
                    Since::LastScrape
                };
                at += INTERVAL;
                for (sum, step) in sums.iter_mut().zip(step) {
                    *sum += step;
                }
                let readings = Readings {
                    undrained: Some(sums[0]),
                    evicted: Some(sums[1]),
                    bodies_opened: Some(sums[2]),
                    calls: Some(sums[3]),
                    ..Readings::default()
                };
                reuse.observe(Timestamp::from_millis(at * 1000), &readings, since);
            }
        }
        reuse
    }

    #[track_caller]
    fn check(rows: &[(usize, [f64; 4])], expected: Option<(bool, bool)>) {
        let lost = run(rows).lost();
        assert_eq!(
            lost.map(|(churn, is_lost)| (churn.undrained, is_lost)),
            expected,
            "{lost:?}"
        );
    }

    const HEALTHY: [f64; 4] = [0.0, 0.0, 2500.0, 2500.0];

    #[test]
    fn a_total_loss_shows_within_35_seconds_after_an_hour_of_health() {
        let all = [2500.0, 0.0, 2500.0, 2500.0];
        check(&[(720, HEALTHY)], None);
        check(&[(720, HEALTHY), (7, all)], Some((true, true)));
    }

    #[test]
    fn a_slow_loss_shows_when_thirty_are_lost() {
        let slow = [0.6, 0.0, 1.0, 1.0];
        check(&[(2, HEALTHY), (48, slow)], None);
        check(
            &[(61, [0.0, 0.0, 1.0, 1.0]), (52, slow)],
            Some((true, true)),
        );
    }

    #[test]
    fn less_than_half_is_no_loss() {
        check(&[(200, [100.0, 0.0, 210.0, 210.0])], None);
        check(&[(200, [100.0, 0.0, 200.0, 200.0])], Some((true, true)));
    }

    #[test]
    fn what_is_over_is_not_lost_although_a_window_remembers_it() {
        let all = [500.0, 0.0, 500.0, 500.0];
        check(&[(50, all), (8, [0.0, 0.0, 10.0, 10.0])], None);
    }

    #[test]
    fn evictions_count_only_over_the_whole_window() {
        let evicting = [0.0, 200.0, 250.0, 250.0];
        check(&[(40, evicting)], None);
        check(&[(80, evicting)], Some((false, true)));
        check(&[(80, evicting), (10, HEALTHY)], None);
    }

    #[test]
    fn where_no_bodies_are_counted_calls_are_exchanges() {
        check(&[(20, [40.0, 0.0, 0.0, 100.0])], None);
        check(&[(20, [60.0, 0.0, 0.0, 100.0])], Some((true, true)));
    }

    #[test]
    fn the_beginning_of_a_loss_is_a_suspicion() {
        let beginning = (5, [3.0, 0.0, 4.0, 4.0]);
        check(&[(60, HEALTHY), beginning], None);
        check(
            &[(60, [0.0, 0.0, 1.0, 1.0]), beginning],
            Some((true, false)),
        );
    }

    #[test]
    fn a_loss_is_dated_by_its_first_scrape() {
        let all = [100.0, 0.0, 100.0, 100.0];
        let reuse = run(&[(60, HEALTHY), (20, all), (4, [0.0; 4]), (5, all)]);
        assert_eq!(
            reuse.churning_since(),
            Some(Timestamp::from_millis(60 * INTERVAL * 1000))
        );
        assert_eq!(run(&[(20, all), (1, HEALTHY)]).churning_since(), None);
        let wavering = [(20, all), (1, [45.0, 0.0, 100.0, 100.0]), (3, all)];
        assert_eq!(
            run(&wavering).churning_since(),
            Some(Timestamp::from_millis(INTERVAL * 1000))
        );
    }
}
