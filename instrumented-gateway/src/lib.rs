//! A gateway that proxies and fans out, and counts exactly what it holds.
//!
//! # Layout
//! - [`command`]: the command line
//! - [`config`]: one YAML file to a validated configuration; every mistake at once
//! - [`gateway`]: listeners, one request's way through, start and shutdown
//! - [`route`]: path patterns, the table that picks one, templates for upstream paths
//! - [`forward`]: a route that proxies: one request, one upstream, both bodies streamed
//! - [`fan_out`]: a route that asks several upstreams and answers with one JSON object
//! - [`upstream`]: one upstream: endpoints in turn, limits, one exchange at a time
//! - `pool`: the connections to one endpoint, and what becomes of each
//! - [`body`]: the bodies on either side, and the watch over their progress
//! - `fields`: which header fields go on
//! - [`hop`]: what this hop adds: its name in `Via`, and who the client was
//! - `tunnel`: both connections of an exchange that switched to another protocol
//! - [`drill`]: the faults that can be rehearsed
//! - [`error`]: why a request could not be answered by an upstream, and the status that says so
//! - [`metrics`]: the one place that names the gateway's own metrics, and the `metrics` listener
//! - `access_log`: one line for each request, which nobody waits for
//! - [`admin`]: the `admin` listener: who holds what, which tasks live, drills
//! - [`tasks`]: the tasks alive on the runtime, by the line that spawned them
//! - [`telemetry`]: what belongs to the process: its log, its tasks, tokio-console
//! - `console`: tokio-console's server side, where the feature `console` builds it
//! - [`clock`]: the one file that reads the clock

mod access_log;
pub mod admin;
pub mod body;
pub mod clock;
pub mod command;
pub mod config;
mod console;
pub mod drill;
pub mod error;
pub mod fan_out;
mod fields;
pub mod forward;
pub mod gateway;
pub mod hop;
pub mod metrics;
mod pool;
pub mod route;
pub mod tasks;
pub mod telemetry;
mod tunnel;
pub mod upstream;

pub use pool::SocketGate;
