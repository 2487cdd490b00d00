//! The command line.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};

use crate::drill::DrillRequest;
use crate::telemetry::LogFormat;

/// What `--version` says: besides the version, the revision that the builder named in the variable SOURCE_REVISION.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let revision = option_env!("SOURCE_REVISION").filter(|text| !text.is_empty());
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let console = if cfg!(feature = "console") {
        ", with console"
    } else {
        ""
    };
    format!(
        "{}\nrevision: {}\nbuild: {profile}, {} {}{console}",
        env!("CARGO_PKG_VERSION"),
        revision.unwrap_or("not named when it was built"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
});

/// A gateway that proxies and fans out, and counts exactly what it holds.
#[derive(Debug, Parser)]
#[command(
    name = "instrumented-gateway",
    version,
    long_version = BUILD.as_str(),
    args_conflicts_with_subcommands = true
)]
#[command(subcommand_negates_reqs = true)]
#[command(
    after_help = "SIGHUP reads the configuration again; one with a mistake is refused whole and the log says why. SIGTERM and \
SIGINT wait for requests under way until `shutdown_timeout`, then cut them and say in the log which; a second one cuts at once.\n\n\
Exit status: 0 after a shutdown by SIGTERM or SIGINT, whether or not it cut requests, 64 for a mistake in the command line or \
the configuration, 1 for any other failure, a shutdown by a second signal among them. RUST_LOG sets the log's level, for example RUST_LOG=debug."
)]
pub struct CommandLine {
    /// What to do instead of running the gateway.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// How to run it.
    #[command(flatten)]
    pub run: Run,
}

/// Arguments of a run.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration; gateway.example.yml documents every key.
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// Makes the gateway commit a fault on purpose, on this share of requests (0 to 1); may be given several times.
    #[arg(long = "drill", value_name = "NAME[:SHARE]")]
    pub drills: Vec<DrillRequest>,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// What to do instead of running the gateway.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Reports every mistake in a configuration, each with its key and line, and exits 64 if there is one.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}
