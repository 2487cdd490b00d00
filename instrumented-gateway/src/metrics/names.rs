//! Every name of a metric of the gateway's own, with its kind and help text. No name stands anywhere else.

use ::metrics::{KeyName, Recorder};

pub(super) const REQUESTS: &str = "gateway_requests_total";
pub(super) const REQUEST_DURATION: &str = "gateway_request_duration_seconds";
pub(super) const HANDLER_PANICS: &str = "gateway_handler_panics_total";
pub(super) const CLIENT_CONNECTIONS: &str = "gateway_client_connections";
pub(super) const CLIENT_CONNECTIONS_LIMIT: &str = "gateway_client_connections_limit";
pub(super) const CLIENT_LIMIT_REACHED: &str = "gateway_client_connections_limit_reached_total";
pub(super) const LIMIT_REACHED: &str = "gateway_limit_reached_total";
pub(super) const CLIENT_CONNECTIONS_SHED: &str = "gateway_client_connections_shed_total";
pub(super) const ACCESS_LOG_DROPPED: &str = "gateway_access_log_dropped_lines_total";
pub(super) const CLIENT_TIMEOUTS: &str = "gateway_client_timeouts_total";
pub(super) const TLS_HANDSHAKE_FAILURES: &str = "gateway_tls_handshake_failures_total";
pub(super) const TLS_RELOADS: &str = "gateway_tls_reloads_total";
pub(super) const UPSTREAM_TLS_RELOADS: &str = "gateway_upstream_tls_reloads_total";
pub(super) const HTTP2_RESETS_LIMIT_REACHED: &str = "gateway_http2_resets_limit_reached_total";
pub(super) const ACCEPT_FAILURES: &str = "gateway_accept_failures_total";

pub(super) const POOL_CONNECTIONS: &str = "gateway_pool_connections";
pub(super) const POOL_LIMIT: &str = "gateway_pool_limit";
pub(super) const POOL_WAITERS: &str = "gateway_pool_waiters";
pub(super) const POOL_CONNECTS: &str = "gateway_pool_connects_total";
pub(super) const POOL_REUSES: &str = "gateway_pool_reuses_total";
pub(super) const UPSTREAM_REQUESTS: &str = "gateway_upstream_requests_total";
pub(super) const UPSTREAM_REQUEST_DURATION: &str = "gateway_upstream_request_duration_seconds";
pub(super) const UPSTREAM_INTERIM: &str = "gateway_upstream_interim_responses_total";
pub(super) const UPSTREAM_REJECTED: &str = "gateway_upstream_rejected_total";
pub(super) const RESPONSE_HEAD_LIMIT_REACHED: &str =
    "gateway_upstream_response_head_limit_reached_total";
pub(super) const CONFIG_RELOAD_SUCCESSFUL: &str = "gateway_config_last_reload_successful";
pub(super) const CONFIG_RELOAD_SUCCESS_TIMESTAMP: &str =
    "gateway_config_last_reload_success_timestamp_seconds";
pub(super) const DRILL_ACTIVE: &str = "gateway_drill_active";

pub(super) const TOKIO_WORKERS: &str = "tokio_workers";
pub(super) const TOKIO_ALIVE_TASKS: &str = "tokio_alive_tasks";
pub(super) const TOKIO_SPAWNED_TASKS: &str = "tokio_spawned_tasks_total";
pub(super) const TOKIO_GLOBAL_QUEUE_DEPTH: &str = "tokio_global_queue_depth";
pub(super) const TOKIO_LOCAL_QUEUE_DEPTH: &str = "tokio_local_queue_depth";
pub(super) const TOKIO_BLOCKING_THREADS: &str = "tokio_blocking_threads";
pub(super) const TOKIO_BLOCKING_QUEUE_DEPTH: &str = "tokio_blocking_queue_depth";
pub(super) const TOKIO_IO_REGISTRATIONS: &str = "tokio_io_registrations";
pub(super) const TOKIO_POLLS: &str = "tokio_polls_total";
pub(super) const TOKIO_PARKS: &str = "tokio_parks_total";
pub(super) const TOKIO_FORCED_YIELDS: &str = "tokio_forced_yields_total";
pub(super) const TOKIO_BUSY_SECONDS: &str = "tokio_busy_seconds_total";
pub(super) const TOKIO_TASK_LIVE: &str = "tokio_task_live";
pub(super) const TOKIO_TASK_INSTRUMENTED: &str = "tokio_task_instrumented_total";
pub(super) const TOKIO_TASK_POLLS: &str = "tokio_task_polls_total";
pub(super) const TOKIO_TASK_SLOW_POLLS: &str = "tokio_task_slow_polls_total";
pub(super) const TOKIO_TASK_POLL_SECONDS: &str = "tokio_task_poll_seconds_total";
pub(super) const TOKIO_TASK_SCHEDULED_SECONDS: &str = "tokio_task_scheduled_seconds_total";
pub(super) const TOKIO_TASK_IDLE_SECONDS: &str = "tokio_task_idle_seconds_total";

