//! The gateway with its counting, or without: `counting_gateway with|without CONFIG`, until standard input ends.
//!
//! The one difference is the ledger: one of the two counts nothing. `counting_cost.py` runs both under a simulator of a
//! processor, and what counting costs is the difference in instructions.

use std::error::Error;
use std::io::Read as _;
use std::path::Path;

use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::Gateway;
use instrumented_gateway::telemetry::Telemetry;
use resource_ledger::{Ledger, Settings};

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
    let runtime = telemetry.tasks.runtime(config.worker_threads)?;
    runtime.block_on(async {
        let gateway = Gateway::start_with(config, telemetry, ledger).await?;
        println!("{}", gateway.listen_addr());
        // The runtime's own threads serve; this one has nothing to do but to wait.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        gateway.shutdown().await;
        Ok(())
    })
}
