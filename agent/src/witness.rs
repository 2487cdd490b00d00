//! Asks a leaking target where it leaks: once, on conviction, and only where its job opted in.
//!
//! The target is not trusted: the answer is bounded in bytes and time, redirects are not followed (they could point
//! the agent at another host), and what comes back is condensed to a few places before anybody keeps it. It is asked
//! as it is scraped: by the scheme, the TLS and the credentials of its job. An answer that cannot be used costs the alert a line of text and nothing else. What to ask and
//! how often is the engine's decision ([`EvidenceRequest`]); this module only carries it out.

mod goroutines;
mod places;

use std::time::Duration;

use reqwest::Url;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::diagnosis::Cause;
use crate::discovery::{EvidenceKind, Target};
use crate::engine::{EvidenceRequest, Question};
use crate::http_client::{HttpClient, HttpError, HttpRequest, HttpSettings, innermost};
use crate::incident::Place;
use goroutines::Profile;
use places::{Closed, Open, Scope, Tasks};

/// How long one question may take, from the name's resolution to the answer's last byte.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Entries asked for. What leaks is older than what does not, so that the oldest hold it.
const MAX_ENTRIES: &str = "2000";

/// Why a target gave no evidence.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// No answer in time.
    #[error("{path} gave no answer within {patience:?}")]
    TimedOut {
        /// What was asked.
        path: &'static str,
        /// How long it had.
        patience: Duration,
    },
    /// The connection failed, or broke.
    #[error("{path} cannot be reached")]
    Unreachable {
        /// What was asked.
        path: &'static str,
        /// Why.
        source: HttpError,
    },
    /// It answered, but not with what was asked for.
    #[error("{path} answered with status {status}")]
    Status {
        /// What was asked.
        path: &'static str,
        /// The status code; a redirect is not followed.
        status: u16,
    },
    /// The answer is larger than may be.
    #[error("{path} answered with more than {} MiB", MAX_ANSWER_BYTES >> 20)]
    TooLarge {
        /// What was asked.
        path: &'static str,
    },
    /// The answer cannot be read.
    #[error("{path} did not answer in the ledger's format")]
    Unreadable {
        /// What was asked.
        path: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer is no profile.
    #[error("{path} did not answer with a profile of goroutines")]
    NoProfile {
        /// What was asked.
        path: &'static str,
    },
    /// The target has nowhere to ask.
    #[error("the target has no evidence address")]
    NoAddress,
    /// The target answered in order, and nothing it lists leaks.
    #[error("the target lists nothing that leaks")]
    NothingLeaks,
}

/// What a target said.
#[derive(Clone, Debug, PartialEq)]
pub struct Testimony {
    /// The places that hold most of what leaks, the surest first; never none.
    pub places: Vec<Place>,
    /// Which mistake that looks like, where the target itself tells.
    pub cause: Option<Cause>,
}

/// Asks targets. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Witness {
    /// How long one question may take.
    patience: Duration,
}

impl Witness {
    /// One that knows no target yet.
    pub fn new() -> Self {
        Self {
            patience: ANSWER_TIMEOUT,
        }
    }

    /// Where it leaks.
    ///
    /// # Errors
    /// Why that is not known; where several answers were asked for and one of them served, none.
    pub async fn ask(&self, request: &EvidenceRequest) -> Result<Testimony, WitnessError> {
        let door = &Door::of(&request.target).ok_or(WitnessError::NoAddress)?;
        let scope = Scope {
            upstream: request.upstream.as_deref(),
            route: request.route.as_deref(),
        };
        let places = match request.question {
            Question::Goroutines => return self.ask_goroutines(door).await,
            Question::Held => self.ask_held(door, request, scope).await,
            Question::Closed => {
                let closed: Closed = self
                    .fetch_json(door, "/debug/closed", &[("resource", "response_body")])
                    .await?;
                some(places::of_closed(&closed, scope))
            }
            Question::Tasks => some(self.ask_tasks(door).await?),
        };
        Ok(Testimony {
            places: places?,
            cause: None,
        })
    }