pub(super) const PROCESS_CPU_SECONDS: &str = "process_cpu_seconds_total";
pub(super) const PROCESS_OPEN_FDS: &str = "process_open_fds";
pub(super) const PROCESS_MAX_FDS: &str = "process_max_fds";
pub(super) const PROCESS_VIRTUAL_MEMORY: &str = "process_virtual_memory_bytes";
pub(super) const PROCESS_VIRTUAL_MEMORY_MAX: &str = "process_virtual_memory_max_bytes";
pub(super) const PROCESS_RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
pub(super) const PROCESS_START_TIME: &str = "process_start_time_seconds";
pub(super) const PROCESS_THREADS: &str = "process_threads";

const COUNTERS: &[(&str, &str)] = &[
    (
        REQUESTS,
        "Requests ended, by the configured path of their route and the status sent; 499 where the client left first.",
    ),
    (
        HANDLER_PANICS,
        "Panics in handlers of requests, each answered with 500.",
    ),
    (
        CLIENT_LIMIT_REACHED,
        "Times that a listener stopped accepting because its connection limit was reached.",
    ),
    (
        LIMIT_REACHED,
        "Requests refused or cut by a limit of the listener or of their route, by the limit.",
    ),
    (
        CLIENT_CONNECTIONS_SHED,
        "Client connections answered with 503, or closed, because few descriptors were left.",
    ),
    (
        ACCESS_LOG_DROPPED,
        "Lines of the access log dropped because it could not be written as fast as they came.",
    ),
    (
        CLIENT_TIMEOUTS,
        "Client connections closed because the head of a request did not come in time, idle ones among them.",
    ),
    (
        ACCEPT_FAILURES,
        "Accepts that failed for want of descriptors or memory; each is followed by a pause.",
    ),
    (
        TLS_HANDSHAKE_FAILURES,
        "Clients that were not let in: the TLS handshake came to nothing or took too long.",
    ),
    (
        TLS_RELOADS,
        "Times that a listener's changed certificates were read again; where the result is refused, the former stayed in force.",
    ),
    (
        UPSTREAM_TLS_RELOADS,
        "Times that the changed certificates for an upstream were read again; where the result is refused, the former stayed in force.",
    ),
    (
        HTTP2_RESETS_LIMIT_REACHED,
        "Client connections cut because they reset request after request over HTTP/2.",
    ),
    (POOL_CONNECTS, "Transport connections begun to an upstream."),
    (
        POOL_REUSES,
        "Exchanges that got a connection which had served before.",
    ),
    (
        UPSTREAM_REQUESTS,
        "Exchanges with an upstream, by how they ended.",
    ),
    (
        UPSTREAM_INTERIM,
        "Interim responses (1xx) of an upstream, which are read over and not passed on.",
    ),
    (
        UPSTREAM_REJECTED,
        "Exchanges refused before the upstream was asked, by the limit that refused them.",
    ),
    (
        RESPONSE_HEAD_LIMIT_REACHED,
        "Answers of an upstream whose head was larger than allowed, each answered with 502.",
    ),
    (TOKIO_SPAWNED_TASKS, "Tasks spawned on the runtime."),
    (TOKIO_POLLS, "Polls of tasks by all workers."),
    (TOKIO_PARKS, "Times that workers parked."),
    (
        TOKIO_FORCED_YIELDS,
        "Times that a task had used up its budget and was made to yield.",
    ),
    (TOKIO_TASK_INSTRUMENTED, "Tasks of this kind ever begun."),
    (TOKIO_TASK_POLLS, "Polls of tasks of this kind."),
    (
        TOKIO_TASK_SLOW_POLLS,
        "Polls of tasks of this kind that took longer than 50 microseconds.",
    ),
];

