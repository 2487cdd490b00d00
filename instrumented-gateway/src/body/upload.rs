//! What bounds the content of a request: its size, and how long its client may be waited for.
//!
//! Only the time in which the gateway wanted a byte and the client gave none is held against the client: an upstream that
//! reads slowly costs it nothing. Standing still is bounded, and so is dripping: each `min_bytes_per_second` earn a second.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::progress::UploadFault;
use crate::clock;
use crate::config::BodyLimits;
use crate::metrics::{RouteLimit, RouteMeters};

/// The limits of one request's content, and where it is counted that one was reached.
#[derive(Debug, Clone)]
pub struct UploadBound {
    pub(crate) limits: BodyLimits,
    pub(crate) meters: RouteMeters,
}

/// The watch over one request's content.
#[derive(Debug)]
pub(super) struct UploadWatch {
    bound: UploadBound,
    received: u64,
    /// How long the client has been waited for, before this time.
    waited: Duration,
    waiting_since: Option<Instant>,
    /// Set once and looked at when it rings, so that a piece of content costs no timer.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl UploadWatch {
    pub(super) fn new(bound: UploadBound) -> Self {
        Self {
            bound,
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            alarm: None,
        }
    }

    /// So many bytes have come.
    pub(super) fn received(&mut self, bytes: u64) -> Result<(), UploadFault> {
        self.received += bytes;
        if let Some(since) = self.waiting_since.take() {
            self.waited += clock::now().saturating_duration_since(since);
        }
        match self.bound.limits.max_bytes {
            Some(limit_bytes) if self.received > limit_bytes => {
                self.bound.meters.limit_reached(RouteLimit::RequestBody);
                Err(UploadFault::TooLarge { limit_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Nothing has come: ready when that has been so for too long.
    pub(super) fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<UploadFault> {
        let Some(timeout) = self.bound.limits.read_timeout else {
            return Poll::Pending;
        };
        loop {
            let now = clock::now();
            let since = *self.waiting_since.get_or_insert(now);
            let due = since + self.patience(timeout);
            if due <= now {
                self.bound.meters.limit_reached(RouteLimit::RequestBodyTime);
                return Poll::Ready(UploadFault::TooSlow);
            }
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            alarm.as_mut().reset(due.into());
        }
    }

    /// How long the client may be waited for this time.
    fn patience(&self, timeout: Duration) -> Duration {
        let rate = self.bound.limits.min_bytes_per_second;
        if rate == 0 {
            return timeout;
        }
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / rate);
        let left = timeout.saturating_add(earned).saturating_sub(self.waited);
        left.min(timeout)
    }
}
