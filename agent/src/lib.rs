//! The agent: watches services with a Prometheus endpoint and pages when something they hold grows without bound.
//!
//! It is a library that starts and stops in-process (`agent::Agent::start`); `main.rs` parses the command line and waits for a signal.
//! Values in, verdict out: what decides (the engine and below it) is pure, takes `now` as an argument and knows no network, clock or runtime.
//!
//! # Layout
//!
//! In reading order:
//!
//! - [`clock`]: the one file that reads the clock.
//! - [`quantity`]: numbers as people read them: counts, bytes, durations, moments.
//! - [`plot`]: one series with its fit drawn into the future, as SVG.

pub mod clock;
pub mod plot;
pub mod quantity;
