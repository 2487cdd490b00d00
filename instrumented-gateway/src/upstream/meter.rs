//! The result and the duration of one exchange, recorded once, however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::metrics::{UpstreamMeters, UpstreamResult};

/// Records when it is dropped: as `cancelled` unless somebody said otherwise. The duration is that to the answer's head,
/// or to the end where none came.
#[derive(Debug)]
pub(super) struct Meter {
    meters: Arc<UpstreamMeters>,
    started: Instant,
    head: Option<Duration>,
    result: Option<UpstreamResult>,
}

impl Meter {
    pub(super) fn start(meters: &Arc<UpstreamMeters>) -> Self {
        Self {
            meters: Arc::clone(meters),
            started: clock::now(),
            head: None,
            result: Some(UpstreamResult::Cancelled),
        }
    }

    pub(super) fn head_received(&mut self) {
        self.head = Some(self.elapsed());
    }

    /// How the exchange ends; `None` where the upstream was never asked.
    pub(super) fn will_end(&mut self, result: Option<UpstreamResult>) {
        self.result = result;
    }

    fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(result) = self.result {
            let duration = self.head.unwrap_or_else(|| self.elapsed());
            self.meters.finished(result, duration);
        }
    }
}
