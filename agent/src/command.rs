//! The command line.

mod audit;
mod moment;
mod replay;
mod signals;
mod test_alert;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::shard::Shard;

pub use audit::AuditOptions;
pub use moment::{EmptySpan, Moment, MomentError};
pub use replay::ReplayOptions;
pub use signals::{SignalsError, SignalsOptions, signals};
pub use test_alert::TestAlertOptions;

/// What `--version` says: besides the version, the revision that the builder named in the variable SOURCE_REVISION.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let revision = option_env!("SOURCE_REVISION").filter(|text| !text.is_empty());
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "{}\nrevision: {}\nbuild: {profile}, {} {}",
        env!("CARGO_PKG_VERSION"),
        revision.unwrap_or("not named when it was built"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
});

/// Watches services with a Prometheus endpoint and pages when something they hold grows without bound.
#[derive(Debug, Parser)]
#[command(
    name = "leak-agent",
    version,
    long_version = BUILD.as_str(),
    arg_required_else_help = true,
    after_help = "Exit status: 0 after an end by SIGTERM or SIGINT, 3 where `replay --fail-on-leak` saw an alert fire, 64 for a mistake in the command line or the configuration, 1 for any other failure. \
RUST_LOG sets the log's level, for example RUST_LOG=debug."
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Watches, judges and alerts until SIGTERM or SIGINT. What it knows survives in `storage.path`.
    Run {
        /// The configuration, in Prometheus' words; agent.example.yml documents every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How log lines are written, to standard error.
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
        /// Watches only its share of the workloads: `2/5` is the second of five agents that share them. Every alert is
        /// then sent by one of them.
        #[arg(long, value_name = "I/N")]
        shard: Option<Shard>,
    },
    /// Sends one alert that says of itself that it is a test to every Alertmanager, by the way of real ones (external
    /// labels, relabelling, discovery, credentials), and tells what each answered. Exits 1 where one did not take it.
    TestAlert(TestAlertOptions),
    /// Judges a history as `run` would have judged it, faster than time, and shows what would have fired. Sends and
    /// stores nothing.
    Replay(Box<ReplayOptions>),
    /// Judges the history of a whole fleet in a store of Prometheus' kind, and grades the judgement against the deaths in
    /// it, before anything is installed. Reads only, four questions at a time.
    Audit(AuditOptions),
    /// Prints what is known to leak: the levels of the catalogue with their units, floors, limits and first actions, or
    /// which of them a target's exposition meets.
    Signals(SignalsOptions),
    /// Reports every mistake in a configuration, each with its key and line, and exits 64 if there is one. Binds and
    /// sends nothing.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Writes the log of this process to standard error, INFO and above unless `RUST_LOG` says otherwise. Once.
    ///
    /// # Panics
    /// Where the process has a global tracing subscriber already.
    pub fn install(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        match self {
            Self::Text => lines.init(),
            Self::Json => lines.json().init(),
        }
    }
}
