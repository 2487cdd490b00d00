//! tokio-console's server side: the tasks of this process, live, for a human.
//!
//! It costs tens of microseconds a task and memory for each that it remembers, so it is behind the feature `console` *and*
//! a key of the configuration, it remembers ended tasks for seconds, and it looks at the spans of tasks alone. Its
//! aggregator runs without tokio's budget: within it, it handles 128 events a wake-up and falls behind a busy gateway,
//! which then shows a fraction of its tasks.

#[cfg(not(feature = "console"))]
mod absent;
#[cfg(feature = "console")]
mod served;

#[cfg(not(feature = "console"))]
pub(crate) use absent::{Console, layer};
#[cfg(feature = "console")]
pub(crate) use served::{Console, layer};
