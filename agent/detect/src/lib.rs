//! Tells growth without bound from load, warm-up, caches, steps and restarts. Series in, verdicts out.
//!
//! Pure: no clock, no IO, no runtime, no randomness. The time of every sample is an argument, and the same samples give
//! the same verdicts on any machine. It knows one series at a time; workloads, incidents and alerts are its caller's.
//!
//! # Layout
//!
//! - [`time`]: instants of samples; `order`: which samples come in order.
//! - [`verdict`]: what a detector says: healthy, undecided and why, leaking and by what evidence.
//! - [`exact`]: the exact tier, for counts that are zero in a correct program.
//! - [`level`]: the level tier, for any gauge that must not grow for ever.
//!   - [`memory`]: what it remembers of a series: buckets at several resolutions, constant in size.
//!   - `window`: the past as one scale sees it.
//!   - `climb`: the climb that a window shows: since when, how steep, how sure; `statistics`: the arithmetic of that.
//!   - `innocence`: the innocent explanations of a climb, each with its own test.
//! - [`life`]: one life of one process as a profile; [`lives`]: evidence over the lives of a workload's processes.
//! - [`peers`]: the instances of a workload beside each other at the same time.
//! - [`budget`]: from false alerts a year for a whole agent to a significance level for one test.
//! - [`snapshot`]: versioned bytes of a detector, and back.

pub mod budget;
mod climb;
pub mod exact;
mod innocence;
pub mod level;
pub mod life;
pub mod lives;
pub mod memory;
mod order;
pub mod peers;
pub mod snapshot;
mod statistics;
pub mod time;
pub mod verdict;
mod window;

pub use budget::Budget;
pub use exact::ExactDetector;
pub use level::{LevelDetector, LevelSettings};
pub use life::Life;
pub use lives::Lives;
pub use memory::Bucket;
pub use peers::{Peer, Peers};
pub use snapshot::RestoreError;
pub use time::Timestamp;
pub use verdict::{Evidence, Fit, Growth, Interval, RuledOut, Tier, Undecided, Verdict};
