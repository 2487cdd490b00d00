//! The synchronisation that the counting core is built of, so that loom can stand in for it.
//!
//! Only what loom must see goes through here: the shards' locks, the registry's, and the choice of a shard. Labels and
//! owners are the standard library's everywhere: no count depends on the order of their reference counts.

use std::cell::Cell;

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, RwLock};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, RwLock};

const UNNUMBERED: usize = usize::MAX;

#[cfg(not(loom))]
static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(0);
#[cfg(loom)]
loom::lazy_static! {
    static ref NEXT_NUMBER: AtomicUsize = AtomicUsize::new(0);
}

#[cfg(not(loom))]
thread_local!(static NUMBER: Cell<usize> = const { Cell::new(UNNUMBERED) });
#[cfg(loom)]
loom::thread_local!(static NUMBER: Cell<usize> = Cell::new(UNNUMBERED));

/// Numbers threads in the order in which they first ask, so that the first few share nothing.
pub(crate) fn thread_number() -> usize {
    NUMBER.with(|number| {
        if number.get() == UNNUMBERED {
            number.set(NEXT_NUMBER.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
