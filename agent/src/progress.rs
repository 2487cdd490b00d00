//! How far a long command is: one line that is written over and over, on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::clock;

/// No more often than this.
const EVERY: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    written_at: Option<Instant>,
    asked: u32,
}

impl Progress {
    /// Shown where standard error is a terminal.
    pub(crate) fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
            written_at: None,
            asked: 0,
        }
    }

    /// Writes the line anew, if it is time: for those who come by thousands of times a second.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        self.asked = self.asked.wrapping_add(1);
        // Reading the clock costs more than many a slice.
        if !self.is_shown || !self.asked.is_multiple_of(64) {
            return;
        }
        let now = clock::instant();
        if self
            .written_at
            .is_none_or(|at| now.saturating_duration_since(at) >= EVERY)
        {
            self.write(now, &line());
        }
    }

    /// Writes the line anew, whenever it was written last.
    pub(crate) fn say_now(&mut self, line: &str) {
        if self.is_shown {
            self.write(clock::instant(), line);
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&mut self) {
        if self.written_at.take().is_some() {
            write("\r\u{1b}[K");
        }
    }

    fn write(&mut self, now: Instant, line: &str) {
        self.written_at = Some(now);
        write(&format!("\r\u{1b}[K{line}"));
    }
}

/// A terminal that is gone is nobody's loss.
fn write(text: &str) {
    let mut terminal = io::stderr().lock();
    let _ = terminal.write_all(text.as_bytes());
    let _ = terminal.flush();
}
