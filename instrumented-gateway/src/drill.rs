//! Drills: the faults of a well-known outage, committed on purpose.
//!
//! A drill breaks the enforcement, never the promise: what it leaks keeps the owner, the deadline and the idle limit that a
//! healthy gateway would have given it, so that `orphaned` and `overdue` show it. What it leaks is exempt from the pools' and
//! the in-flight limits, so that the rest of the gateway goes on. Every offending line is in this file, and that is where the
//! ledger's entries, and so metrics and listings, say it is. Nothing here runs unless somebody starts it; starting and
//! stopping are logged, and stopping releases all that is held.

mod name;

pub use name::{Drill, DrillError, DrillRequest, Share};

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::Response;
use resource_ledger::{ConnectionOutcome, Labels, Ledger, OwnerRef, TaskSet};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::body::GatewayBody;
use crate::clock;
use crate::error::Stage;
use crate::fan_out::{CallError, Called, Planned, outcome};
use crate::fields;
use crate::forward::answer;
use crate::pool::Pool;
use crate::upstream::{Reply, Upstream, UpstreamBody};
use name::SHARE_BITS;

/// The gateway's drills, all of them off at first.
#[derive(Debug)]
pub struct Drills {
    ledger: Ledger,
    /// How many are on: one load tells a healthy gateway's requests that there is nothing to see.
    active: AtomicUsize,
    switches: [Switch; Drill::ALL.len()],
}

#[derive(Debug, Default)]
struct Switch {
    state: Mutex<State>,
    /// Adds up the share request by request; an affected one is where the sum passes a whole number.
    phase: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    share: Option<Share>,
    /// Cancelled when the drill stops: ends the tasks that it lets live.
    stop: CancellationToken,
    bodies: Vec<UpstreamBody>,
    pools: Vec<Pool>,
    /// Pools at which those that hold no connection any more are thrown away.
    prune_pools_at: usize,
}

/// A request that a drill affects. What it leaks is released when the drill stops, or at once if it has stopped since.
#[derive(Debug)]
pub(crate) struct Grip {
    drill: Drill,
    stop: CancellationToken,
}

/// What becomes of the body of a request that a drill affects.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// Neither read nor dropped.
    Kept(Grip),
    /// Dropped unread.
    Dropped,
}

const PRUNE_POOLS_AT_LEAST: usize = 1024;

impl Grip {
    /// Cancelled when the drill stops.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drills {
    /// All drills of a gateway, off.
    pub fn new(ledger: &Ledger) -> Arc<Self> {
        Arc::new(Self {
            ledger: ledger.clone(),
            active: AtomicUsize::new(0),
            switches: Default::default(),
        })
    }

    /// Starts a drill, or changes its share where it runs already.
    pub fn start(&self, drill: Drill, share: Share) {
        let before = {
            let mut state = self.state(drill);
            if state.share.is_none() {
                state.stop = CancellationToken::new();
                self.active.fetch_add(1, Ordering::AcqRel);
            }
            state.share.replace(share)
        };
        if before != Some(share) {
            tracing::warn!(
                drill = drill.name(),
                share = share.0,
                "drill started: the gateway now commits a fault on purpose"
            );
        }
    }

    /// Stops a drill and releases everything that it holds. Does nothing where it does not run.
    pub fn stop(&self, drill: Drill) {
        let stopped = {
            let mut state = self.state(drill);
            if state.share.is_none() {
                return;
            }
            self.active.fetch_sub(1, Ordering::AcqRel);
            std::mem::take(&mut *state)
        };
        stopped.stop.cancel();
        let (bodies, pools) = (stopped.bodies.len(), stopped.pools.len());
        for body in stopped.bodies {
            body.close(ConnectionOutcome::Evicted);
        }
        for pool in stopped.pools {
            pool.close(ConnectionOutcome::Evicted);
        }
        tracing::warn!(
            drill = drill.name(),
            bodies,
            pools,
            "drill stopped: what it held is released"
        );
    }

