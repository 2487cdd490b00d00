//! The listings: what is open, where things ended, which tasks live.

use resource_ledger::{ClosedPlace, Filter, Ledger, OpenEntry, OpenOwner};
use serde::Serialize;

use super::Refusal;
use super::query::Query;
use crate::tasks::{TaskPlace, TaskRegistry};

const OPEN_LIMIT: usize = 100;
const OPEN_LIMIT_MOST: usize = 10_000;

/// `/debug/open`: the oldest entries of the ledger.
#[derive(Debug, Serialize)]
pub(super) struct Open {
    total: usize,
    truncated: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    id: u64,
    resource: &'static str,
    upstream: Option<String>,
    route: Option<String>,
    site: String,
    age_seconds: f64,
    state: &'static str,
    deadline_seconds: Option<f64>,
    owner: Option<Owner>,
}

#[derive(Debug, Serialize)]
struct Owner {
    request_id: String,
    trace_id: Option<String>,
    ended_seconds: Option<f64>,
}

/// `/debug/closed`: where the last entry of each account that ended in some way was opened.
#[derive(Debug, Serialize)]
pub(super) struct Closed {
    total: usize,
    places: Vec<ClosedAt>,
}

#[derive(Debug, Serialize)]
struct ClosedAt {
    resource: &'static str,
    upstream: Option<String>,
    route: Option<String>,
    outcome: &'static str,
    site: String,
    count: u64,
}

/// `/debug/tasks`: the places that have tasks alive.
#[derive(Debug, Serialize)]
pub(super) struct Tasks {
    total: u64,
    places: Vec<TaskPlace>,
}

pub(super) fn open(ledger: &Ledger, mut query: Query) -> Result<Open, Refusal> {
    let filter = filter(&mut query);
    if let Some(order) = query.take("order")
        && order != "age"
    {
        let text = format!("order: `{order}` is not known; there is `age`, the oldest first");
        return Err(Refusal::BadParameter(text));
    }
    let limit = query.limit(OPEN_LIMIT, OPEN_LIMIT_MOST)?;
    query.finish()?;
    let listing = ledger.oldest(&filter, limit);
    Ok(Open {
        total: listing.total,
        truncated: listing.truncated,
        entries: listing.entries.into_iter().map(Entry::from).collect(),
    })
}

pub(super) fn closed(ledger: &Ledger, mut query: Query) -> Result<Closed, Refusal> {
    let filter = filter(&mut query);
    let outcome = query.take("outcome");
    query.finish()?;
    let places: Vec<ClosedAt> = ledger
        .last_closed(&filter, outcome.as_deref())
        .into_iter()
        .map(ClosedAt::from)
        .collect();
    Ok(Closed {
        total: places.len(),
        places,
    })
}

pub(super) fn tasks(registry: &TaskRegistry, query: Query) -> Result<Tasks, Refusal> {
    query.finish()?;
    let places = registry.places();
    Ok(Tasks {
        total: places.iter().map(|place| place.count).sum(),
        places,
    })
}

fn filter(query: &mut Query) -> Filter {
    Filter {
        resource: query.take("resource"),
        upstream: query.take("upstream"),
        route: query.take("route"),
        site: query.take("site"),
    }
}

impl From<OpenEntry> for Entry {
    fn from(entry: OpenEntry) -> Self {
        Self {
            id: entry.id,
            resource: entry.resource,
            upstream: entry.upstream.as_deref().map(str::to_owned),
            route: entry.route.as_deref().map(str::to_owned),
            site: entry.site,
            age_seconds: entry.age_seconds,
            state: entry.state,
            deadline_seconds: entry.deadline_seconds,
            owner: entry.owner.map(Owner::from),
        }
    }
}

impl From<OpenOwner> for Owner {
    fn from(owner: OpenOwner) -> Self {
        Self {
            request_id: owner.request_id,
            trace_id: owner.trace_id,
            ended_seconds: owner.ended_seconds,
        }
    }
}

impl From<ClosedPlace> for ClosedAt {
    fn from(place: ClosedPlace) -> Self {
        Self {
            resource: place.resource,
            upstream: place.upstream.as_deref().map(str::to_owned),
            route: place.route.as_deref().map(str::to_owned),
            outcome: place.outcome,
            site: place.site,
            count: place.count,
        }
    }
}
