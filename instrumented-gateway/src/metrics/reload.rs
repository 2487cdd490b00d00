//! Whether the configuration in force is the one in the file.

use ::metrics::{Gauge, Recorder};

use super::{METADATA, SharedRecorder, key, names};

/// What reloads say of themselves, as Prometheus does of its own.
#[derive(Debug)]
pub(crate) struct ReloadMeters {
    successful: Gauge,
    success_timestamp: Gauge,
}

impl ReloadMeters {
    /// A gateway that has just read its configuration, at `unix_seconds`.
    pub(crate) fn new(recorder: &SharedRecorder, unix_seconds: f64) -> Self {
        let gauge = |name| recorder.register_gauge(&key(name, []), &METADATA);
        let meters = Self {
            successful: gauge(names::CONFIG_RELOAD_SUCCESSFUL),
            success_timestamp: gauge(names::CONFIG_RELOAD_SUCCESS_TIMESTAMP),
        };
        meters.succeeded(unix_seconds);
        meters
    }

    /// Another configuration is in force since `unix_seconds`.
    pub(crate) fn succeeded(&self, unix_seconds: f64) {
        self.successful.set(1.0);
        self.success_timestamp.set(unix_seconds);
    }

    /// The file was refused, what was in force stays.
    pub(crate) fn refused(&self) {
        self.successful.set(0.0);
    }
}
