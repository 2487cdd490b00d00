//! One audit from the command line: asks, plays, grades, writes.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Ledger, Settings};

use super::coroner::FAMILIES;
use super::report::Report;
use super::session::Session;
use super::{html, pictures, summary};
use crate::clock;
use crate::command::{AuditOptions, EmptySpan, Moment};
use crate::config::{Config, ConfigError};
use crate::history::store::{Range, Store, StoreError, Wanted};
use crate::progress::Progress;
use crate::quantity::count;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing to look at.
    #[error(transparent)]
    Span(#[from] EmptySpan),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime cannot be made.
    #[error("no runtime")]
    Runtime(#[source] io::Error),
    /// Something cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file, or `-` for standard output.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AuditError {
    /// Whether the command line or the configuration is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_) | Self::Span(_) | Self::Store(StoreError::Url(_))
        )
    }
}

/// Where no step is given, ranges up to so many seconds are read with a step of so many; the first that fits.
const STEPS: [(f64, u64); 4] = [(2.0, 15), (10.0, 30), (45.0, 60), (f64::INFINITY, 300)];

/// Ranges up to this, in seconds, are read sample by sample.
const RAW_SECONDS: f64 = 6.0 * 3600.0;

/// Where no step is given, it is chosen so that no more samples than this are read.
const SAMPLES: f64 = 200e6;

/// Asks the store, judges what it says and writes the report. The summary goes to standard output.
///
/// # Errors
/// The first thing that kept it from the end.
pub fn run(options: &AuditOptions) -> Result<(), AuditError> {
    let config = Config::of_history(options.config.as_deref())?;
    let (from, to) = Moment::span(options.from, options.to, clock::now())?;
    let store = Store::named(&options.prometheus, &config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(AuditError::Runtime)?;
    let report = runtime.block_on(audit(store, config, from, to, options.step))?;
    if let Some(path) = &options.html {
        std::fs::write(path, html::page(&report)).map_err(|source| AuditError::Write {
            path: path.clone(),
            source,
        })?;
    }
    let mut text = summary::text(&report);
    if let Some(path) = &options.html {
        text.push_str(&format!("\nThe whole report: {}\n", path.display()));
    }
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| AuditError::Write {
            path: PathBuf::from("-"),
            source,
        })
}

/// The whole audit.
async fn audit(
    store: Store,
    config: Config,
    from: Timestamp,
    to: Timestamp,
    step: Option<Duration>,
) -> Result<Report, AuditError> {
    let begun = clock::instant();
    let guess = step.or_else(|| shortest_step(to - from));
    let mut range = Range {
        from,
        to,
        step: guess,
    };
    let mut progress = Progress::new();
    progress.say_now("asking which series there are");
    let wanted = Wanted::of_catalogue(&config.catalogue(), FAMILIES);
    let listing = Arc::new(store.list(&wanted, &range).await?);
    if step.is_none() {
        range.step = guess.map(|guess| affordable(guess, listing.table.len(), to - from));
    }
    let ledger = Ledger::new(Settings::default());
    let mut session = Session::new(config, Arc::clone(&listing), range);
    let mut reader = store.read(listing, range, &ledger);
    while let Some(stretch) = reader.next().await {
        let stretch = stretch?;
        let until = stretch.to;
        session.play(stretch);
        progress.say_now(&format!(
            "{:.0} %, {} samples",
            100.0 * (until - from) / (to - from),
            count(session.samples() as f64)
        ));
    }
    let mut report = session.finish(store.shown());
    progress.say_now("drawing");
    pictures::draw(&store, &mut report).await;
    report.looked.seconds = clock::instant().duration_since(begun).as_secs_f64();
    progress.end();
    Ok(report)
}

fn shortest_step(range_seconds: f64) -> Option<Duration> {
    let days = range_seconds / 86_400.0;
    let (_, step) = STEPS.iter().find(|(longest, _)| days <= *longest)?;
    (range_seconds > RAW_SECONDS).then(|| Duration::from_secs(*step))
}

/// A step no shorter than `shortest`, in whole minutes from there, with which so many series are no more than
/// [`SAMPLES`].
fn affordable(shortest: Duration, series: usize, range_seconds: f64) -> Duration {
    let needed = range_seconds * series as f64 / SAMPLES;
    let minutes = (needed / 60.0).ceil().max(0.0) as u64;
    if needed <= shortest.as_secs_f64() {
        shortest
    } else {
        Duration::from_secs(60 * minutes)
    }
}
