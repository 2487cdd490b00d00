//! What was measured, one sample for each request.

use std::time::{Duration, Instant};

use crate::load::Route;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200 with every part.
    Whole,
    /// 200 with the parts of both healthy upstreams.
    BothHealthy,
    /// Another status, or fewer parts.
    Less,
    /// None at all.
    Failed,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) route: Route,
    /// When it should have gone out.
    pub(crate) due: Instant,
    /// From then to the last byte of its answer.
    pub(crate) latency: Duration,
    pub(crate) answer: Answer,
}

#[derive(Debug)]
pub(crate) struct Figures(Vec<Sample>);

impl Answer {
    pub(crate) fn of(head: &str, body: &str) -> Self {
        let has = |part: &str| body.contains(&format!("\"{part}\":\"a hundred bytes"));
        let status = head.split(' ').nth(1);
        match status {
            Some("200") if body.starts_with('"') => Self::Whole,
            Some("200") if has("article") && has("likes") && has("comments") => Self::Whole,
            Some("200") if has("article") && has("likes") => Self::BothHealthy,
            _ => Self::Less,
        }
    }
}

impl Figures {
    pub(crate) fn new(samples: Vec<Sample>) -> Self {
        Self(samples)
    }

    /// What was due before a moment, and what after.
    pub(crate) fn split(self, at: Instant) -> (Self, Self) {
        let (before, after) = self.0.into_iter().partition(|sample| sample.due < at);
        (Self(before), Self(after))
    }

    pub(crate) fn count(&self, route: Route, counts: impl Fn(Answer) -> bool) -> usize {
        self.of(route)
            .filter(|sample| counts(sample.answer))
            .count()
    }

    /// The latency that this share of the answers did not exceed.
    pub(crate) fn percentile(&self, route: Route, share: f64) -> Duration {
        let mut latencies: Vec<_> = self.of(route).map(|sample| sample.latency).collect();
        latencies.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among the samples"
        )]
        let rank = (latencies.len() as f64 * share).ceil() as usize;
        let rank = rank.clamp(1, latencies.len().max(1));
        latencies.get(rank - 1).copied().unwrap_or_default()
    }

    /// How long after `since` the last answer was due that was not whole, or took half the deadline.
    pub(crate) fn recovered_after(&self, since: Instant, deadline: Duration) -> Duration {
        let bad =
            |sample: &&Sample| sample.answer != Answer::Whole || sample.latency > deadline / 2;
        let bad = self.of(Route::FanOut).filter(bad).map(|sample| sample.due);
        bad.max()
            .map_or(Duration::ZERO, |due| due.saturating_duration_since(since))
    }

    fn of(&self, route: Route) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| sample.route == route)
    }
}
