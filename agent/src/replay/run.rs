//! One replay from the command line: reads, plays, writes what was asked for.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::command::ReplayOptions;
use crate::config::{Config, ConfigError};
use crate::history::openmetrics::{self, ReadError};
use crate::replay::{Expected, Player, VerdictLine, is_wanted, judged_series};

/// What came of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether an alert fired.
    pub has_fired: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be played.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The verdicts cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file, or `-`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads the history, judges it and writes what was asked for.
///
/// # Errors
/// The first thing that kept it from the end.
pub fn run(options: &ReplayOptions) -> Result<Outcome, ReplayError> {
    let config = match &options.config {
        Some(path) => Config::load_for_history(path)?,
        None => Config::for_history(),
    };
    let catalogue = config.catalogue();
    let mut recording =
        openmetrics::read(&options.openmetrics, &|name| is_wanted(&catalogue, name))?;
    let watched = options
        .series
        .unwrap_or_else(|| judged_series(&recording.table, &catalogue));
    let expected = Expected {
        watched_series: watched,
        interval: recording.interval(),
    };
    let mut player = Player::new(&config, expected);
    let mut lines: Vec<VerdictLine> = Vec::new();
    recording.play(&mut |table, slice| lines.extend(player.play(table, slice)));
    lines.extend(player.finish());
    if let Some(path) = &options.verdicts {
        write(path, &lines).map_err(|source| ReplayError::Write {
            path: path.clone(),
            source,
        })?;
    }
    Ok(Outcome {
        has_fired: lines.iter().any(|line| line.state == "firing"),
    })
}

fn write(path: &Path, lines: &[VerdictLine]) -> io::Result<()> {
    let mut writer: Box<dyn Write> = if path.as_os_str() == "-" {
        Box::new(io::stdout().lock())
    } else {
        Box::new(BufWriter::new(File::create(path)?))
    };
    for line in lines {
        writeln!(writer, "{}", line.json())?;
    }
    writer.flush()
}
