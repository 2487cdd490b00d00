//! The task of one Alertmanager: takes from its queue, delivers, and decides what is tried again.
//!
//! Tried again, with a growing pause: no answer, a failure of Alertmanager's own (5xx), and "too many requests" (429).
//! Not tried again: 400, after which Alertmanager has stored what it could read of the batch, and every other refusal,
//! because the same would be refused again. A 422 refuses a whole batch for one alert in it: its alerts go one by one,
//! so that the bad one is found, told and dropped.
//!
//! Source: Alertmanager, `api/v2/api.go`; RFC 9110, section 10.2.3 (Retry-After).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use tracing::{info, warn};

use crate::clock;
use crate::excerpt::excerpt_of_bytes;
use crate::http_client::{HttpClient, HttpError, HttpRequest};
use crate::notify::queue::Queued;
use crate::notify::{BATCH, DeliveryResult, Shared, message};

/// From a failed delivery to the next attempt: doubled each time from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// The longest pause that an Alertmanager can ask for (`Retry-After`): firing alerts must be heard of in time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Bytes of an error's body that are read, and characters of it that are shown.
const ANSWER_BYTES: usize = 2048;
const ANSWER_CHARACTERS: usize = 200;

/// The task of one Alertmanager.
pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) failing: bool,
}

/// How one Alertmanager is reached.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) client: HttpClient,
    pub(super) url: Url,
    pub(super) timeout: Duration,
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) result: DeliveryResult,
    pub(super) status: Option<StatusCode>,
    pub(super) reason: String,
    retry_after: Option<Duration>,
}

impl Sender {
    pub(super) async fn run(mut self) {
        let mut wait = RETRY.0;
        while let Some(batch) = self.shared.queue.take(BATCH).await {
            let Some((left, failure)) = self.deliver_all(batch).await else {
                wait = RETRY.0;
                continue;
            };
            // Once the agent ends, whatever fails is left to its next life.
            let Some(dropped) = self.shared.queue.put_back(left) else {
                return;
            };
            self.shared.dropped(dropped);
            let pause = failure.retry_after.unwrap_or(wait).max(wait);
            let _ = clock::timeout(pause, self.shared.queue.until_closed()).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Delivers a batch, or finds out which of its alerts is refused; what has to be tried again, and why.
    async fn deliver_all(&mut self, batch: Vec<Queued>) -> Option<(Vec<Queued>, Failure)> {
        let failure = self.deliver(&batch).await.err()?;
        if failure.result == DeliveryResult::Failed {
            return Some((batch, failure));
        }
        if failure.status != Some(StatusCode::UNPROCESSABLE_ENTITY) {
            return None;
        }
        if let [refused] = &*batch {
            self.tell_refused(refused, &failure);
            return None;
        }
        let mut batch = batch.into_iter();
        while let Some(alert) = batch.next() {
            let Err(failure) = self.deliver(std::slice::from_ref(&alert)).await else {
                continue;
            };
            if failure.result == DeliveryResult::Failed {
                return Some(([alert].into_iter().chain(batch).collect(), failure));
            }
            self.tell_refused(&alert, &failure);
        }
        None
    }

    fn tell_refused(&self, refused: &Queued, failure: &Failure) {
        warn!(
            alertmanager = %self.shared.alertmanager,
            labels = %refused.message.labels,
            status = failure.status.map(|status| status.as_u16()),
            reason = failure.reason,
            "Alertmanager refuses an alert, which is dropped until it is due again"
        );
    }

    async fn deliver(&mut self, batch: &[Queued]) -> Result<(), Failure> {
        let outcome = self.wire.post(batch).await;
        let result = outcome
            .as_ref()
            .map_or_else(|failure| failure.result, |()| DeliveryResult::Ok);
        self.shared.count(result, batch.len());
        match &outcome {
            Ok(()) if self.failing => {
                info!(alertmanager = %self.shared.alertmanager, "Alertmanager takes alerts again");
            }
            Err(failure) if !self.failing => {
                warn!(
                    alertmanager = %self.shared.alertmanager,
                    status = failure.status.map(|status| status.as_u16()),
                    reason = failure.reason,
                    "Alertmanager does not take alerts"
                );
            }
            _ => {}
        }
        self.failing = outcome.is_err();
        outcome
    }
}

impl Wire {
    /// One request.
    pub(super) async fn post(&self, batch: &[Queued]) -> Result<(), Failure> {
        let failed = |reason: String| Failure {
            result: DeliveryResult::Failed,
            status: None,
            reason,
            retry_after: None,
        };
        let messages = batch.iter().map(|queued| &queued.message);
        let body = message::body(messages).map_err(|error| failed(error.to_string()))?;
        let request = HttpRequest::post(self.url.clone(), Bytes::from(body))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = clock::timeout(self.timeout, self.client.send(request)).await;
        let answer = answer.map_err(|elapsed| failed(elapsed.to_string()))?;
        let mut response = answer.map_err(|error| Failure {
            result: match error {
                // To another host, or in circles: it will be no other the next time.
                HttpError::Redirect { .. } => DeliveryResult::Refused,
                _ => DeliveryResult::Failed,
            },
            ..failed(error.to_string())
        })?;
        let status = response.status();
        if status.is_success() {
            // The head is the answer; whatever becomes of the body, the alerts were taken.
            return Ok(());
        }
        let retry_after = retry_after(response.headers());
        let answer = clock::timeout(self.timeout, beginning(&mut response))
            .await
            .unwrap_or_default();
        let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(Failure {
            result: if is_passing {
                DeliveryResult::Failed
            } else {
                DeliveryResult::Refused
            },
            status: Some(status),
            reason: excerpt_of_bytes(&answer, ANSWER_CHARACTERS),
            retry_after,
        })
    }
}

/// The pause that an answer asks for, in seconds; a date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// The beginning of an answer, as far as it comes.
async fn beginning(response: &mut reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES {
            break;
        }
    }
    bytes
}
