//! The agent: watches services with a Prometheus endpoint and pages when something they hold grows without bound.
//!
//! It is a library that starts and stops in-process ([`agent::Agent::start`]); `main.rs` parses the command line and
//! waits for a signal. Values in, verdict out: what decides ([`engine`] and below it) is pure, takes `now` as an
//! argument and knows no network, clock or runtime.
//!
//! # Layout
//!
//! In reading order:
//!
//! - [`command`]: the command line.
//! - [`agent`]: starts and stops everything; the event loop that owns the engine.
//! - [`config`]: the configuration, in Prometheus' words, with every mistake at once.
//! - [`labels`]: label sets.
//! - [`relabel`]: rules that rewrite label sets.
//! - [`catalogue`]: which series must not grow for ever, and which explain them.
//! - [`discovery`]: from an address and its labels to a target.
//! - `excerpt`: texts of targets, fit to be shown.
//! - [`exposition`]: Prometheus' text format and OpenMetrics, read as they come.
//! - [`http_client`]: the one HTTP client, with Prometheus' client settings.
//! - [`scrape`]: targets fetched on their beat, at a bounded cost.
//! - [`engine`]: scrapes in, effects out: the functional core of the agent.
//! - [`history`]: what was measured before, slice by slice.
//! - `source`: stores that are queried beside the scraping: their history, then what is new.
//! - [`replay`]: the engine over a history.
//! - [`audit`]: a fleet's history, graded against its own deaths.
//! - [`workload`]: what stays when processes are replaced.
//! - [`incident`]: one leak, from its conviction to its end.
//! - [`diagnosis`]: from what leaks to which mistake it looks like.
//! - [`impact`]: whether a leak can wait until the morning.
//! - [`alert`]: the life of an alert and what it says.
//! - [`notify`]: every alert to every Alertmanager.
//! - [`pair`]: what two agents of one configuration tell each other.
//! - [`shard`]: which of several agents watches a workload.
//! - [`state`]: what outlives the agent's process.
//! - [`witness`]: a leaking target, asked where it leaks.
//! - `web`: the page, the API.
//! - `telemetry`: the agent's own metrics.
//! - [`clock`]: the one file that reads the clock.
//! - [`quantity`]: numbers as people read them: counts, bytes, durations, moments.
//! - `progress`: how far a long command is.
//! - [`plot`]: one series with its fit drawn into the future, as SVG.

pub mod agent;
pub mod alert;
pub mod audit;
pub mod catalogue;
pub mod clock;
pub mod command;
pub mod config;
pub mod diagnosis;
pub mod discovery;
pub mod engine;
mod excerpt;
pub mod exposition;
pub mod history;
pub mod http_client;
pub mod impact;
pub mod incident;
pub mod labels;
pub mod notify;
pub mod pair;
pub mod plot;
mod progress;
pub mod quantity;
pub mod relabel;
pub mod replay;
pub mod scrape;
pub mod shard;
mod source;
pub mod state;
mod telemetry;
mod web;
pub mod witness;
pub mod workload;
