//! The options of `leak-agent replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::moment::{Moment, step};
use crate::history::selector::Selector;

/// Which history is replayed, and what is shown of it.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("history").required(true).args(["openmetrics", "prometheus"])))]
pub struct ReplayOptions {
    /// A file of samples with timestamps, in any order: OpenMetrics, Prometheus' text format or what `promtool tsdb dump`
    /// writes, plain or gzipped.
    #[arg(long, value_name = "FILE")]
    pub openmetrics: Option<PathBuf>,
    /// A store instead of a file: Prometheus, Thanos, Mimir, Cortex or VictoriaMetrics, with path prefix, and with user
    /// and password where it wants them. Tenant, TLS and other credentials are those of the source of this URL or name in
    /// `sources` of --config.
    #[arg(long, value_name = "URL", requires = "from")]
    pub prometheus: Option<String>,
    /// From when: RFC 3339, unix seconds, or relative such as -30d.
    #[arg(
        long,
        value_name = "TIME",
        requires = "prometheus",
        conflicts_with = "openmetrics",
        allow_hyphen_values = true
    )]
    pub from: Option<Moment>,
    /// Up to when.
    #[arg(
        long,
        value_name = "TIME",
        requires = "prometheus",
        conflicts_with = "openmetrics",
        default_value_if("prometheus", clap::builder::ArgPredicate::IsPresent, "now"),
        allow_hyphen_values = true
    )]
    pub to: Option<Moment>,
    /// One value a step instead of every sample as it was scraped.
    #[arg(
        long,
        value_name = "DURATION",
        requires = "prometheus",
        conflicts_with = "openmetrics",
        value_parser = step
    )]
    pub step: Option<Duration>,
    /// The agent's configuration: `signals`, `overrides`, `workload_by`, `limits` and the terms of `alerting` apply.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where verdict lines go, one JSON object for each change of an alert; `-` is standard output, and the table for
    /// people goes to standard error then.
    #[arg(long, value_name = "FILE")]
    pub verdicts: Option<PathBuf>,
    /// Exits 3 where an alert fired: a gate for soak tests.
    #[arg(long)]
    pub fail_on_leak: bool,
    /// Divides the budget of false alerts by so many watched series instead of those of the history.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub series: Option<u64>,
    /// Shows the whole reasoning about the series that match, such as '{job="api"}' or 'go_goroutines{job="api"}'.
    #[arg(long, value_name = "SELECTOR")]
    pub explain: Option<Selector>,
    /// Draws the explained series, which must be one, as SVG.
    #[arg(long, value_name = "FILE", requires = "explain")]
    pub svg: Option<PathBuf>,
    /// Where samples are sorted that do not fit into memory: sixteen bytes a sample. The system's directory for temporary
    /// files (TMPDIR) unless set.
    #[arg(long, value_name = "DIRECTORY")]
    pub temporary_directory: Option<PathBuf>,
    /// Memory for samples, such as 512MiB or 2GiB.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    pub memory: usize,
}

/// Bytes with a binary prefix, at least a mebibyte.
fn size(text: &str) -> Result<usize, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit {
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse::<usize>().ok();
    bytes
        .and_then(|number| number.checked_mul(factor))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "it is not a size such as 512MiB or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_binary_prefix() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for text in [
            "",
            "512",
            "0MiB",
            "-1GiB",
            "1.5GiB",
            "5MB",
            "MiB",
            "99999999999999999999GiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
