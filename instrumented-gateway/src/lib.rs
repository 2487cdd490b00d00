//! A gateway that proxies and fans out, and counts exactly what it holds.
//!
//! # Layout
//! - [`config`]: one YAML file to a validated configuration; every mistake at once
//! - [`route`]: path patterns, the table that picks one, templates for upstream paths
//! - [`error`]: why a request could not be answered by an upstream, and the status that says so
//! - [`metrics`]: the one file that names the gateway's own metrics
//! - [`clock`]: the one file that reads the clock

pub mod clock;
pub mod config;
pub mod error;
pub mod metrics;
pub mod route;
