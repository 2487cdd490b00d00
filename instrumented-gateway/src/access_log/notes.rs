//! What the way of a request through the gateway leaves for its line: which upstreams were asked, and how that went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};

use crate::body::Progress;
use crate::error::ForwardError;

/// Travels in the extensions of a request and of those that go upstream for it. Cloning is cheap, clones note together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) calls: Vec<Call>,
    /// Of the request whose content goes upstream.
    upload: Option<Arc<Progress>>,
}

/// One upstream that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Call {
    #[serde(serialize_with = "as_text")]
    pub(super) upstream: Arc<str>,
    /// How often the request was sent: 2 where a connection had gone stale.
    pub(super) attempts: u32,
    pub(super) failure: Option<String>,
}

fn as_text<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

impl Notes {
    /// A request is sent to an upstream, once more where it was sent before.
    pub(crate) fn attempt(&self, upstream: &Arc<str>, again: bool) {
        let mut noted = self.noted();
        let last = noted
            .calls
            .iter_mut()
            .rev()
            .find(|call| &call.upstream == upstream);
        match last {
            Some(call) if again => call.attempts += 1,
            _ => noted.calls.push(Call {
                upstream: Arc::clone(upstream),
                attempts: 1,
                failure: None,
            }),
        }
    }

    /// An exchange with an upstream failed, maybe before anything was sent.
    pub(crate) fn failed(&self, upstream: &Arc<str>, error: &ForwardError) {
        let mut noted = self.noted();
        let failure = Some(error.to_string());
        let open = |call: &&mut Call| &call.upstream == upstream && call.failure.is_none();
        match noted.calls.iter_mut().rev().find(open) {
            Some(call) => call.failure = failure,
            None => noted.calls.push(Call {
                upstream: Arc::clone(upstream),
                attempts: 0,
                failure,
            }),
        }
    }

    /// The content of the request is counted here.
    pub(crate) fn upload(&self, progress: &Arc<Progress>) {
        self.noted()
            .upload
            .get_or_insert_with(|| Arc::clone(progress));
    }

    pub(super) fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// Bytes of the request's content that have come.
    pub(super) fn uploaded(&self) -> u64 {
        self.upload
            .as_ref()
            .map_or(0, |progress| progress.uploaded())
    }

    /// Why an upstream failed, where one did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.calls.iter().find_map(|call| call.failure.as_deref())
    }
}