    /// Those that Go itself knows to be leaked, where it offers that and there are any; else where all of them stand.
    async fn ask_goroutines(&self, door: &Door) -> Result<Testimony, WitnessError> {
        let of = |path| async move {
            let body = self.fetch(door, path, &[("debug", "1")]).await?;
            let text = String::from_utf8_lossy(&body);
            let profile = Profile::parse(&text).ok_or(WitnessError::NoProfile { path })?;
            Ok::<_, WitnessError>(Testimony {
                places: some(profile.places())?,
                cause: profile.cause(),
            })
        };
        // Servers of Go answer 404 for a profile that they do not know.
        match of("/debug/pprof/goroutineleak").await {
            Ok(leaked) => Ok(leaked),
            Err(_) => of("/debug/pprof/goroutine").await,
        }
    }

    async fn ask_held(
        &self,
        door: &Door,
        request: &EvidenceRequest,
        scope: Scope<'_>,
    ) -> Result<Vec<Place>, WitnessError> {
        let resource = request.resource.as_deref();
        let mut query = vec![("order", "age"), ("limit", MAX_ENTRIES)];
        query.extend(resource.map(|resource| ("resource", resource)));
        let open = self.fetch_json::<Open>(door, "/debug/open", &query).await;
        let mut found = open
            .as_ref()
            .map(|open| places::of_open(open, scope))
            .unwrap_or_default();
        if resource == Some("fan_out_task")
            && request.target.evidence.contains(&EvidenceKind::Tasks)
        {
            let tasks = self.ask_tasks(door).await.unwrap_or_default();
            found.extend(places::beside(&found, tasks));
        }
        match open {
            Err(error) if found.is_empty() => Err(error),
            _ => some(found),
        }
    }

    async fn ask_tasks(&self, door: &Door) -> Result<Vec<Place>, WitnessError> {
        let tasks: Tasks = self.fetch_json(door, "/debug/tasks", &[]).await?;
        Ok(places::of_tasks(&tasks))
    }

    async fn fetch_json<Answer: DeserializeOwned>(
        &self,
        door: &Door,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Answer, WitnessError> {
        let body = self.fetch(door, path, query).await?;
        serde_json::from_slice(&body).map_err(|source| WitnessError::Unreadable { path, source })
    }

    async fn fetch(
        &self,
        door: &Door,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Vec<u8>, WitnessError> {
        let patience = self.patience;
        clock::timeout(patience, self.read(door, path, query))
            .await
            .map_err(|_| WitnessError::TimedOut { path, patience })?
    }

    async fn read(
        &self,
        door: &Door,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Vec<u8>, WitnessError> {
        let unreachable = |source: HttpError| WitnessError::Unreachable { path, source };
        let url = Url::parse_with_params(&format!("{}{path}", door.base), query)
            .map_err(|error| unreachable(HttpError::NoConnection(error.to_string())))?;
        let sent = door.client.send(HttpRequest::get(url)).await;
        let mut response = sent.map_err(unreachable)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(WitnessError::Status {
                path,
                status: response.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(HttpError::Broken(innermost(&error))))?
        {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(WitnessError::TooLarge { path });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Default for Witness {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a target is asked, and how.
struct Door {
    client: HttpClient,
    /// Scheme and address.
    base: String,
}

impl Door {
    fn of(target: &Target) -> Option<Self> {
        let address = target.evidence_address.as_deref()?;
        let scheme = match target.url.starts_with("https:") {
            true => "https",
            false => "http",
        };
        let settings = HttpSettings {
            follow_redirects: false,
            ..target.settings.http.clone()
        };
        Some(Self {
            client: HttpClient::new(settings, 0),
            base: format!("{scheme}://{address}"),
        })
    }
}

fn some(places: Vec<Place>) -> Result<Vec<Place>, WitnessError> {
    if places.is_empty() {
        Err(WitnessError::NothingLeaks)
    } else {
        Ok(places)
    }
}

#[cfg(test)]
mod tests;