    /// Stops all drills, as the gateway's shutdown does.
    pub fn stop_all(&self) {
        Drill::ALL.into_iter().for_each(|drill| self.stop(drill));
    }

    /// The share of requests that a drill affects now; `None` where it does not run.
    pub fn share(&self, drill: Drill) -> Option<Share> {
        self.state(drill).share
    }

    fn switch(&self, drill: Drill) -> &Switch {
        &self.switches[drill as usize]
    }

    fn state(&self, drill: Drill) -> MutexGuard<'_, State> {
        self.switch(drill)
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this request is one of those that the drill affects: evenly spread, and exactly its share of them.
    fn affects(&self, drill: Drill) -> Option<Grip> {
        if self.active.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let state = self.state(drill);
        let step = state.share?.step();
        let before = self.switch(drill).phase.fetch_add(step, Ordering::Relaxed);
        let passes = (before.wrapping_add(step) >> SHARE_BITS) != (before >> SHARE_BITS);
        passes.then(|| Grip {
            drill,
            stop: state.stop.clone(),
        })
    }

    /// Holds on to something, unless the drill has been stopped since.
    fn hold<T>(&self, grip: &Grip, thing: T, keep: impl FnOnce(&mut State, T)) -> Option<T> {
        let mut state = self.state(grip.drill);
        if grip.stop.is_cancelled() {
            return Some(thing);
        }
        keep(&mut state, thing);
        None
    }

    /// The drill `client-per-request`: a client, and so a pool, for this one request.
    pub(crate) fn client_per_request(&self, upstream: &Upstream) -> Option<Pool> {
        let grip = self.affects(Drill::ClientPerRequest)?;
        let labels = Labels::new().upstream(Arc::clone(upstream.name()));
        let connections = self.ledger.account(labels);
        let pool = upstream.client_of_its_own(&connections);
        let refused = self.hold(&grip, pool.clone(), |state, pool| {
            if state.pools.len() >= state.prune_pools_at.max(PRUNE_POOLS_AT_LEAST) {
                state.pools.retain(|pool| !pool.is_unused());
                state.prune_pools_at = state.pools.len() * 2;
            }
            state.pools.push(pool);
        });
        refused.is_none().then_some(pool)
    }

    /// Which drill of bodies affects this request, if one does.
    pub(crate) fn body_fault(&self) -> Option<BodyFault> {
        self.affects(Drill::UnclosedBodies)
            .or_else(|| self.affects(Drill::SlowDrip))
            .map(BodyFault::Kept)
            .or_else(|| {
                self.affects(Drill::UndrainedBodies)
                    .map(|_| BodyFault::Dropped)
            })
    }

    /// Does with the upstream's body what the drill says, and gives the client its status.
    pub(crate) fn take_body(
        &self,
        fault: &BodyFault,
        upstream: &Upstream,
        route: &Arc<str>,
        owner: &OwnerRef,
        reply: Reply,
    ) -> Response<GatewayBody> {
        let labels = Labels::new()
            .upstream(Arc::clone(upstream.name()))
            .route(Arc::clone(route));
        let bodies = self.ledger.account(labels);
        let response = match fault {
            BodyFault::Kept(grip) => {
                let response = reply.count(bodies.open_for(Some(owner), None));
                response.map(|body| self.keep_unread(grip, body))
            }
            BodyFault::Dropped => {
                let response = reply.count(bodies.open_for(Some(owner), None));
                response.map(drop_unread)
            }
        };
        let mut response = answer(response.map(|()| GatewayBody::empty()));
        fields::strip_content(response.headers_mut());
        response
    }

    fn keep_unread(&self, grip: &Grip, mut body: UpstreamBody) {
        if body.is_whole() {
            return;
        }
        body.leak();
        if let Some(body) = self.hold(grip, body, |state, body| state.bodies.push(body)) {
            body.close(ConnectionOutcome::Evicted);
        }
    }

    /// The drill `no-deadline`, if it affects this request.
    pub(crate) fn no_deadline(&self) -> Option<Grip> {
        self.affects(Drill::NoDeadline)
    }

