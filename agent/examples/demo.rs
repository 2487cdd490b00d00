//! From leak to page in one command: upstreams, load, the gateway and the agent as separate processes on loopback,
//! and nothing else installed.
//!
//! First all is healthy and the agent must be silent. Then the gateway commits one of the faults on purpose, until
//! the agent's alert fires; the alert is printed as the on-call engineer would read it; then the drill ends and what
//! was held is released. The program starts itself again for each process, and each of them ends with it, however it
//! ends.

#[path = "demo/alert.rs"]
mod alert;
#[path = "demo/cast.rs"]
mod cast;
#[path = "demo/child.rs"]
mod child;
#[path = "demo/drill.rs"]
mod drill;
#[path = "demo/gateway.rs"]
mod gateway;
#[path = "demo/load.rs"]
mod load;
#[path = "demo/observe.rs"]
mod observe;
#[path = "demo/screen.rs"]
mod screen;
#[path = "demo/story.rs"]
mod story;
#[path = "demo/table.rs"]
mod table;
#[path = "demo/upstream.rs"]
mod upstream;
#[path = "demo/watcher.rs"]
mod watcher;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use drill::Drill;
use leak_agent::command::LogFormat;

/// Watch a real gateway leak, the agent find it, name its cause and page.
///
/// Everything runs on loopback, on ports that the system chooses, and ends with this program. The gateway's address
/// is printed: ask it yourself meanwhile.
#[derive(Parser)]
#[command(
    name = "demo",
    after_help = "It exits 0 only if the healthy part was silent, the alert named the drill's cause, and the leak was released after the drill.\n\n\
                  Drills and the causes to be named:\n  \
                  client-per-request  idle_connections_unbounded\n  \
                  no-deadline         fan_out_without_deadline\n  \
                  unclosed-bodies     unclosed_bodies\n  \
                  undrained-bodies    undrained_bodies\n  \
                  detached-tasks      timeout_without_cancellation\n  \
                  slow-drip           unclosed_bodies (one leak in a thousand requests: may take some minutes)"
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the person chooses.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The fault that the gateway commits.
    #[arg(
        long,
        value_enum,
        default_value = "detached-tasks",
        value_name = "NAME"
    )]
    drill: Drill,
    /// Sends the alerts to a real Alertmanager as well, such as http://127.0.0.1:9093; may be given more than once.
    #[arg(long = "alertmanager", value_name = "URL", value_parser = alertmanager_url)]
    alertmanagers: Vec<String>,
    /// Stays up at the end, until Ctrl-C, with the load running and the agent's page to be read.
    #[arg(long)]
    keep: bool,
    /// Requests a second that the clients send.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// How long the healthy part lasts, in seconds.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..=600))]
    healthy: u64,
}

/// What this program is when it has started itself again.
#[derive(Subcommand)]
enum Role {
    #[command(name = "as-upstream", hide = true)]
    Upstream,
    #[command(name = "as-load", hide = true)]
    Load { address: String, rate: u32 },
    #[command(name = "as-gateway", hide = true)]
    Gateway { configuration: PathBuf },
    #[command(name = "as-agent", hide = true)]
    Agent { configuration: PathBuf },
}

fn alertmanager_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text)
        .map_err(|error| format!("{error}; it looks like http://127.0.0.1:9093"))?;
    if url.scheme() != "http" || url.host().is_none() {
        return Err("it looks like http://127.0.0.1:9093".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.role {
        None => return told(&cli.options),
        // It installs the log that the gateway itself would.
        Some(Role::Gateway { configuration }) => gateway::run(&configuration),
        Some(role) => {
            LogFormat::Text.install();
            on_runtime(async move {
                match role {
                    Role::Upstream => upstream::run().await,
                    Role::Load { address, rate } => load::run(&address, rate).await,
                    Role::Agent { configuration } | Role::Gateway { configuration } => {
                        watcher::run(&configuration).await
                    }
                }
            })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn told(options: &Options) -> ExitCode {
    on_runtime(async { Ok(story::tell(options).await) }).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn on_runtime<T>(done: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(done)
}
