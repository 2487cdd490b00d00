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

/// Reading the process' state needs descriptors. Where there are none left, that says how many are open: all of them.
fn completed(mut read: Metrics, limit: impl FnOnce() -> Option<u64>) -> Metrics {
    if read.open_fds.is_none() {
        read.max_fds = read.max_fds.or_else(limit);
        read.open_fds = read.max_fds;
    }
    read
}

fn descriptor_limit() -> Option<u64> {
    rlimit::Resource::NOFILE.get_soft().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_descriptors_all_of_them_are_open() {
        let read = completed(Metrics::default(), || Some(1024));
        assert_eq!((read.open_fds, read.max_fds), (Some(1024), Some(1024)));
    }

    #[test]
    fn what_was_read_stands() {
        let read = Metrics {
            open_fds: Some(7),
            max_fds: Some(100),
            ..Metrics::default()
        };
        let read = completed(read, || panic!("not asked"));
        assert_eq!((read.open_fds, read.max_fds), (Some(7), Some(100)));
    }
}
