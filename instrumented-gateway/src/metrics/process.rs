//! The process as Prometheus' client libraries describe it.

use ::metrics::{Gauge, Recorder};
use metrics_process::collector::{Metrics, collect};

use super::{METADATA, key, names};

/// Handles of the levels; the one total, CPU time, has fractions and is given back.
#[derive(Debug)]
pub(super) struct ProcessLevels {
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory: Gauge,
    virtual_memory_max: Gauge,
    resident_memory: Gauge,
    start_time: Gauge,
    threads: Gauge,
}

impl ProcessLevels {
    pub(super) fn new(recorder: &dyn Recorder) -> Self {
        let gauge = |name| recorder.register_gauge(&key(name, []), &METADATA);
        Self {
            open_fds: gauge(names::PROCESS_OPEN_FDS),
            max_fds: gauge(names::PROCESS_MAX_FDS),
            virtual_memory: gauge(names::PROCESS_VIRTUAL_MEMORY),
            virtual_memory_max: gauge(names::PROCESS_VIRTUAL_MEMORY_MAX),
            resident_memory: gauge(names::PROCESS_RESIDENT_MEMORY),
            start_time: gauge(names::PROCESS_START_TIME),
            threads: gauge(names::PROCESS_THREADS),
        }
    }

    /// Publishes the levels and returns the CPU seconds. What cannot be read keeps its last value.
    pub(super) fn publish(&self) -> Option<f64> {
        let now = completed(collect(), descriptor_limit);
        let set = |gauge: &Gauge, value: Option<u64>| {
            if let Some(value) = value {
                gauge.set(value as f64);
            }
        };
        set(&self.open_fds, now.open_fds);
        set(&self.max_fds, now.max_fds);
        set(&self.virtual_memory, now.virtual_memory_bytes);
        set(&self.virtual_memory_max, now.virtual_memory_max_bytes);
        set(&self.resident_memory, now.resident_memory_bytes);
        set(&self.start_time, now.start_time_seconds);
        set(&self.threads, now.threads);
        now.cpu_seconds_total
    }
}

/// Reading the process' state needs descriptors. The limit can be had without; where there are none left to count the
/// open ones, that says how many are open: all of them.
fn completed(mut read: Metrics, limit: impl FnOnce() -> Option<u64>) -> Metrics {
    read.max_fds = read.max_fds.or_else(limit);
    read.open_fds = read.open_fds.or(read.max_fds);
    read
}

fn descriptor_limit() -> Option<u64> {
    rlimit::Resource::NOFILE.get_soft().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(open_fds: Option<u64>, max_fds: Option<u64>, expected: (u64, u64)) {
        let read = Metrics {
            open_fds,
            max_fds,
            ..Metrics::default()
        };
        let read = completed(read, || Some(1024));
        let expected = (Some(expected.0), Some(expected.1));
        assert_eq!((read.open_fds, read.max_fds), expected);
    }

    #[test]
    fn without_descriptors_all_of_them_are_open() {
        check(None, None, (1024, 1024));
        check(Some(1023), None, (1023, 1024));
        check(None, Some(100), (100, 100));
        check(Some(7), Some(100), (7, 100));
    }
}
