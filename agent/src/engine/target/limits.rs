//! When a target runs out of something.
//!
//! A level has a limit of its own, where the catalogue knows one. A ledger's leaked connections have none, but each of
//! them holds a descriptor: together they run out of what the process may still open.

use std::collections::HashMap;
use std::sync::Arc;

use leak_detect::Interval;

use crate::catalogue::Limit;
use crate::engine::series::Series;
use crate::engine::target::TargetState;
use crate::incident::SignalKind;
use crate::labels::Labels;

/// With fewer leaked connections than this nothing is extrapolated: the pace of a handful is hardly known, and its
/// upper bound would make a page of the first of them.
const LEAST_CONNECTIONS: f64 = 10.0;

impl TargetState {
    /// Where a series is exhausted: what runs out, and the limit in the series' own unit.
    pub(in crate::engine) fn limit_of(&self, series: &Series) -> Option<(Arc<str>, f64)> {
        match series.spec().map(|spec| &spec.limit) {
            Some(Some(Limit::Value(limit))) => Some((Arc::clone(&series.signal), *limit)),
            Some(Some(Limit::Family(_))) => self
                .reading
                .limit(&series.signal, &series.labels)
                .map(|limit| (Arc::clone(&series.signal), limit)),
            _ => None,
        }
    }

    /// How many descriptors are left, and the limit of them.
    fn descriptors(&self) -> Option<(Arc<str>, f64, f64)> {
        let series = self
            .series()
            .find(|series| series.kind == SignalKind::Descriptors)?;
        let (signal, limit) = self.limit_of(series)?;
        Some((signal, limit - series.value, limit))
    }

    /// When leaked connections will have used up the descriptors: what runs out, its limit, and in how many seconds.
    /// All leaking accounts of the target together.
    pub(in crate::engine) fn exhaustion_by_connections(&self) -> Option<(Arc<str>, f64, Interval)> {
        let (connections, rate) = self.leaked_connections();
        if connections < LEAST_CONNECTIONS || rate.estimate <= 0.0 {
            return None;
        }
        let (signal, room, limit) = self.descriptors()?;
        let seconds = |rate: f64| {
            if rate > 0.0 {
                room.max(0.0) / rate
            } else {
                f64::INFINITY
            }
        };
        let seconds = Interval {
            low: seconds(rate.high),
            estimate: seconds(rate.estimate),
            high: seconds(rate.low),
        };
        Some((signal, limit, seconds))
    }

    /// How many connections leak, and how many more each second. One that is both orphaned and overdue counts once.
    fn leaked_connections(&self) -> (f64, Interval) {
        let mut by_account: HashMap<&Labels, (f64, Interval)> = HashMap::new();
        for series in self.series() {
            if !series.kind.is_exact() || !series.is_leaking() {
                continue;
            }
            if series.labels.get("resource") != Some("pool_connection") {
                continue;
            }
            let Some(case) = series.case(false) else {
                continue;
            };
            if !case.still_growing {
                continue;
            }
            let leak = (series.value, case.growth_per_second);
            let own = by_account.entry(&series.labels).or_insert(leak);
            if leak.1.estimate > own.1.estimate {
                *own = leak;
            }
        }
        let sum =
            |bound: fn(&Interval) -> f64| by_account.values().map(|(_, rate)| bound(rate)).sum();
        let rate = Interval {
            low: sum(|own| own.low),
            estimate: sum(|own| own.estimate),
            high: sum(|own| own.high),
        };
        (by_account.values().map(|(value, _)| value).sum(), rate)
    }
}
