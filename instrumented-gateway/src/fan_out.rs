//! A route that asks several upstreams and answers with one JSON object.
//!
//! The calls are a structured set: each is a counted task under the one deadline, and none outlives the request. When the
//! deadline passes, the client leaves, or (under [`Policy::Error`]) a call fails, the others are aborted and their
//! connections closed, and the answer waits until that has happened. The wrong ways, to wait for every call without a
//! deadline or to answer and let the calls live on, are in [`crate::drill`].

mod answer;
mod call;

pub(crate) use call::{CallError, Called, Planned, outcome};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::header::{ALLOW, HOST};
use http::{HeaderValue, Method, Response, StatusCode};
use resource_ledger::{Labels, OwnerRef, RequestOutcome, TaskSet};
use tokio_metrics::TaskMonitor;

use crate::access_log::Notes;
use crate::body::GatewayBody;
use crate::clock;
use crate::config::{Call, Policy, RouteConfig};
use crate::drill::{Drills, Grip};
use crate::fields::{self, Present};
use crate::forward::{Inbound, failure, plain};
use crate::hop::Hop;
use crate::pool::Fate;
use crate::upstream::{Lane, Upstream};
use answer::Key;
use call::Caller;

/// A configured route that fans out.
#[derive(Debug)]
pub struct FanOut {
    policy: Policy,
    callers: Vec<Arc<Caller>>,
    keys: Vec<Key>,
    drills: Arc<Drills>,
    monitor: TaskMonitor,
    hop: Arc<Hop>,
}

/// How the calls of one request are made, which only a drill does differently.
enum Manner {
    Structured,
    WithoutDeadline(Grip),
    Detached(Grip),
}

impl Manner {
    fn fate(&self, failed: &Arc<AtomicBool>) -> Fate {
        match self {
            Self::Structured => Fate::Sibling(Arc::clone(failed)),
            Self::WithoutDeadline(grip) | Self::Detached(grip) => Fate::Drill(grip.stop().clone()),
        }
    }
}

impl FanOut {
    /// A route that makes `calls`; each finds its upstream in `upstreams`. The tasks are instrumented by `monitor`.
    pub fn new(
        route: &RouteConfig,
        policy: Policy,
        calls: &[Call],
        upstreams: &[Arc<Upstream>],
        drills: &Arc<Drills>,
        monitor: &TaskMonitor,
        hop: &Arc<Hop>,
    ) -> Self {
        let caller = |call: &Call| {
            let upstream = &upstreams[call.upstream];
            let labels = Labels::new()
                .upstream(Arc::clone(upstream.name()))
                .route(Arc::clone(route.label()));
            let tasks = upstream.ledger().account(labels);
            let path = call.path.clone();
            Arc::new(Caller::new(route.label(), upstream, path, tasks))
        };
        Self {
            policy,
            callers: calls.iter().map(caller).collect(),
            keys: calls.iter().map(|call| Key::new(&call.name)).collect(),
            drills: Arc::clone(drills),
            monitor: monitor.clone(),
            hop: Arc::clone(hop),
        }
    }

    /// Makes the calls and gives the answer.
    pub async fn handle(&self, inbound: Inbound) -> Response<GatewayBody> {
        if !matches!(*inbound.request.method(), Method::GET | Method::HEAD) {
            return method_not_allowed();
        }
        let manner = if let Some(grip) = self.drills.no_deadline() {
            Manner::WithoutDeadline(grip)
        } else if let Some(grip) = self.drills.detached_tasks() {
            Manner::Detached(grip)
        } else {
            Manner::Structured
        };
        let failed = Arc::new(AtomicBool::new(false));
        let (owner, deadline) = (inbound.owner.clone(), inbound.deadline);
        let planned = match self.plan(inbound, &manner, &failed) {
            Ok(planned) => planned,
            Err(error) => return failure(&error),
        };
        let called = match &manner {
            Manner::Structured => self.gather(planned, &owner, deadline, &failed).await,
            Manner::WithoutDeadline(grip) => {
                self.drills
                    .wait_for_every_call(grip, planned, &owner, deadline)
                    .await
            }
            Manner::Detached(grip) => {
                self.drills
                    .answer_and_let_live(grip, planned, &owner, deadline)
                    .await
            }
        };
        answer::answer(self.policy, &self.keys, called)
    }

