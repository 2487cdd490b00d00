//! Reads the command line and the configuration, and runs the agent until it is told to end.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use leak_agent::agent::{Agent, Running};
use leak_agent::audit::AuditError;
use leak_agent::command::{
    self, Action, CommandLine, LogFormat, ReplayOptions, SignalsOptions, TestAlertOptions,
};
use leak_agent::config::{Config, ConfigError};
use leak_agent::notify::test_alert;
use leak_agent::replay::ReplayError;
use leak_agent::shard::Shard;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `EX_USAGE` of sysexits.h: the command line or the configuration is wrong.
const USAGE: u8 = 64;
/// An alert fired in a replay that was to fail on it.
const LEAK: u8 = 3;

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let done = match &line.action {
        Action::Replay(options) => match replay(options) {
            Ok(has_failed) if has_failed => return ExitCode::from(LEAK),
            done => done.map(drop),
        },
        Action::Audit(options) => leak_agent::audit::run(options).map_err(Into::into),
        Action::Signals(options) => signals(options),
        Action::Check { config } => check(config),
        Action::TestAlert(options) => test_alert(options),
        Action::Run {
            config,
            log_format,
            shard,
        } => run(config, *log_format, *shard),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("leak-agent: {error:#}");
    let is_usage = error.is::<ConfigError>()
        || error
            .downcast_ref::<ReplayError>()
            .is_some_and(ReplayError::is_usage)
        || error
            .downcast_ref::<AuditError>()
            .is_some_and(AuditError::is_usage);
    ExitCode::from(if is_usage { USAGE } else { 1 })
}

fn signals(options: &SignalsOptions) -> anyhow::Result<()> {
    let catalogue = Config::of_history(options.config.as_deref())?.catalogue();
    print!(
        "{}",
        command::signals(&catalogue, options.exposition.as_deref())?
    );
    Ok(())
}

fn test_alert(options: &TestAlertOptions) -> anyhow::Result<()> {
    let config = Config::load(&options.config)?;
    let tried = test_alert::run(&config, options.severity.into(), options.resolve)?;
    for own in &tried {
        println!("{}: {}", own.alertmanager, own.answer);
    }
    if tried.is_empty() {
        anyhow::bail!("there is nobody to send to: `alerting.alertmanagers` is empty");
    }
    if !tried.iter().all(|own| own.answer.is_good()) {
        anyhow::bail!("not every Alertmanager took the test alert");
    }
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    Config::load(path)?;
    println!("{}: no mistakes", path.display());
    Ok(())
}

/// Whether the replay was to fail on a leak, and saw one.
fn replay(options: &ReplayOptions) -> anyhow::Result<bool> {
    let outcome = leak_agent::replay::run(options)?;
    if options.fail_on_leak {
        for alert in &outcome.fired {
            eprintln!("leak-agent: fired: {alert}");
        }
    }
    Ok(options.fail_on_leak && !outcome.fired.is_empty())
}

fn run(path: &Path, log_format: LogFormat, shard: Option<Shard>) -> anyhow::Result<()> {
    let mut config = Config::load(path)?;
    config.shard = shard;
    log_format.install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        let agent = Agent::start(config).await?;
        let ended = tokio::select! {
            () = stop(&mut terminated, &mut interrupted) => Ok(()),
            () = reload(&agent, &mut hung_up) => Ok(()),
            () = agent.ended() => Err(anyhow::anyhow!("the agent ended by itself; the log says why")),
        };
        tokio::select! {
            () = agent.shutdown() => ended,
            () = stop(&mut terminated, &mut interrupted) => anyhow::bail!("stopped at once by a second signal"),
        }
    })
}

/// Reads the configuration again at each signal, for ever.
async fn reload(agent: &Running, hung_up: &mut Signal) {
    while hung_up.recv().await.is_some() {
        // What came of it is logged where it happens.
        let _ = agent.reload().await;
    }
}

async fn stop(terminated: &mut Signal, interrupted: &mut Signal) {
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
}
