//! The agent's page with realistic incidents, to look at it: `cargo run --example page`.
//!
//! Nothing on it is made up by hand: the agent's own engine judges two simulated days of a small fleet in a few
//! seconds, its state is stored, and an agent starts from there and goes on scraping the same fleet on loopback. It
//! prints its address and serves until its standard input ends.

#[path = "page/fleet.rs"]
mod fleet;
#[path = "page/past.rs"]
mod past;
#[path = "page/server.rs"]
mod server;

use std::io::Read as _;

use anyhow::Context as _;
use clap::Parser;
use leak_agent::agent::Agent;
use leak_agent::clock;
use leak_agent::config::Config;
use resource_ledger::{Labels, Ledger, ServiceTaskOutcome};
use tokio::net::TcpListener;

use fleet::Fleet;

/// Serve the agent's page with realistic incidents, until standard input ends.
#[derive(Parser)]
#[command(name = "page")]
struct Options {
    /// So many more workloads that leak orphaned entries.
    #[arg(long, default_value_t = 0)]
    suspects: usize,
    /// Nothing leaks, and everything is seen.
    #[arg(long)]
    quiet: bool,
    /// Under which people reach it, if it is behind a proxy.
    #[arg(long)]
    external_url: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ledger = Ledger::default();
    let account = ledger.account::<ServiceTaskOutcome>(Labels::new());
    let fleet = Fleet::new(options.suspects, options.quiet, clock::now().seconds());
    let text = fleet.configuration(
        listener.local_addr()?,
        directory.path(),
        options.external_url.as_deref(),
    );
    let config = Config::parse(&text).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
    past::live_through(&fleet, &config).context("the past cannot be stored")?;
    let _targets = ledger.spawn(
        account.open(),
        server::serve(listener, fleet, ledger.clone()),
    );
    let agent = Agent::start(config).await?;
    println!("http://{}/", agent.web_addr());
    let waiting = ledger.compute(account.open(), || {
        let mut rest = Vec::new();
        // Whether it ends or fails: there is nobody left to serve for.
        let _ = std::io::stdin().read_to_end(&mut rest);
    });
    waiting.join().await?;
    agent.shutdown().await;
    Ok(())
}
