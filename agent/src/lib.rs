//! The agent: watches services with a Prometheus endpoint and pages when something they hold grows without bound.
//!
//! It is a library that starts and stops in-process (`agent::Agent::start`); `main.rs` parses the command line and waits for a signal.
//! Values in, verdict out: what decides (the engine and below it) is pure, takes `now` as an argument and knows no network, clock or runtime.
//!
//! # Layout
//!
//! In reading order:
//!
//! - [`config`]: the configuration, in Prometheus' words, with every mistake at once.
//! - [`labels`]: label sets.
//! - [`catalogue`]: which series must not grow for ever, and which explain them.
//! - [`discovery`]: from an address and its labels to a target.
//! - `excerpt`: texts of targets, fit to be shown.
//! - [`exposition`]: Prometheus' text format and OpenMetrics, read as they come.
//! - [`scrape`]: targets fetched on their beat, at a bounded cost.
//! - [`clock`]: the one file that reads the clock.
//! - [`quantity`]: numbers as people read them: counts, bytes, durations, moments.
//! - [`plot`]: one series with its fit drawn into the future, as SVG.

pub mod catalogue;
pub mod clock;
pub mod config;
pub mod discovery;
mod excerpt;
pub mod exposition;
pub mod labels;
pub mod plot;
pub mod quantity;
pub mod scrape;
