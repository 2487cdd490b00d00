//! File descriptors: as many as the system allows, and a few kept back for the operator.
//!
//! A gateway that has run out of descriptors cannot accept the connection of whoever wants to see why. So a few are held
//! open for nothing; when accepting for the operator's listeners meets the limit, one is given up in exchange.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use rlimit::Resource;

/// Connections of operators that can still be accepted at the limit.
const SPARES: usize = 16;

/// Raises the soft limit of the process to the hard one, and returns it.
///
/// # Errors
/// Where the system refuses; the limit is as before then.
pub(crate) fn raise_limit() -> io::Result<u64> {
    let (soft, hard) = Resource::NOFILE.get()?;
    if soft < hard {
        Resource::NOFILE.set(hard, hard)?;
    }
    Ok(hard)
}

/// The soft limit of the process; `None` where the system does not say.
pub(crate) fn limit() -> Option<u64> {
    Resource::NOFILE.get_soft().ok()
}

/// Whether an error says that there is no descriptor left: in the process (`EMFILE`) or the system (`ENFILE`).
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Descriptors held back.
#[derive(Debug)]
pub(crate) struct Reserve {
    spares: Mutex<Vec<File>>,
}

impl Reserve {
    /// As many spares as can be had.
    pub(crate) fn new() -> Self {
        let reserve = Self {
            spares: Mutex::new(Vec::with_capacity(SPARES)),
        };
        reserve.refill();
        reserve
    }

    /// Gives one up; false where none is left.
    pub(crate) fn release(&self) -> bool {
        self.lock().pop().is_some()
    }

    /// Takes back what was given up, as far as the limit allows.
    pub(crate) fn refill(&self) {
        let mut spares = self.lock();
        while spares.len() < SPARES {
            match File::open("/dev/null") {
                Ok(spare) => spares.push(spare),
                Err(_) => break,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<File>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
