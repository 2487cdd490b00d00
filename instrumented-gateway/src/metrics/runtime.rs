//! The tokio runtime and the fan-out tasks, as levels and totals.
//!
//! tokio-metrics' own reporter publishes the differences between two intervals, in which a steady leak looks constant;
//! so the cumulative readings are published here.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Recorder};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio_metrics::TaskMonitor;

use super::{METADATA, key, names};

/// The label of the fan-out's tasks.
const FAN_OUT: [(&str, &str); 1] = [("task", "fan_out")];

/// A total of time, for the lines of our own: name, labels, seconds.
pub(super) type Fraction = (&'static str, &'static [(&'static str, &'static str)], f64);

#[derive(Debug)]
pub(super) struct RuntimeLevels {
    handle: Handle,
    fan_out: TaskMonitor,
    workers: Gauge,
    alive_tasks: Gauge,
    spawned_tasks: Counter,
    global_queue_depth: Gauge,
    local_queue_depth: Gauge,
    blocking_threads: Gauge,
    blocking_queue_depth: Gauge,
    io_registrations: Gauge,
    polls: Counter,
    parks: Counter,
    forced_yields: Counter,
    task_live: Gauge,
    task_instrumented: Counter,
    task_polls: Counter,
    task_slow_polls: Counter,
}

impl RuntimeLevels {
    pub(super) fn new(recorder: &dyn Recorder, handle: Handle, fan_out: TaskMonitor) -> Self {
        let gauge = |name| recorder.register_gauge(&key(name, []), &METADATA);
        let counter = |name| recorder.register_counter(&key(name, []), &METADATA);
        let task_counter = |name| recorder.register_counter(&key(name, FAN_OUT), &METADATA);
        Self {
            handle,
            fan_out,
            workers: gauge(names::TOKIO_WORKERS),
            alive_tasks: gauge(names::TOKIO_ALIVE_TASKS),
            spawned_tasks: counter(names::TOKIO_SPAWNED_TASKS),
            global_queue_depth: gauge(names::TOKIO_GLOBAL_QUEUE_DEPTH),
            local_queue_depth: gauge(names::TOKIO_LOCAL_QUEUE_DEPTH),
            blocking_threads: gauge(names::TOKIO_BLOCKING_THREADS),
            blocking_queue_depth: gauge(names::TOKIO_BLOCKING_QUEUE_DEPTH),
            io_registrations: gauge(names::TOKIO_IO_REGISTRATIONS),
            polls: counter(names::TOKIO_POLLS),
            parks: counter(names::TOKIO_PARKS),
            forced_yields: counter(names::TOKIO_FORCED_YIELDS),
            task_live: recorder.register_gauge(&key(names::TOKIO_TASK_LIVE, FAN_OUT), &METADATA),
            task_instrumented: task_counter(names::TOKIO_TASK_INSTRUMENTED),
            task_polls: task_counter(names::TOKIO_TASK_POLLS),
            task_slow_polls: task_counter(names::TOKIO_TASK_SLOW_POLLS),
        }
    }

    /// Publishes the levels and whole totals, and returns the totals of time.
    pub(super) fn publish(&self) -> [Fraction; 4] {
        let runtime = self.handle.metrics();
        let busy = self.publish_runtime(&runtime);
        let tasks = self.fan_out.cumulative();
        let live = tasks.instrumented_count.saturating_sub(tasks.dropped_count);
        self.task_live.set(live as f64);
        self.task_instrumented.absolute(tasks.instrumented_count);
        self.task_polls.absolute(tasks.total_poll_count);
        self.task_slow_polls.absolute(tasks.total_slow_poll_count);
        let task_seconds = |name, duration: Duration| (name, &FAN_OUT[..], duration.as_secs_f64());
        [
            (names::TOKIO_BUSY_SECONDS, &[], busy.as_secs_f64()),
            task_seconds(names::TOKIO_TASK_POLL_SECONDS, tasks.total_poll_duration),
            task_seconds(
                names::TOKIO_TASK_SCHEDULED_SECONDS,
                tasks.total_scheduled_duration,
            ),
            task_seconds(names::TOKIO_TASK_IDLE_SECONDS, tasks.total_idle_duration),
        ]
    }

    fn publish_runtime(&self, runtime: &RuntimeMetrics) -> Duration {
        let workers = 0..runtime.num_workers();
        let sum = |read: fn(&RuntimeMetrics, usize) -> u64| -> u64 {
            workers.clone().map(|worker| read(runtime, worker)).sum()
        };
        self.workers.set(runtime.num_workers() as f64);
        self.alive_tasks.set(runtime.num_alive_tasks() as f64);
        self.spawned_tasks.absolute(runtime.spawned_tasks_count());
        self.global_queue_depth
            .set(runtime.global_queue_depth() as f64);
        let local_queue_depth: usize = workers
            .clone()
            .map(|worker| runtime.worker_local_queue_depth(worker))
            .sum();
        self.local_queue_depth.set(local_queue_depth as f64);
        self.blocking_threads
            .set(runtime.num_blocking_threads() as f64);
        self.blocking_queue_depth
            .set(runtime.blocking_queue_depth() as f64);
        let registrations = runtime
            .io_driver_fd_registered_count()
            .saturating_sub(runtime.io_driver_fd_deregistered_count());
        self.io_registrations.set(registrations as f64);
        self.polls.absolute(sum(RuntimeMetrics::worker_poll_count));
        self.parks.absolute(sum(RuntimeMetrics::worker_park_count));
        self.forced_yields
            .absolute(runtime.budget_forced_yield_count());
        workers
            .map(|worker| runtime.worker_total_busy_duration(worker))
            .sum()
    }
}
