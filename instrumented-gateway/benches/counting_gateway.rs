//! The gateway with its counting, or without: `counting_gateway with|without CONFIG`, until SIGTERM.
//!
//! The one difference is the ledger: one of the two counts nothing. `counting_cost.py` runs both under a simulator of a
//! processor, and what counting costs is the difference in instructions. It runs on one thread: two that wake each other do
//! so more or less often, and that is more than counting.

use std::error::Error;
use std::path::Path;

use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::Gateway;
use instrumented_gateway::telemetry::Telemetry;
use resource_ledger::{Ledger, Settings};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "counting_gateway with|without CONFIG";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let counts_nothing = match arguments.next().as_deref() {
        Some("with") => false,
        Some("without") => true,
        _ => return Err(USAGE.into()),
    };
    let config = Config::load(Path::new(&arguments.next().ok_or(USAGE)?))?;
    let ledger = Ledger::new(Settings {
        grace: config.grace,
        max_accounts: config.max_accounts,
        counts_nothing,
        ..Settings::default()
    });
    let telemetry = Telemetry::default();
    let mut builder = Builder::new_current_thread();
    telemetry.tasks.observe(&mut builder);
    builder.enable_all().build()?.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let gateway = Gateway::start_with(config, telemetry, ledger).await?;
        terminated.recv().await;
        gateway.shutdown().await;
        Ok(())
    })
}
