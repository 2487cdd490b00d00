//! The `admin` listener: who holds what, which tasks live, where things end, and drills.
//!
//! Everything it says is bounded by a limit that the caller can lower and not lift. It has no authentication and shows
//! request ids, so it is absent unless configured, and meant for loopback. Only drills change anything; they are off
//! unless configured, and refused to web pages.

mod listing;
mod query;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use resource_ledger::Ledger;
use serde::Serialize;

use crate::drill::{Drill, Drills, Share};
use crate::gateway::{Client, Handler};
use crate::tasks::TaskRegistry;
use query::Query;

/// Where there is something to ask for, for whoever asks for something else.
const PATHS: &str = "/debug/open, /debug/tasks, /debug/closed, /drill/NAME";

/// Answers the requests of the listener. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    ledger: Ledger,
    tasks: TaskRegistry,
    /// Absent where drills are not allowed here.
    drills: Option<Arc<Drills>>,
}

/// Why a request is not answered with what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    NotFound(String),
    BadParameter(String),
    Method(&'static str),
    Forbidden(String),
}

/// Whether a drill is on, and how much of it.
#[derive(Debug, Serialize)]
struct DrillState {
    drill: &'static str,
    active: bool,
    share: Option<f64>,
}

impl Admin {
    /// Shows this ledger and these tasks, and switches these drills.
    pub(crate) fn new(ledger: &Ledger, tasks: &TaskRegistry, drills: Option<Arc<Drills>>) -> Self {
        Self {
            ledger: ledger.clone(),
            tasks: tasks.clone(),
            drills,
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let answered = match path {
            "/debug/open" => self.read(request, |query| listing::open(&self.ledger, query)),
            "/debug/closed" => self.read(request, |query| listing::closed(&self.ledger, query)),
            "/debug/tasks" => self.read(request, |query| listing::tasks(&self.tasks, query)),
            _ => match path.strip_prefix("/drill/") {
                Some(name) => self.drill(request, name).map(|state| json(&state)),
                None => Err(Refusal::NotFound(format!("not found; there are {PATHS}"))),
            },
        };
        answered.unwrap_or_else(|refusal| refusal.answer())
    }

    fn read<B, T: Serialize>(
        &self,
        request: &Request<B>,
        read: impl FnOnce(Query) -> Result<T, Refusal>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refusal::Method("GET, HEAD"));
        }
        let query = Query::parse(request.uri().query())?;
        read(query).map(|listing| json(&listing))
    }

    fn drill<B>(&self, request: &Request<B>, name: &str) -> Result<DrillState, Refusal> {
        let Some(drills) = &self.drills else {
            let text = "drills are not allowed here; set `admin_drills: true` to allow them";
            return Err(Refusal::NotFound(text.to_owned()));
        };
        let drill: Drill = name
            .parse()
            .map_err(|error| Refusal::NotFound(format!("{error}")))?;
        if request.headers().contains_key(ORIGIN) {
            let text = "a web page cannot switch drills";
            return Err(Refusal::Forbidden(text.to_owned()));
        }
        let mut query = Query::parse(request.uri().query())?;
        match *request.method() {
            Method::POST => {
                let share = match query.take("share") {
                    Some(share) => share
                        .parse::<Share>()
                        .map_err(|error| Refusal::BadParameter(format!("share: {error}")))?,
                    None => drill.default_share(),
                };
                query.finish()?;
                drills.start(drill, share);
            }
            Method::DELETE => {
                // Whoever repeats the address that started it means to stop it.
                let _ = query.take("share");
                query.finish()?;
                drills.stop(drill);
            }
            _ => return Err(Refusal::Method("POST, DELETE")),
        }
        let share = drills.share(drill).map(Share::value);
        Ok(DrillState {
            drill: drill.name(),
            active: share.is_some(),
            share,
        })
    }
}

impl Handler for Admin {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, _: Client) -> Response<Full<Bytes>> {
        self.answer(&request)
    }
}

impl Refusal {
    fn answer(&self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text.clone()),
            Self::BadParameter(text) => (StatusCode::BAD_REQUEST, text.clone()),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, text.clone()),
            Self::Method(allowed) => (StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}")),
        };
        let mut response = json(&serde_json::json!({ "error": text }));
        *response.status_mut() = status;
        if let Self::Method(allowed) = self {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    // The values of this listener are texts, numbers and lists: they are always JSON.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    let mut response = Response::new(Full::from(text));
    let content_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests;
