//! `http_sd_configs`: targets listed by a server, asked again at the refresh interval.
//!
//! Prometheus' protocol, letter by letter: a GET that says how often it comes, status 200, `application/json`, the
//! groups of a file. Any other answer keeps what was found before. What an answer may cost is bounded in bytes and time.
//!
//! Source: Prometheus, "HTTP Service Discovery".

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checked_yaml::{Mistakes, Node};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use tokio::time::MissedTickBehavior;

use super::{Group, Outlet};
use crate::clock;
use crate::http_client::{HttpClient, HttpRequest, HttpSettings};

const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// An answer that takes longer is none, however long the interval.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one answer.
const MAX_BODY_BYTES: usize = 32 << 20;

/// One of `http_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpDiscovery {
    /// `url`.
    pub url: Arc<str>,
    /// `refresh_interval`: from one question to the next; 1 min.
    pub refresh_interval: Duration,
    /// Who asks, and over which TLS.
    pub http: HttpSettings,
}

/// Why an answer lists no targets.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    #[error("it answers with status {0} instead of 200")]
    Status(u16),
    #[error("it answers with Content-Type `{0}` instead of application/json")]
    ContentType(String),
    #[error("its answer is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error("its answer breaks off")]
    BrokenOff,
    #[error("its answer is not UTF-8")]
    Text,
    #[error("its answer lists no targets: {0}")]
    Groups(String),
}

impl HttpDiscovery {
    pub(super) fn read(node: &Node, directory: &Path, mistakes: &mut Mistakes) -> Option<Self> {
        let mut fields = node.fields(mistakes);
        let url_node = fields.required("url", mistakes);
        let url = url_node.and_then(|node| {
            let text = node.text(mistakes)?;
            match Url::parse(text) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text),
                // Not repeated: it may hold a password.
                _ => {
                    node.reject(mistakes, "is not a URL of http or https");
                    None
                }
            }
        });
        let refresh_interval = fields
            .optional("refresh_interval")
            .and_then(|node| node.positive_duration(mistakes));
        let http = HttpSettings::read(&mut fields, directory, mistakes);
        fields.finish(mistakes);
        Some(Self {
            url: Arc::from(url?),
            refresh_interval: refresh_interval.unwrap_or(REFRESH_INTERVAL),
            http,
        })
    }

    pub(super) async fn run(self, outlet: Outlet) {
        let client = HttpClient::new(self.http.clone(), 1);
        let Ok(url) = Url::parse(&self.url) else {
            outlet.failed("the URL cannot be used");
            return;
        };
        let shown = shown(&url);
        let mut beats = tokio::time::interval(self.refresh_interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let asked = clock::timeout(
                self.refresh_interval.min(MAX_TIMEOUT),
                self.ask(&client, &url, &shown),
            );
            match asked.await {
                Ok(Ok(groups)) => outlet.found(groups),
                Ok(Err(reason)) => outlet.failed(format!("{shown}: {reason}")),
                Err(elapsed) => outlet.failed(format!("{shown}: {elapsed}")),
            }
        }
    }

    async fn ask(&self, client: &HttpClient, url: &Url, shown: &str) -> Result<Vec<Group>, String> {
        let seconds = self.refresh_interval.as_secs_f64().to_string();
        let seconds = HeaderValue::from_str(&seconds).map_err(|error| error.to_string())?;
        let request = HttpRequest::get(url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(
                HeaderName::from_static("x-prometheus-refresh-interval-seconds"),
                seconds,
            );
        let response = client
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        let mut groups = groups(response).await.map_err(|error| error.to_string())?;
        for group in &mut groups {
            group.labels = group.labels.with("__meta_url", shown);
        }
        Ok(groups)
    }
}

async fn groups(mut response: Response) -> Result<Vec<Group>, AnswerError> {
    if response.status() != StatusCode::OK {
        return Err(AnswerError::Status(response.status().as_u16()));
    }
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    if !is_json(&media_type) {
        let shown = crate::excerpt::excerpt(&media_type, 80);
        return Err(AnswerError::ContentType(shown));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| AnswerError::BrokenOff)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(AnswerError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body).map_err(|_| AnswerError::Text)?;
    Group::list_from_json(&text).map_err(|error| AnswerError::Groups(error.to_string()))
}

/// `application/json`, also with UTF-8 named.
fn is_json(media_type: &str) -> bool {
    let text = media_type.to_ascii_lowercase();
    let (kind, parameter) = text.split_once(';').unwrap_or((&text, ""));
    kind == "application/json"
        && matches!(
            parameter.trim_start(),
            "" | "charset=utf-8" | "charset=\"utf-8\""
        )
}

/// The URL without who asks.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests;
