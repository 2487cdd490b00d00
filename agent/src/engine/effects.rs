//! What an evaluation wants done: the engine itself does nothing.

use std::sync::Arc;

use leak_detect::Timestamp;

use crate::alert::OutgoingAlert;
use crate::diagnosis::Cause;
use crate::discovery::Target;
use crate::engine::saved::Saved;
use crate::incident::{Change, IncidentId, Place};
use crate::labels::Labels;

/// What an evaluation wants done, in this order: save, then notify; the rest whenever.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// To be stored before anything is sent; `None` where nothing changed that must outlive a restart.
    pub save: Option<Saved>,
    /// Whether [`Engine::detectors`](super::Engine::detectors) are to be stored with it.
    pub save_detectors: bool,
    /// To be sent to every Alertmanager, pages first.
    pub notifications: Vec<OutgoingAlert>,
    /// Leaking instances to be asked where they leak; each answer goes to [`Engine::evidence`](super::Engine::evidence).
    pub fetch: Vec<EvidenceRequest>,
    /// What happened, for the log.
    pub log: Vec<StateChange>,
}

/// A leaking instance that can say where it leaks.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceRequest {
    /// The incident it is about.
    pub incident: IncidentId,
    /// Whom to ask: a target whose job opts in and whose evidence address is known.
    pub target: Arc<Target>,
    /// What is asked for.
    pub question: Question,
    /// The resource that leaks, where it is one.
    pub resource: Option<String>,
    /// The upstream concerned, where it is one.
    pub upstream: Option<String>,
    /// The route concerned, where it is one.
    pub route: Option<String>,
}

/// What a leaking instance is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The places of open entries whose owner has ended, or that are past their deadline: `GET /debug/open`.
    Held,
    /// The places that closed bodies unread: `GET /debug/closed?resource=response_body`.
    Closed,
    /// The places of live tasks: `GET /debug/tasks`.
    Tasks,
    /// Where goroutines stand: `GET /debug/pprof/goroutineleak`, else `GET /debug/pprof/goroutine`.
    Goroutines,
}

/// What a leaking instance answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Witnessed {
    /// The places, those that hold most first; or why there are none, as a sentence.
    pub places: Result<Vec<Place>, String>,
    /// Which mistake it looks like, where the instance itself tells.
    pub cause: Option<Cause>,
}

/// Something that happened to an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// When.
    pub at: Timestamp,
    /// To which incident.
    pub incident: IncidentId,
    /// What.
    pub change: Change,
    /// Labels of the workload.
    pub workload: Labels,
    /// What identifies the incident in it: `signal`, `resource`, `upstream`, `route`.
    pub identity: Labels,
    /// What it looks like.
    pub cause: &'static str,
}
