//! What a shutdown cuts at its deadline, told before it does.
//!
//! For each resource, route and upstream how many are held and how old the oldest is; and the oldest requests by name, with
//! what each still holds, which is what they wait for.

use std::time::Duration;

use resource_ledger::{Filter, Ledger};

/// What a request holds, and the request itself.
const RESOURCES: [&str; 4] = [
    "request",
    "response_body",
    "fan_out_task",
    "pool_connection",
];
/// Requests that are told by name.
const OLDEST: usize = 5;
/// Entries in which those of the oldest requests are looked for.
const ENTRIES: usize = 1000;

/// Says in the log what is about to be cut, after `waited`.
pub(super) fn report(ledger: &Ledger, waited: Duration) {
    let snapshot = ledger.snapshot();
    for resource in RESOURCES {
        for account in snapshot.of(resource) {
            let open = account.open - account.open_in_state("idle");
            if open > 0 {
                tracing::warn!(
                    resource,
                    route = account.route.as_deref(),
                    upstream = account.upstream.as_deref(),
                    open,
                    oldest_seconds = account.oldest_age.unwrap_or_default().as_secs_f64(),
                    waited_seconds = waited.as_secs_f64(),
                    "cut at the shutdown deadline"
                );
            }
        }
    }
    let requests = ledger.oldest(&only("request"), OLDEST);
    let held = ledger.oldest(&Filter::default(), ENTRIES);
    for request in requests.entries {
        let Some(owner) = &request.owner else {
            continue;
        };
        let holds: Vec<String> = held
            .entries
            .iter()
            .filter(|entry| entry.resource != "request")
            .filter(|entry| {
                let of = entry.owner.as_ref();
                of.is_some_and(|of| of.request_id == owner.request_id)
            })
            .map(|entry| {
                let upstream = entry.upstream.as_deref().unwrap_or("no upstream");
                format!("{} ({}, {upstream})", entry.resource, entry.state)
            })
            .collect();
        tracing::warn!(
            request_id = owner.request_id,
            trace_id = owner.trace_id,
            route = request.route.as_deref(),
            age_seconds = request.age_seconds,
            holds = holds.join(", "),
            "request cut at the shutdown deadline"
        );
    }
}

fn only(resource: &str) -> Filter {
    Filter {
        resource: Some(resource.to_owned()),
        ..Filter::default()
    }
}