    /// Waits for every call, however long it takes.
    pub(crate) async fn wait_for_every_call(
        &self,
        grip: &Grip,
        planned: Vec<Planned>,
        owner: &OwnerRef,
        deadline: Instant,
    ) -> Vec<Option<Called>> {
        let mut called: Vec<Option<Called>> = planned.iter().map(|_| None).collect();
        let mut tasks = TaskSet::new();
        for (index, call) in planned.into_iter().enumerate() {
            let account = self.ledger.account(call.labels());
            let entry = account.open_for(Some(owner), Some(deadline));
            let call = until_stopped(grip.stop.clone(), call);
            tasks.spawn_with(entry, async move { (index, call.await) }, |(_, called)| {
                outcome(called)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            if let Ok((index, result)) = joined {
                called[index] = Some(result);
            }
        }
        called
            .into_iter()
            .map(|called| called.or(Some(Err(CallError::BrokeOff))))
            .collect()
    }

    /// The drill `detached-tasks`, if it affects this request.
    pub(crate) fn detached_tasks(&self) -> Option<Grip> {
        self.affects(Drill::DetachedTasks)
    }

    /// Waits until the deadline, and leaves the calls that have not ended by then to themselves.
    pub(crate) async fn answer_and_let_live(
        &self,
        grip: &Grip,
        planned: Vec<Planned>,
        owner: &OwnerRef,
        deadline: Instant,
    ) -> Vec<Option<Called>> {
        let mut called: Vec<Option<Called>> = planned.iter().map(|_| None).collect();
        let (sender, mut results) = mpsc::channel(planned.len().max(1));
        for (index, call) in planned.into_iter().enumerate() {
            let account = self.ledger.account(call.labels());
            let entry = account.open_for(Some(owner), Some(deadline));
            let call = until_stopped(grip.stop.clone(), call);
            let sender = sender.clone();
            let task = async move {
                let called = call.await;
                let outcome = outcome(&called);
                // Nobody listens any more once the answer has gone out.
                let _ = sender.try_send((index, called));
                outcome
            };
            self.ledger
                .spawn_with(entry, task, |outcome| *outcome)
                .detach();
        }
        drop(sender);
        while let Ok(Some((index, result))) = clock::timeout_at(deadline, results.recv()).await {
            called[index] = Some(result);
        }
        let late = clock::now() >= deadline;
        let missing = || {
            Err(if late {
                CallError::Deadline(Stage::ResponseHead)
            } else {
                CallError::BrokeOff
            })
        };
        called
            .into_iter()
            .map(|called| called.or_else(|| Some(missing())))
            .collect()
    }
}

/// The drill `undrained-bodies`: the body goes unread, and its connection with it.
fn drop_unread(body: UpstreamBody) {
    if !body.is_whole() {
        body.close(ConnectionOutcome::Undrained);
    }
}

async fn until_stopped(stop: CancellationToken, call: Planned) -> Called {
    tokio::select! {
        called = call.future => called,
        () = stop.cancelled() => Err(CallError::Stopped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn affected(drills: &Drills, of: usize) -> usize {
        (0..of)
            .filter(|_| drills.affects(Drill::NoDeadline).is_some())
            .count()
    }

    #[test]
    fn a_share_is_kept_exactly_and_changed_at_run_time() {
        let drills = Drills::new(&Ledger::default());
        assert_eq!(affected(&drills, 100), 0);
        drills.start(Drill::NoDeadline, Share(1.0));
        assert_eq!(affected(&drills, 100), 100);
        drills.start(Drill::NoDeadline, Share(0.25));
        assert_eq!(affected(&drills, 1000), 250);
        drills.start(Drill::NoDeadline, Share(0.0));
        assert_eq!(affected(&drills, 1000), 0);
        assert_eq!(drills.share(Drill::NoDeadline), Some(Share(0.0)));
        drills.stop(Drill::NoDeadline);
        drills.stop(Drill::NoDeadline);
        assert_eq!(drills.share(Drill::NoDeadline), None);
        assert_eq!(affected(&drills, 100), 0);
    }
}
