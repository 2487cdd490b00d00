//! What one target does towards one upstream: exchanges, calls that failed, connections closed instead of reused,
//! requests that wait. Counters in, trailing totals out; what they mean is `impact`'s business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::engine::trailing::{Counter, Rise, Trailing};
use crate::impact::{
    CHURN_CLOSES, CHURN_SHARE, CHURN_WINDOWS, Calls, FAILING_WINDOW, WAITING, is_reuse_lost,
};
use crate::incident::Churn;

/// How far back the share of failing calls before an onset can be looked up.
const BASELINE_SPAN: Duration = Duration::from_secs(6 * 3600);

/// The length of time before an onset that the share of failing calls is taken from.
const BASELINE_WINDOW: Duration = Duration::from_secs(3600);

/// A window that is complete but for one slot counts as complete.
const COMPLETE: f64 = 0.95;

/// A route has its part in a loss of reuse from this share of the unread bodies on.
const ROUTE_SHARE: f64 = 0.1;

/// The most routes and sites for which unread bodies are told apart, of one upstream.
const PLACES_LIMIT: usize = 64;

/// One scrape's counters of one upstream; `None` where the target has no such series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Readings {
    /// Response bodies opened: one for each exchange.
    pub(super) bodies_opened: Option<f64>,
    /// Upstream calls, whatever became of them.
    pub(super) calls: Option<f64>,
    /// Upstream calls that timed out.
    pub(super) timed_out: f64,
    /// Upstream calls refused before they were made.
    pub(super) rejected: Option<f64>,
    /// Connections closed because a body was not read to its end.
    pub(super) undrained: f64,
    /// Connections closed for want of room among the idle.
    pub(super) evicted: f64,
    /// Bodies closed before their end, by route and site.
    pub(super) unread: BTreeMap<Place, f64>,
    /// Requests that wait for a connection.
    pub(super) waiters: Option<f64>,
    /// Idle connections.
    pub(super) idle: Option<f64>,
}

/// The labels `route` and `site` of an account.
pub(super) type Place = (Option<Arc<str>>, Option<Arc<str>>);

/// One upstream of one target.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    exchanges: Counter,
    counts_exchanges: bool,
    failing: Counter,
    calls: Counter,
    counts_calls: bool,
    undrained: Counter,
    evicted: Counter,
    unread: BTreeMap<Place, (Counter, Trailing<1>)>,
    /// Undrained, evicted, exchanges.
    churn: Trailing<3>,
    /// Failing, all.
    recent: Trailing<2>,
    baseline: Trailing<2>,
    /// Since when requests have been waiting at every scrape, and how many wait.
    waiting: Option<(Timestamp, f64)>,
    idle: Option<f64>,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    /// What the last scrape added: undrained, evicted, exchanges.
    last_step: [f64; 3],
    /// Since when at least half of the exchanges of every scrape have lost their connection.
    churning_since: Option<Timestamp>,
}

impl Traffic {
    pub(super) fn new() -> Self {
        let [.., longest] = CHURN_WINDOWS;
        Self {
            exchanges: Counter::default(),
            counts_exchanges: false,
            failing: Counter::default(),
            calls: Counter::default(),
            counts_calls: false,
            undrained: Counter::default(),
            evicted: Counter::default(),
            unread: BTreeMap::new(),
            churn: Trailing::new(longest),
            recent: Trailing::new(FAILING_WINDOW),
            baseline: Trailing::new(BASELINE_SPAN),
            waiting: None,
            idle: None,
            first_at: None,
            last_at: None,
            last_step: [0.0; 3],
            churning_since: None,
        }
    }

