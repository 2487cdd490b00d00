//! What one target does towards one upstream: calls that failed, requests that wait, connections that are reused or
//! not. Counters in, trailing totals out; what they mean is `impact`'s business.

mod reuse;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::engine::trailing::{Counter, Rise, Since, Trailing};
use crate::impact::{Calls, FAILING_WINDOW, WAITING};

pub(super) use reuse::Reuse;

/// How far back the share of failing calls before an onset can be looked up.
const BASELINE_SPAN: Duration = Duration::from_secs(6 * 3600);

/// The length of time before an onset that the share of failing calls is taken from.
const BASELINE_WINDOW: Duration = Duration::from_secs(3600);

/// A window that is complete but for one slot counts as complete.
const COMPLETE: f64 = 0.95;

/// One scrape's counters of one upstream; `None` where the target has no such series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Readings {
    /// Response bodies opened: one for each exchange.
    pub(super) bodies_opened: Option<f64>,
    /// Upstream calls, whatever became of them.
    pub(super) calls: Option<f64>,
    /// Upstream calls that timed out.
    pub(super) timed_out: Option<f64>,
    /// Upstream calls refused before they were made.
    pub(super) rejected: Option<f64>,
    /// Connections closed because a body was not read to its end.
    pub(super) undrained: Option<f64>,
    /// Connections closed for want of room among the idle.
    pub(super) evicted: Option<f64>,
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
    reuse: Reuse,
    calls: Counter,
    timed_out: Counter,
    rejected: Counter,
    counts_calls: bool,
    /// Failing, all.
    recent: Trailing<2>,
    baseline: Trailing<2>,
    /// Since when requests have been waiting at every scrape, and how many wait.
    waiting: Option<(Timestamp, f64)>,
    idle: Option<f64>,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
}

impl Traffic {
    /// Traffic of which nothing had been counted at `since`, where the target was scraped then.
    pub(super) fn new(since: Option<Timestamp>) -> Self {
        let mut traffic = Self {
            reuse: Reuse::new(since),
            calls: Counter::default(),
            timed_out: Counter::default(),
            rejected: Counter::default(),
            counts_calls: false,
            recent: Trailing::new(FAILING_WINDOW),
            baseline: Trailing::new(BASELINE_SPAN),
            waiting: None,
            idle: None,
            first_at: since,
            last_at: since,
        };
        if let Some(since) = since {
            traffic.recent.push(since, [0.0; 2]);
            traffic.baseline.push(since, [0.0; 2]);
        }
        traffic
    }

    /// Takes the counters of a scrape. `restarted`: the process has begun since the scrape before.
    pub(super) fn observe(&mut self, at: Timestamp, readings: &Readings, restarted: bool) {
        let since = match self.last_at {
            _ if restarted => Since::Restart,
            Some(_) => Since::LastScrape,
            None => Since::Unknown,
        };
        self.reuse.observe(at, readings, since);
        self.counts_calls |= readings.calls.is_some() || readings.rejected.is_some();
        self.calls.observe(readings.calls, since);
        self.timed_out.observe(readings.timed_out, since);
        self.rejected.observe(readings.rejected, since);
        let failing = self.timed_out.total() + self.rejected.total();
        let all = self.calls.total() + self.rejected.total();
        for trailing in [&mut self.recent, &mut self.baseline] {
            trailing.push(at, [failing, all]);
        }
        self.idle = readings.idle;
        let waiters = readings.waiters.unwrap_or(0.0);
        let waiting_since = self.waiting.map_or(at, |(since, _)| since);
        self.waiting = (waiters > 0.0).then_some((waiting_since, waiters));
        self.first_at.get_or_insert(at);
        self.last_at = Some(at);
    }

    /// How its connections are reused.
    pub(super) fn reuse(&self) -> &Reuse {
        &self.reuse
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
        matches!(
            (self.first_at, self.last_at),
            (Some(first), Some(last)) if last - first >= WAITING.as_secs_f64()
        )
    }

    /// Idle connections, where the pool reports its states.
    pub(super) fn idle(&self) -> Option<f64> {
        self.idle
    }
}
