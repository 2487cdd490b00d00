//! When an exchange last moved a byte, in either direction, and how to cut its client off when none moves.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// What is known of one exchange's bodies; shared by both of them and by the task that watches over the connection.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    last_milliseconds: AtomicU64,
    upload_finished: AtomicBool,
    /// Bytes of the request's content so far.
    uploaded: AtomicU64,
    /// Why the content was not read to its end, where that was decided here.
    upload_fault: OnceLock<UploadFault>,
    /// Whether the head of the answer is there.
    answered: AtomicBool,
    cut: AtomicBool,
}

/// A limit that the content of a request has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadFault {
    /// It is longer than allowed.
    #[error("the request's content is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// It came too slowly, or not at all.
    #[error("the request's content came too slowly")]
    TooSlow,
}

impl Progress {
    /// An exchange that begins now.
    pub fn new() -> Self {
        Self {
            start: clock::now(),
            last_milliseconds: AtomicU64::new(0),
            upload_finished: AtomicBool::new(false),
            uploaded: AtomicU64::new(0),
            upload_fault: OnceLock::new(),
            answered: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        }
    }

    /// Something moved just now.
    pub fn touch(&self) {
        let since = clock::now().saturating_duration_since(self.start);
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last_milliseconds
            .store(milliseconds, Ordering::Relaxed);
    }

    /// When something last moved, to the millisecond.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_milliseconds.load(Ordering::Relaxed))
    }

    /// Whether the request has been read to its end, so that its connection can be used again.
    pub fn upload_finished(&self) -> bool {
        self.upload_finished.load(Ordering::Acquire)
    }

    pub(super) fn finish_upload(&self) {
        self.upload_finished.store(true, Ordering::Release);
    }

    /// So many bytes more of the request's content have come.
    pub(super) fn upload(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of the request's content so far.
    pub fn uploaded(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    pub(super) fn fail_upload(&self, fault: UploadFault) {
        // The first one ended it.
        let _ = self.upload_fault.set(fault);
    }

    /// The limit that the request's content broke, if it did.
    pub fn upload_fault(&self) -> Option<UploadFault> {
        self.upload_fault.get().copied()
    }

    /// The head of the answer is there: from now on progress in either direction is enough.
    pub(crate) fn mark_answered(&self) {
        self.answered.store(true, Ordering::Release);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// Whether the exchange was cut because nothing moved for too long.
    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    pub(crate) fn mark_cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
