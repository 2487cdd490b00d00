//! What the agent knows without configuration, as one table.
//!
//! To add a level: a row in [`LEVELS`], with the unit in the plural, floors below which growth is nobody's business,
//! the family that holds its limit where there is one, and the first thing to do when it leaks. Left out on purpose:
//! - `process_cpu_seconds_total` as load: a leak that burns CPU would excuse itself;
//! - `promhttp_metric_handler_requests_total` as load: it counts scrapes;
//! - `go_threads`: Go's runtime never gives a thread back, so it is a high-water mark and no level;
//! - `go_memstats_*`: resident memory says it once, for every language.

use std::sync::Arc;

use super::{Exact, Family, LevelSpec, Limit, Role};

/// Families of a ledger start with this.
pub(super) const LEDGER_PREFIX: &str = "resource_ledger_";

/// The counter of entries closed in a ledger's account, by outcome.
pub(crate) const CLOSED: &str = "resource_ledger_closed_total";

/// Counters of load, the best first: the more directly one counts requests of users, the better.
pub(super) const LOAD: &[&str] = &[
    // instrumented-gateway, its `gateway_` family.
    "gateway_requests_total",
    // Any service that keeps a ledger; its series with resource="request".
    "resource_ledger_opened_total",
    // The usual names of client_golang, prom-client and prometheus_client middleware.
    "http_requests_total",
    "http_server_requests_total",
    "http_request_duration_seconds_count",
    // Micrometer.
    "http_server_requests_seconds_count",
    // OpenTelemetry semantic conventions, "HTTP metrics".
    "http_server_request_duration_seconds_count",
    // go-grpc-middleware.
    "grpc_server_started_total",
];

/// A family that is no level.
pub(super) struct FamilyRow {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) first_action: &'static str,
}

/// Families that are no level.
pub(super) const FAMILIES: &[FamilyRow] = &[
    FamilyRow {
        name: "resource_ledger_orphaned",
        role: Role::Exact(Exact::Orphaned),
        first_action: "Ask GET /debug/open?order=age for the entries whose owner has ended, and cancel that work when \
                       the request ends; until then, restart the instances with the most of them.",
    },
    FamilyRow {
        name: "resource_ledger_overdue",
        role: Role::Exact(Exact::Overdue),
        first_action: "Ask GET /debug/open?order=age for what is past its deadline, and see which upstream it waits \
                       for; bound that wait at the named place.",
    },
    FamilyRow {
        name: "resource_ledger_oldest_age_seconds",
        role: Role::OldestAge,
        first_action: "",
    },
    FamilyRow {
        name: "resource_ledger_opened_total",
        role: Role::Opened,
        first_action: "",
    },
    FamilyRow {
        name: CLOSED,
        role: Role::Closed,
        first_action: "Ask GET /debug/closed?resource=response_body for the place that drops bodies unread, and read \
                       them to their end there (or drain them within a bound).",
    },
    FamilyRow {
        name: "process_start_time_seconds",
        role: Role::StartTime,
        first_action: "",
    },
    FamilyRow {
        name: "gateway_upstream_requests_total",
        role: Role::UpstreamResult,
        first_action: "",
    },
    FamilyRow {
        name: "gateway_upstream_rejected_total",
        role: Role::UpstreamRejected,
        first_action: "",
    },
    FamilyRow {
        name: "gateway_pool_waiters",
        role: Role::Waiters,
        first_action: "",
    },
    FamilyRow {
        name: "gateway_pool_connections",
        role: Role::PoolState,
        first_action: "",
    },
];

/// A level that must not grow for ever.
pub(super) struct LevelRow {
    pub(super) signal: &'static str,
    pub(super) unit: &'static str,
    pub(super) integer: bool,
    pub(super) absolute_floor: f64,
    pub(super) relative_floor: f64,
    pub(super) limit: Option<&'static str>,
    pub(super) first_action: &'static str,
}

/// Fewer things than this are nobody's business. These three floors are those that the detector's README is measured
/// with; a growth must pass both of its own to be worth a ticket.
const LEAST_COUNT: f64 = 8.0;

/// The same for bytes: 16 MiB.
const LEAST_BYTES: f64 = 16.0 * 1_048_576.0;

/// The same as a share of the level from which it grew.
const LEAST_SHARE: f64 = 0.1;

/// The levels.
pub(super) const LEVELS: &[LevelRow] = &[
    LevelRow {
        signal: "resource_ledger_open",
        unit: "entries",
        integer: true,
        absolute_floor: LEAST_COUNT,
        relative_floor: LEAST_SHARE,
        limit: None,
        first_action: "Ask GET /debug/open?order=age of a leaking instance for its oldest entries: their place in the \
                       code is where they are not ended.",
    },
    LevelRow {
        signal: "process_open_fds",
        unit: "descriptors",
        integer: true,
        absolute_floor: LEAST_COUNT,
        relative_floor: LEAST_SHARE,
        limit: Some("process_max_fds"),
        first_action: "List the descriptors of a leaking instance (`ls -l /proc/PID/fd`, `ss -tnp`): what repeats is \
                       what leaks. Many sockets to one peer mean bodies not closed or a pool without limit.",
    },
    LevelRow {
        signal: "process_resident_memory_bytes",
        unit: "bytes",
        integer: false,
        absolute_floor: LEAST_BYTES,
        relative_floor: LEAST_SHARE,
        limit: None,
        first_action: "Take a heap profile of a leaking instance and one of a fresh one and compare them; restart the \
                       leaking ones before the kernel does.",
    },
    LevelRow {
        signal: "go_goroutines",
        unit: "goroutines",
        integer: true,
        absolute_floor: LEAST_COUNT,
        relative_floor: LEAST_SHARE,
        limit: None,
        first_action: "Fetch /debug/pprof/goroutine?debug=1 of a leaking instance: the largest group waits at the place \
                       that leaks. `readLoop` and `writeLoop` in pairs mean bodies that were not closed.",
    },
    LevelRow {
        signal: "process_threads",
        unit: "threads",
        integer: true,
        absolute_floor: LEAST_COUNT,
        relative_floor: LEAST_SHARE,
        limit: None,
        first_action: "List the threads of a leaking instance by name (`ps -T -p PID`): what repeats is the pool or \
                       library that starts them without end.",
    },
];

impl FamilyRow {
    pub(super) fn family(&self) -> Family {
        Family {
            role: self.role.clone(),
            first_action: Arc::from(self.first_action),
        }
    }
}

impl LevelRow {
    pub(super) fn level(&self, load: &Arc<[Arc<str>]>) -> LevelSpec {
        LevelSpec {
            signal: Arc::from(self.signal),
            unit: Arc::from(self.unit),
            integer: self.integer,
            absolute_floor: self.absolute_floor,
            relative_floor: self.relative_floor,
            limit: self.limit.map(|name| Limit::Family(Arc::from(name))),
            load: Arc::clone(load),
            first_action: Arc::from(self.first_action),
        }
    }
}
