//! The gateway: one request's way from its head to the end of its answer.
//!
//! A request is checked, routed, given an owner in the ledger, and handed to its route's handler. Whatever happens to it
//! then (an answer, a panic, a client that leaves) ends in one place, `exchange::Record`, which counts it once. The
//! owner travels with the answer's body, because that is what the server drops last.

mod builder;
mod client;
mod connection;
mod cut;
mod descriptors;
mod exchange;
mod final_recipient;
mod fleet;
mod guarded;
mod http2;
mod identity;
mod reload;
mod request;
mod running;
mod server;
mod shed;
mod table;
mod trace;
mod unwind;

pub use reload::{ReloadError, Reloaded};
pub use running::{Running, StartError};
pub use server::BindError;

pub(crate) use client::Client;
pub(crate) use server::Handler;
use table::{Parts, Table};

use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use resource_ledger::{Account, Labels, Ledger, Owner, RequestOutcome};

use crate::body::GatewayBody;
use crate::config::Config;
use crate::fields::Present;
use crate::forward::{Inbound, plain};
use crate::metrics::PanicMeter;
use crate::route::Lookup;
use exchange::{Answer, Record};
use request::Refusal;
use unwind::Panicked;

/// A gateway in this process: [`Gateway::start`] runs one on the current runtime.
#[derive(Debug)]
pub struct Gateway;

/// Answers the requests of the main listener. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Front(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What is in force. A request holds the one that it met until its handler has returned.
    table: RwLock<Arc<Table>>,
    panics: PanicMeter,
}

impl Front {
    pub(crate) fn new(config: &Config, parts: &Parts<'_>) -> Self {
        Self(Arc::new(Shared {
            table: RwLock::new(Arc::new(Table::new(config, parts, None))),
            panics: PanicMeter::new(parts.recorder),
        }))
    }

    /// Answers by another configuration from the next request on.
    pub(crate) fn replace(&self, config: &Config, parts: &Parts<'_>) {
        let next = Arc::new(Table::new(config, parts, Some(&self.table())));
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *table, next);
        drop(table);
        // Outside the lock: it may be the last that holds all of its routes.
        drop(before);
    }

    fn table(&self) -> Arc<Table> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&table)
    }

    async fn answer(&self, mut request: Request<Incoming>, client: Client) -> Response<Answer> {
        let table = self.table();
        let origin = table.origin(&client);
        if request.headers().len() > table.max_headers {
            return table.refuse(request, &client, &origin, Refusal::TooManyFields);
        }
        let present = Present::of(request.headers());
        let found = match table.settle(&mut request, present, &origin) {
            Ok(None) => table.paths.find(request.uri().path()),
            Ok(Some(response)) => return table.conclude(request, &client, &origin, response),
            Err(refusal) => return table.refuse(request, &client, &origin, refusal),
        };
        let (route, captures) = match found {
            Lookup::Found { route, captures } => (&table.routes[route], captures),
            Lookup::DotSegment => {
                return table.refuse(request, &client, &origin, Refusal::DotSegment);
            }
            Lookup::Unmatched => {
                return table.refuse(request, &client, &origin, Refusal::Unmatched);
            }
        };
        let upload = match route.bound(request.body()) {
            Ok(bound) => bound,
            Err(refusal) => {
                return table.refuse_on(&route.ends, request, &client, &origin, refusal);
            }
        };
        let (place, waiting) = match route.enter() {
            Ok(places) => places,
            Err(refusal) => {
                return table.refuse_on(&route.ends, request, &client, &origin, refusal);
            }
        };
        let id = identity::identify(request.headers_mut(), present, origin.trusted);
        let line = table.line(&client, &route.ends, &mut request, &id);
        // Declared before the handler's future, and so dropped after it where the client leaves.
        let owner = Owner::begin(&route.ends.requests, id);
        let record = Record::new(&route.ends.meters).logged(line).within(place);
        let deadline = route.deadline(request.headers(), present, &origin);
        client.limit_stall(route.stall_limit);
        let inbound = Inbound {
            request,
            upload,
            cut: client.cut().clone(),
            captures,
            owner: owner.reference(),
            deadline,
            origin,
        };
        // Pinned where it is: it is kilobytes long, and whatever takes it by value would copy it.
        let response = {
            let handled = pin!(route.action.handle(inbound));
            self.supervise(&owner, handled).await
        };
        drop(waiting);
        exchange::answer(response, owner, record, &client)
    }

    /// Runs a handler to its end, a panic included.
    async fn supervise(
        &self,
        owner: &Owner,
        handled: impl Future<Output = Response<GatewayBody>>,
    ) -> Response<GatewayBody> {
        match unwind::catch(handled).await {
            Ok(response) => response,
            Err(panicked) => self.panicked(owner, &panicked),
        }
    }

    fn panicked(&self, owner: &Owner, panicked: &Panicked) -> Response<GatewayBody> {
        self.0.panics.panicked();
        tracing::error!(
            request_id = owner.reference().id().request_id,
            panic = panicked.0,
            "a handler panicked"
        );
        let text = "the gateway made a mistake\n".to_owned();
        plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            text,
            RequestOutcome::Failed,
        )
    }
}

/// The account of a route's requests, with this file as its site: a name that stays when the code moves.
fn requests(ledger: &Ledger, labels: Labels) -> Account<RequestOutcome> {
    ledger.account(labels)
}

impl Handler for Front {
    type Body = Answer;

    async fn handle(&self, request: Request<Incoming>, client: Client) -> Response<Answer> {
        self.answer(request, client).await
    }

    fn refused(&self, status: StatusCode, client: &Client) {
        self.table().unread(status, client);
    }
}

#[cfg(test)]
mod tests;
