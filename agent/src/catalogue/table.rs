//! The families that the agent knows and that are no levels, as one table: what counts exactly, what explains levels, and
//! what tells of users. Levels stand in `catalogue.yml`.

use std::sync::Arc;

use super::{Exact, Family, Role};

/// Families of a ledger start with this.
pub(super) const LEDGER_PREFIX: &str = "resource_ledger_";

/// The counter of entries closed in a ledger's account, by outcome.
pub(crate) const CLOSED: &str = "resource_ledger_closed_total";

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

impl FamilyRow {
    pub(super) fn family(&self) -> Family {
        Family {
            first_action: Arc::from(self.first_action),
            ..Family::silent(self.role.clone())
        }
    }
}