    /// Says that nothing had been counted at an instant at which its target was scraped.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.churn.push(at, [0.0; 3]);
        for trailing in [&mut self.recent, &mut self.baseline] {
            trailing.push(at, [0.0; 2]);
        }
        self.first_at = Some(at);
        self.last_at = Some(at);
    }

    /// Takes the counters of a scrape. `from_zero`: the process, or this upstream, has begun since the last scrape.
    pub(super) fn observe(&mut self, at: Timestamp, readings: &Readings, from_zero: bool) {
        let before = [
            self.undrained.total(),
            self.evicted.total(),
            self.exchanges.total(),
        ];
        let exchanges = readings.bodies_opened.or(readings.calls);
        self.counts_exchanges |= exchanges.is_some();
        self.exchanges.observe(exchanges.unwrap_or(0.0), from_zero);
        self.undrained.observe(readings.undrained, from_zero);
        self.evicted.observe(readings.evicted, from_zero);
        self.counts_calls |= readings.calls.is_some() || readings.rejected.is_some();
        let rejected = readings.rejected.unwrap_or(0.0);
        self.failing
            .observe(readings.timed_out + rejected, from_zero);
        self.calls
            .observe(readings.calls.unwrap_or(0.0) + rejected, from_zero);
        for (place, value) in &readings.unread {
            // A place that appears between two scrapes has begun at zero.
            let begins = from_zero || (self.first_at.is_some() && !self.unread.contains_key(place));
            if self.unread.len() >= PLACES_LIMIT && !self.unread.contains_key(place) {
                continue;
            }
            let [.., longest] = CHURN_WINDOWS;
            let (counter, trailing) = self
                .unread
                .entry(place.clone())
                .or_insert_with(|| (Counter::default(), Trailing::new(longest)));
            if begins && trailing.rise(longest).is_none() {
                trailing.push(self.last_at.unwrap_or(at), [0.0]);
            }
            counter.observe(*value, begins);
            trailing.push(at, [counter.total()]);
        }
        let totals = [
            self.undrained.total(),
            self.evicted.total(),
            self.exchanges.total(),
        ];
        self.churn.push(at, totals);
        self.last_step = [
            totals[0] - before[0],
            totals[1] - before[1],
            totals[2] - before[2],
        ];
        for trailing in [&mut self.recent, &mut self.baseline] {
            trailing.push(at, [self.failing.total(), self.calls.total()]);
        }
        self.idle = readings.idle;
        let waiters = readings.waiters.unwrap_or(0.0);
        self.waiting =
            (waiters > 0.0).then(|| (self.waiting.map_or(at, |(since, _)| since), waiters));
        self.mark_churn(at);
        self.first_at.get_or_insert(at);
        self.last_at = Some(at);
    }

    fn mark_churn(&mut self, at: Timestamp) {
        let [undrained, evicted, exchanges] = self.last_step;
        let closes = undrained.max(evicted);
        if closes > 0.0 && closes >= CHURN_SHARE * exchanges {
            self.churning_since
                .get_or_insert(self.last_at.unwrap_or(at));
        } else if exchanges > 0.0 {
            self.churning_since = None;
        }
    }

    /// The loss of reuse over the shortest trailing window that shows one; where none does, what may become one.
    ///
    /// For want of room in the idle pool only over the whole of the longest window: a burst may well end that way.
    pub(super) fn churn(&self) -> Option<(Churn, bool)> {
        if !self.counts_exchanges {
            return None;
        }
        let of = |undrained: bool, rise: Rise<3>| Churn {
            undrained,
            closes: if undrained { rise.by[0] } else { rise.by[1] },
            exchanges: rise.by[2],
            window_seconds: rise.seconds,
        };
        let [shortest, .., longest] = CHURN_WINDOWS;
        let now = self.churn.rise(shortest)?;
        // What the longer windows still remember may be over.
        let goes_on =
            |churn: Churn| churn.closes > 0.0 && churn.closes >= CHURN_SHARE * churn.exchanges;
        for window in CHURN_WINDOWS {
            let churn = of(true, self.churn.rise(window)?);
            if is_reuse_lost(&churn) && goes_on(of(true, now)) {
                return Some((churn, true));
            }
        }
        let evicted = of(false, self.churn.rise(longest)?);
        let is_complete = evicted.window_seconds >= COMPLETE * longest.as_secs_f64();
        if is_complete && is_reuse_lost(&evicted) && goes_on(of(false, now)) {
            return Some((evicted, true));
        }
        let begun = of(true, now);
        let suspect = begun.closes >= CHURN_CLOSES / 3.0 && goes_on(begun);
        suspect.then_some((begun, false))
    }

    /// Since when reuse has been lost at every scrape.
    pub(super) fn churning_since(&self) -> Option<Timestamp> {
        self.churning_since
    }

    /// Whether the last scrape showed exchanges whose connections were kept (`Some(true)`) or lost (`Some(false)`);
    /// `None` without exchanges.
    pub(super) fn reuse_in_last_scrape(&self) -> Option<bool> {
        let [undrained, evicted, exchanges] = self.last_step;
        let closes = undrained.max(evicted);
        if closes > 0.0 && closes >= CHURN_SHARE * exchanges {
            Some(false)
        } else {
            (exchanges > 0.0).then_some(true)
        }
    }

    /// What the last scrape added to the connections that were closed instead of reused.
    pub(super) fn closes_in_last_scrape(&self) -> f64 {
        self.last_step[0].max(self.last_step[1])
    }

    /// Exchanges in this life of the process.
    pub(super) fn exchanges_in_this_life(&self) -> f64 {
        self.exchanges.in_this_life()
    }

    /// The route and the site of the bodies that were not read, as far as each is one.
    pub(super) fn unread_place(&self) -> Place {
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
            .filter(|(_, rise)| *rise > 0.0 && *rise >= ROUTE_SHARE * all);
        let Some((first, _)) = part.next() else {
            return (None, None);
        };
        part.fold(first.clone(), |(route, site), (place, _)| {
            (
                route.filter(|own| Some(own) == place.0.as_ref()),
                site.filter(|own| Some(own) == place.1.as_ref()),
            )
        })
    }

    /// Upstream calls of the last five minutes; `None` where none are counted.
    pub(super) fn calls(&self) -> Option<Calls> {
        if !self.counts_calls {
            return None;
        }
        let rise = self.recent.rise(FAILING_WINDOW).unwrap_or(Rise {
            by: [0.0; 2],
            seconds: 0.0,
        });
        Some(Calls {
            failing: rise.by[0],
            all: rise.by[1],
            complete: rise.seconds >= COMPLETE * FAILING_WINDOW.as_secs_f64(),
        })
    }

    /// Failing calls and all calls of the hour before an onset, as far as they were seen.
    pub(super) fn calls_before(&self, onset: Timestamp) -> Option<(f64, f64)> {
        let rise = self
            .recent
            .rise_before(onset, FAILING_WINDOW)
            .into_iter()
            .chain(self.baseline.rise_before(onset, BASELINE_WINDOW))
            .max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        Some((rise.by[0], rise.by[1]))
    }

    /// For how long requests have been waiting at every scrape, in seconds, and how many wait.
    pub(super) fn waiting(&self) -> Option<(f64, f64)> {
        let (since, waiters) = self.waiting?;
        Some((self.last_at? - since, waiters))
    }

    /// Whether waiters have been watched for long enough to say that there are none.
    pub(super) fn waiting_is_known(&self) -> bool {
        matches!((self.first_at, self.last_at), (Some(first), Some(last)) if last - first >= WAITING.as_secs_f64())
    }

    /// Idle connections, where the pool reports its states.
    pub(super) fn idle(&self) -> Option<f64> {
        self.idle
    }
}
