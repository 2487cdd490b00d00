//! Reads the command line and the configuration, and runs the gateway until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use instrumented_gateway::command::{Action, CommandLine, Run};
use instrumented_gateway::config::{Config, ConfigError};
use instrumented_gateway::gateway::Gateway;
use instrumented_gateway::telemetry::Telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Under a storm in which connections come and go by the thousand a second, the C library's heap grows by a tenth a minute.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `EX_USAGE` of sysexits.h: the command line or the configuration is wrong.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let done = match &line.action {
        Some(Action::Check { config }) => check(config),
        None => run(&line.run),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("instrumented-gateway: {error:#}");
    ExitCode::from(if error.is::<ConfigError>() { USAGE } else { 1 })
}

fn check(path: &Path) -> anyhow::Result<()> {
    Config::load(path)?;
    println!("{}: no mistakes", path.display());
    Ok(())
}

fn run(arguments: &Run) -> anyhow::Result<()> {
    let path = arguments.config.as_deref().context("--config is missing")?;
    let config = Config::load(path)?;
    let telemetry = Telemetry::install(&config, arguments.log_format);
    let runtime = telemetry
        .tasks
        .runtime(config.worker_threads)
        .context("no tokio runtime")?;
    let done = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut hangups = signal(SignalKind::hangup())?;
        let gateway = Gateway::start(config, telemetry).await?;
        for request in &arguments.drills {
            gateway.drills().start(request.drill, request.share);
        }
        loop {
            tokio::select! {
                () = stop(&mut terminated, &mut interrupted) => break,
                Some(()) = hangups.recv() => {
                    gateway.reload(path);
                }
            }
        }
        tokio::select! {
            _ = gateway.shutdown() => Ok(()),
            () = stop(&mut terminated, &mut interrupted) => {
                anyhow::bail!("stopped at once by a second signal")
            }
        }
    });
    // Whoever does not read the access log does not keep the process.
    runtime.shutdown_background();
    done
}

async fn stop(terminated: &mut Signal, interrupted: &mut Signal) {
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
}