    fn plan(
        &self,
        inbound: Inbound,
        manner: &Manner,
        failed: &Arc<AtomicBool>,
    ) -> Result<Vec<Planned>, crate::error::ForwardError> {
        let (mut head, _) = inbound.request.into_parts();
        let notes = head.extensions.get::<Notes>();
        let host = head.headers.remove(HOST);
        let present = Present::of(&head.headers);
        let mut fields = fields::for_fan_out(head.headers, present);
        self.hop.mark_request(
            &mut fields,
            present,
            head.version,
            &inbound.origin,
            host.as_ref(),
        );
        // Room for what each call adds, made once for all of them: `Host` and the deadline.
        fields.reserve(2);
        let plan = |caller: &Arc<Caller>| {
            let lane = match manner {
                Manner::WithoutDeadline(_) | Manner::Detached(_) => Lane::Exempt,
                Manner::Structured => match self.drills.client_per_request(caller.upstream()) {
                    Some(pool) => Lane::Private(pool),
                    None => Lane::Pool,
                },
            };
            let mut exchange = caller.exchange(
                &inbound.captures,
                head.uri.path(),
                fields.clone(),
                call::Terms {
                    owner: inbound.owner.clone(),
                    deadline: inbound.deadline,
                    enforced: matches!(manner, Manner::Structured),
                    fate: manner.fate(failed),
                    lane,
                },
            )?;
            if let Some(notes) = notes {
                exchange.request.extensions_mut().insert(notes.clone());
            }
            Ok(Arc::clone(caller).plan(exchange, &self.monitor))
        };
        self.callers.iter().map(plan).collect()
    }

    /// Runs the calls as a set that ends by the deadline.
    async fn gather(
        &self,
        planned: Vec<Planned>,
        owner: &OwnerRef,
        deadline: Instant,
        failed: &AtomicBool,
    ) -> Vec<Option<Called>> {
        let mut called: Vec<Option<Called>> = planned.iter().map(|_| None).collect();
        let mut tasks = TaskSet::new();
        let mut ids = Vec::with_capacity(planned.len());
        for (index, (call, caller)) in planned.into_iter().zip(&self.callers).enumerate() {
            let entry = caller.tasks().open_for(Some(owner), Some(deadline));
            let task = tasks.spawn_with(
                entry,
                async move { (index, call.future.await) },
                |(_, called)| call::outcome(called),
            );
            ids.push(task.id());
        }
        while let Some(joined) = tasks.join_next().await {
            let (index, result) = match joined {
                Ok(ended) => ended,
                Err(error) => {
                    let index = ids.iter().position(|id| *id == error.id());
                    (index.unwrap_or_default(), Err(CallError::BrokeOff))
                }
            };
            let ended_well = result.is_ok();
            called[index] = Some(result);
            if !ended_well && self.policy == Policy::Error {
                break;
            }
        }
        // What is left was cancelled by a failure, or is at its deadline at this very moment.
        failed.store(true, Ordering::Release);
        if clock::now() < deadline {
            tasks.abort_all();
        }
        while let Some(joined) = tasks.join_next().await {
            if let Ok((index, result)) = joined {
                called[index] = Some(result);
            }
        }
        called
    }
}

fn method_not_allowed() -> Response<GatewayBody> {
    let text = "this route answers GET and HEAD only\n".to_owned();
    let mut response = plain(
        StatusCode::METHOD_NOT_ALLOWED,
        text,
        RequestOutcome::Rejected,
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
