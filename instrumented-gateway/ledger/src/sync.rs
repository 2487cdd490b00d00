//! The synchronisation that the counting core is built of, so that loom can stand in for it.
//!
//! Only what loom must see goes through here: the shards' locks and the registry's. Reference counts of labels and
//! owners are the standard library's everywhere, because no count depends on their order.

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, RwLock};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, RwLock};