const GAUGES: &[(&str, &str)] = &[
    (CLIENT_CONNECTIONS, "Client connections open, by listener."),
    (
        CLIENT_CONNECTIONS_LIMIT,
        "Client connections allowed at a time, by listener.",
    ),
    (
        POOL_CONNECTIONS,
        "Connections to an upstream by state; their sum is what the ledger says is open.",
    ),
    (
        POOL_LIMIT,
        "Connections that an upstream's pools may hold, the sum over its endpoints.",
    ),
    (
        POOL_WAITERS,
        "Requests that wait for a connection to an upstream.",
    ),
    (
        CONFIG_RELOAD_SUCCESSFUL,
        "Whether the last attempt to read the configuration succeeded: 0 or 1.",
    ),
    (
        CONFIG_RELOAD_SUCCESS_TIMESTAMP,
        "When the configuration in force was read, in seconds since the unix epoch.",
    ),
    (
        DRILL_ACTIVE,
        "Whether a drill makes the gateway leak on purpose: 0 or 1.",
    ),
    (TOKIO_WORKERS, "Worker threads of the runtime."),
    (
        TOKIO_ALIVE_TASKS,
        "Tasks alive on the runtime, without blocking ones.",
    ),
    (
        TOKIO_GLOBAL_QUEUE_DEPTH,
        "Tasks in the runtime's global queue.",
    ),
    (TOKIO_LOCAL_QUEUE_DEPTH, "Tasks in the workers' own queues."),
    (
        TOKIO_BLOCKING_THREADS,
        "Threads of the runtime for blocking work.",
    ),
    (
        TOKIO_BLOCKING_QUEUE_DEPTH,
        "Blocking work that waits for a thread.",
    ),
    (
        TOKIO_IO_REGISTRATIONS,
        "Sockets and other sources registered with the runtime's IO driver.",
    ),
    (TOKIO_TASK_LIVE, "Tasks of this kind alive."),
    (PROCESS_OPEN_FDS, "Number of open file descriptors."),
    (PROCESS_MAX_FDS, "Maximum number of open file descriptors."),
    (PROCESS_VIRTUAL_MEMORY, "Virtual memory size in bytes."),
    (
        PROCESS_VIRTUAL_MEMORY_MAX,
        "Maximum amount of virtual memory available in bytes; 0 where unlimited.",
    ),
    (PROCESS_RESIDENT_MEMORY, "Resident memory size in bytes."),
    (
        PROCESS_START_TIME,
        "Start time of the process since unix epoch in seconds.",
    ),
    (PROCESS_THREADS, "Number of OS threads in the process."),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    (
        REQUEST_DURATION,
        "Seconds from a request's head to the end of its response.",
    ),
    (
        UPSTREAM_REQUEST_DURATION,
        "Seconds from the begin of an exchange with an upstream to its response's head, or to its failure.",
    ),
];

/// Totals of time: the exporter's counters are whole numbers, so these are written by our own lines.
pub(super) const FRACTIONAL: &[(&str, &str)] = &[
    (TOKIO_BUSY_SECONDS, "Seconds that the workers were busy."),
    (
        TOKIO_TASK_POLL_SECONDS,
        "Seconds spent in polls of tasks of this kind.",
    ),
    (
        TOKIO_TASK_SCHEDULED_SECONDS,
        "Seconds that tasks of this kind waited to be polled after they were woken.",
    ),
    (
        TOKIO_TASK_IDLE_SECONDS,
        "Seconds that tasks of this kind waited to be woken.",
    ),
    (
        PROCESS_CPU_SECONDS,
        "Total user and system CPU time spent in seconds.",
    ),
];

/// Registers the help texts. No units: the exporter may append them, and the names are fixed.
pub(super) fn describe(recorder: &dyn Recorder) {
    for (name, help) in COUNTERS {
        recorder.describe_counter(KeyName::from_const_str(name), None, (*help).into());
    }
    for (name, help) in GAUGES {
        recorder.describe_gauge(KeyName::from_const_str(name), None, (*help).into());
    }
    for (name, help) in HISTOGRAMS {
        recorder.describe_histogram(KeyName::from_const_str(name), None, (*help).into());
    }
}
