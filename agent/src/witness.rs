//! Asks a leaking target where it leaks: once, on conviction, and only where its job opted in.
//!
//! The target is not trusted: the answer is bounded in bytes and time, redirects are not followed (they could point
//! the agent at another host), no credentials are sent, and what comes back is condensed to a few places before
//! anybody keeps it. An answer that cannot be used costs the alert a line of text and nothing else. What to ask and
//! how often is the engine's decision ([`EvidenceRequest`]); this module only carries it out.

mod goroutines;
mod places;

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::clock;
use crate::diagnosis::Cause;
use crate::discovery::EvidenceKind;
use crate::engine::{EvidenceRequest, Question};
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
        source: reqwest::Error,
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
    /// The client itself cannot be made.
    #[error("no HTTP client")]
    NoClient(#[source] reqwest::Error),
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
    client: reqwest::Client,
    /// How long one question may take.
    patience: Duration,
}

impl Witness {
    /// One without cookies, credentials, proxies or redirects.
    ///
    /// # Errors
    /// [`WitnessError::NoClient`].
    pub fn new() -> Result<Self, WitnessError> {
        let client = crate::http_client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .map_err(WitnessError::NoClient)?;
        Ok(Self {
            client,
            patience: ANSWER_TIMEOUT,
        })
    }

    /// Where it leaks.
    ///
    /// # Errors
    /// Why that is not known; where several answers were asked for and one of them served, none.
    pub async fn ask(&self, request: &EvidenceRequest) -> Result<Testimony, WitnessError> {
        let address = request
            .target
            .evidence_address
            .as_deref()
            .ok_or(WitnessError::NoAddress)?;
        let scope = Scope {
            upstream: request.upstream.as_deref(),
            route: request.route.as_deref(),
        };
        let places = match request.question {
            Question::Goroutines => return self.ask_goroutines(address).await,
            Question::Held => self.ask_held(address, request, scope).await,
            Question::Closed => {
                let closed: Closed = self
                    .fetch_json(address, "/debug/closed", &[("resource", "response_body")])
                    .await?;
                some(places::of_closed(&closed, scope))
            }
            Question::Tasks => some(self.ask_tasks(address).await?),
        };
        Ok(Testimony {
            places: places?,
            cause: None,
        })
    }

    /// Those that Go itself knows to be leaked, where it offers that and there are any; else where all of them stand.
    async fn ask_goroutines(&self, address: &str) -> Result<Testimony, WitnessError> {
        let of = |path| async move {
            let body = self.fetch(address, path, &[("debug", "1")]).await?;
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
        address: &str,
        request: &EvidenceRequest,
        scope: Scope<'_>,
    ) -> Result<Vec<Place>, WitnessError> {
        let resource = request.resource.as_deref();
        let mut query = vec![("order", "age"), ("limit", MAX_ENTRIES)];
        query.extend(resource.map(|resource| ("resource", resource)));
        let open = self
            .fetch_json::<Open>(address, "/debug/open", &query)
            .await;
        let mut found = open
            .as_ref()
            .map(|open| places::of_open(open, scope))
            .unwrap_or_default();
        if resource == Some("fan_out_task")
            && request.target.evidence.contains(&EvidenceKind::Tasks)
        {
            let tasks = self.ask_tasks(address).await.unwrap_or_default();
            found.extend(places::beside(&found, tasks));
        }
        match open {
            Err(error) if found.is_empty() => Err(error),
            _ => some(found),
        }
    }

    async fn ask_tasks(&self, address: &str) -> Result<Vec<Place>, WitnessError> {
        let tasks: Tasks = self.fetch_json(address, "/debug/tasks", &[]).await?;
        Ok(places::of_tasks(&tasks))
    }

    async fn fetch_json<Answer: DeserializeOwned>(
        &self,
        address: &str,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Answer, WitnessError> {
        let body = self.fetch(address, path, query).await?;
        serde_json::from_slice(&body).map_err(|source| WitnessError::Unreadable { path, source })
    }

    async fn fetch(
        &self,
        address: &str,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Vec<u8>, WitnessError> {
        let patience = self.patience;
        clock::timeout(patience, self.read(address, path, query))
            .await
            .map_err(|_| WitnessError::TimedOut { path, patience })?
    }

    async fn read(
        &self,
        address: &str,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<Vec<u8>, WitnessError> {
        let unreachable = |error: reqwest::Error| WitnessError::Unreachable {
            path,
            // The address may hold credentials, and whoever reads the incident knows the target.
            source: error.without_url(),
        };
        let request = self
            .client
            .get(format!("http://{address}{path}"))
            .query(query);
        let mut response = request.send().await.map_err(unreachable)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(WitnessError::Status {
                path,
                status: response.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(WitnessError::TooLarge { path });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
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
