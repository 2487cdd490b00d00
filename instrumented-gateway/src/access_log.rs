//! The access log: one line on standard output for each request, at its end.
//!
//! Whoever serves requests never waits for whoever reads the lines: they go through a bounded queue to a thread of their
//! own, and where that cannot keep up they are dropped, counted, and the log says how many. Nothing is collected for a line
//! while the log is off.

mod line;
mod notes;

pub(crate) use line::Line;
pub(crate) use notes::Notes;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Task};
use tokio::sync::mpsc;

use crate::config::{AccessLogFormat, AccessLogSettings};
use crate::metrics::AccessLogMeters;

/// Lines that wait to be written: a second or two of a busy gateway.
const QUEUE_LINES: usize = 16 * 1024;
/// How much is written at a time.
const BATCH_BYTES: usize = 64 * 1024;

/// Where lines go. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    lines: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    meters: AccessLogMeters,
    /// Lines dropped that the log has not told yet.
    untold: AtomicU64,
}

/// The access log as a configuration asks for it. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Logger {
    pub(crate) log: AccessLog,
    pub(crate) format: AccessLogFormat,
    pub(crate) with_query: bool,
}

impl AccessLog {
    /// A log that writes to `output` until the last clone is gone; the task ends then.
    #[track_caller]
    pub(crate) fn start(
        ledger: &Ledger,
        meters: AccessLogMeters,
        output: impl Write + Send + 'static,
    ) -> (Self, Task<()>) {
        let (lines, queue) = mpsc::channel(QUEUE_LINES);
        let shared = Arc::new(Shared {
            meters,
            untold: AtomicU64::new(0),
        });
        let tasks = ledger.account::<ServiceTaskOutcome>(Labels::new());
        let writer = Arc::clone(&shared);
        let task = ledger.compute(tasks.open(), move || writer.write_all(queue, output));
        (Self { lines, shared }, task)
    }

    /// Queues a line, its end included; or drops it where the queue is full.
    fn write(&self, line: Vec<u8>) {
        if self.lines.try_send(line).is_err() {
            self.shared.dropped(1);
        }
    }

    /// What a configuration makes of it; `None` where that has it off.
    pub(crate) fn logger(&self, settings: AccessLogSettings) -> Option<Logger> {
        Some(Logger {
            log: self.clone(),
            format: settings.format?,
            with_query: settings.with_query,
        })
    }
}

impl Shared {
    fn dropped(&self, lines: u64) {
        self.meters.dropped(lines);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    /// Runs on a thread that may wait.
    fn write_all(&self, mut queue: mpsc::Receiver<Vec<u8>>, mut output: impl Write) {
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        let mut was_broken = false;
        while let Some(line) = queue.blocking_recv() {
            let mut lines = 1;
            batch.extend_from_slice(&line);
            while batch.len() < BATCH_BYTES
                && let Ok(line) = queue.try_recv()
            {
                lines += 1;
                batch.extend_from_slice(&line);
            }
            match output.write_all(&batch).and_then(|()| output.flush()) {
                Ok(()) => was_broken = false,
                Err(error) => {
                    self.dropped(lines);
                    if !was_broken {
                        warn_of(&error);
                    }
                    was_broken = true;
                }
            }
            batch.clear();
            // Told once the writer has caught up, so that a storm of drops is one line.
            if queue.is_empty() && !was_broken {
                self.tell();
            }
        }
        self.tell();
    }

    fn tell(&self) {
        let lines = self.untold.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "access log lines were dropped");
        }
    }
}

fn warn_of(error: &io::Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the access log cannot be written"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Takes nothing before it is told to.
    struct Slow {
        go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.go.recv();
            self.written.lock().expect("alone").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_costs_lines_and_no_time() {
        let ledger = Ledger::default();
        let meters = AccessLogMeters::detached();
        let (go, slow) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let output = Slow {
            go: slow,
            written: Arc::clone(&written),
        };
        let (log, task) = AccessLog::start(&ledger, meters, output);
        // More than the queue and a batch hold, while nothing is taken.
        let lines = QUEUE_LINES + BATCH_BYTES;
        for _ in 0..lines {
            log.write(b"x\n".to_vec());
        }
        let dropped = log.shared.untold.load(Ordering::Relaxed);
        assert!(dropped > 0);
        drop(go);
        drop(log);
        task.join().await.expect("no panic");
        let written = written.lock().expect("alone").len() as u64 / 2;
        assert_eq!(written + dropped, lines as u64);
        assert_eq!(ledger.snapshot().open("service_task"), 0);
    }
}
