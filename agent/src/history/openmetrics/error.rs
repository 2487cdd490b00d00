//! Why a file cannot be played: the file, the line where there is one, and what to do.

use std::io;
use std::path::PathBuf;

use crate::exposition::{ParseError, ParseProblem};

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: ReadProblem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ReadProblem {
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error(
        "it is empty: a history holds samples with timestamps, as OpenMetrics or Prometheus' text format"
    )]
    Empty,
    /// A line cannot be read.
    #[error("{}", in_a_file(.0))]
    Parse(ParseError),
    /// Samples could not be sorted on disk.
    #[error(
        "its samples do not fit into memory, and cannot be sorted in {} (--temporary-directory names another place, --memory allows more memory)",
        directory.display()
    )]
    Sort {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A sample that does not say when.
    #[error(
        "line {line}: {series} has no timestamp, and a history needs one for every sample: write it as the last word of the line, in seconds (OpenMetrics) or milliseconds (Prometheus' text format)"
    )]
    NoTimestamp {
        /// The line, counted from 1.
        line: u64,
        /// The series.
        series: String,
    },
    /// A time that no history spans.
    #[error(
        "line {line}: a timestamp more than 17 years from the first one: seconds and milliseconds are mixed, or it is damaged"
    )]
    FarTimestamp {
        /// The line, counted from 1.
        line: u64,
    },
    /// Too many series.
    #[error("line {line}: more than {limit} watched series: split the file")]
    TooManySeries {
        /// The line, counted from 1.
        line: u64,
        /// How many there may be.
        limit: usize,
    },
}

impl From<ParseError> for ReadProblem {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

/// What is wrong with a line, in words for a file instead of a scrape.
fn in_a_file(error: &ParseError) -> String {
    match error.problem {
        ParseProblem::NoEof => format!(
            "line {}: the file ends without `# EOF`: it was cut off, or never finished; write it anew, or append that line if you know that it is whole",
            error.line
        ),
        ParseProblem::Html => format!("line {}: this is HTML, not samples", error.line),
        ParseProblem::Json => format!(
            "line {}: this is JSON, not samples: OpenMetrics or Prometheus' text format with timestamps is read",
            error.line
        ),
        _ => error.to_string(),
    }
}
