//! The options of `leak-agent audit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::moment::{Moment, step};

/// Which store is audited, over which time, and where the report goes.
#[derive(Debug, Clone, Args)]
pub struct AuditOptions {
    /// The store: Prometheus, Thanos, Mimir, Cortex or VictoriaMetrics, with path prefix, and with user and password
    /// where it wants them, as in `http://USER:PASSWORD@prometheus.example.org:9090`. Tenant, TLS and other credentials are
    /// those of the source of this URL or name in `sources` of --config.
    #[arg(long, value_name = "URL")]
    pub prometheus: String,
    /// From when: RFC 3339, unix seconds, or relative such as -30d.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "-30d",
        allow_hyphen_values = true
    )]
    pub from: Moment,
    /// Up to when.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    pub to: Moment,
    /// One value a step instead of every sample; chosen by the number of series and the length of the range unless set.
    /// At least the interval at which the store scrapes.
    #[arg(long, value_name = "DURATION", value_parser = step)]
    pub step: Option<Duration>,
    /// Writes a report as one HTML file that needs nothing else, to be passed on.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The agent's configuration: `signals`, `overrides`, `workload_by`, `limits` and the terms of `alerting` apply.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
