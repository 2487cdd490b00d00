//! The whole line against real parts: both binaries as processes, Debian's Alertmanager and Prometheus, and strangers
//! (nginx, Python, Node, wrk, curl) as upstreams and clients.
//!
//! Every test here needs packages that a plain machine lacks, so each is ignored with that reason and `.ci/run`, which
//! installs them, runs them one after another. What a test starts listens on loopback, keeps its data in a temporary
//! directory and is ended by pid. `LEAKWATCH_SCRAPE_INTERVAL` (default `1s`), `LEAKWATCH_HEALTHY_SECONDS` (default
//! 40) and `LEAKWATCH_OUTAGE_SECONDS` (default 15) stretch the same tests to real time: `.ci/drills-in-real-time` does so.

#![expect(
    clippy::disallowed_methods,
    reason = "the clients and upstreams of a test are no part of the agent: nothing counts them, and the test's runtime ends them"
)]

mod audit;
mod differential;
mod drills;
mod kills;
mod load;
mod process;
mod receiver;
mod relabelling;
mod stand;
mod stores;
mod strangers;
mod upstream;
