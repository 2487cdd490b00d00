//! One request to one target: Prometheus' headers out, a body in, and a sentence for whatever goes wrong.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::body::{Body, Encoding};
use super::error::excerpt;
use super::watched::Watched;
use super::{Notes, Sample, ScrapeError};
use crate::discovery::Target;
use crate::exposition::Format;

/// What Prometheus 2.42 asks for.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0,\
    application/openmetrics-text;version=0.0.1;q=0.75,\
    text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// As many as Go's client follows.
const MAX_REDIRECTS: usize = 10;

/// Compressed bytes that are read without letting other tasks run: at gzip's best some four megabytes of text.
const SLICE_BYTES: usize = 4096;

/// How far a scrape got, for the message when its time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Body,
}

impl Stage {
    pub(super) fn during(self) -> &'static str {
        match self {
            Self::Connecting => "while connecting or waiting for the response to begin",
            Self::Body => "while the body was still coming",
        }
    }
}

/// The client for all targets. It follows no redirect by itself and knows no proxy.
pub(super) fn client() -> reqwest::Result<Client> {
    crate::http_client::builder()
        .user_agent(concat!("leak-agent/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(Duration::from_secs(300))
        .build()
}

/// Scrapes once, without regard for the time it takes.
pub(super) async fn fetch(
    client: &Client,
    target: &Target,
    watched: &mut Watched,
    stage: &mut Stage,
) -> Result<(Vec<Sample>, Notes), ScrapeError> {
    let limits = &target.settings.limits;
    let mut response = request(client, target).await?;
    *stage = Stage::Body;
    let (format, warning) = format(&response);
    let encoding = encoding(&response)?;
    if let (Encoding::Identity, Some(length), Some(limit)) =
        (encoding, response.content_length(), limits.body_bytes)
        && length > limit
    {
        return Err(ScrapeError::BodyLimit(limit));
    }
    let mut body = Body::new(format, encoding, watched, limits);
    let mut received: u64 = 0;
    loop {
        match response.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                received += chunk.len() as u64;
                for slice in chunk.chunks(SLICE_BYTES) {
                    body.feed(slice)?;
                    tokio::task::consume_budget().await;
                }
            }
            Err(error) => {
                return Err(ScrapeError::BrokenOff {
                    bytes: received,
                    cause: innermost(&error),
                });
            }
        }
    }
    let (samples, notes) = body.finish()?;
    Ok((samples, Notes { warning, ..notes }))
}

/// The response, after the redirects that are followed.
async fn request(client: &Client, target: &Target) -> Result<Response, ScrapeError> {
    let encoding = if target.settings.enable_compression {
        "gzip"
    } else {
        "identity"
    };
    let seconds = target.timeout.as_secs_f64().to_string();
    let mut url: Url = target
        .url
        .parse()
        .map_err(|error| ScrapeError::Connection(format!("the URL cannot be used: {error}")))?;
    for _ in 0..=MAX_REDIRECTS {
        let response = client
            .get(url.clone())
            .header(ACCEPT, ACCEPTED)
            .header(ACCEPT_ENCODING, encoding)
            .header("X-Prometheus-Scrape-Timeout-Seconds", &seconds)
            .send()
            .await
            .map_err(|error| unreachable_target(&error))?;
        match response.status() {
            StatusCode::OK => return Ok(response),
            status if status.is_redirection() && response.headers().contains_key(LOCATION) => {
                url = follow(target, &url, &response)?;
            }
            status => return Err(ScrapeError::Status(status.as_u16())),
        }
    }
    Err(ScrapeError::Redirect {
        location: excerpt(url.as_str()),
        reason: "it is the eleventh in a row",
    })
}

/// Where a redirect leads, if it stays with the target: targets come from the configuration alone.
fn follow(target: &Target, from: &Url, response: &Response) -> Result<Url, ScrapeError> {
    let location = response
        .headers()
        .get(LOCATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let refuse = |shown: &str, reason| ScrapeError::Redirect {
        location: excerpt(shown),
        reason,
    };
    // What cannot be read cannot be shown either: it may hold credentials.
    let Ok(mut to) = from.join(&location) else {
        return Err(refuse("something", "it is not a URL"));
    };
    let credentials = !to.username().is_empty() || to.password().is_some();
    if credentials {
        let _ = to.set_username("");
        let _ = to.set_password(None);
    }
    let refuse = |reason| refuse(to.as_str(), reason);
    if !target.settings.follow_redirects {
        return Err(refuse("`follow_redirects` is false"));
    }
    if to.scheme() == "https" {
        return Err(refuse("https is not supported yet"));
    }
    if to.scheme() != from.scheme()
        || to.host_str() != from.host_str()
        || to.port_or_known_default() != from.port_or_known_default()
    {
        return Err(refuse(
            "it leads to another host; if that is the target, configure it",
        ));
    }
    if credentials {
        return Err(refuse("it holds credentials"));
    }
    Ok(to)
}

/// The format by Content-Type. A missing or unknown one is taken as text, since exporters of the field send such.
fn format(response: &Response) -> (Format, Option<String>) {
    let Some(value) = response.headers().get(CONTENT_TYPE) else {
        let warning = "the target sends no Content-Type; read as Prometheus' text format";
        return (Format::Text, Some(warning.to_owned()));
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
        (Format::OpenMetrics, None)
    } else if media_type.eq_ignore_ascii_case("text/plain") {
        (Format::Text, None)
    } else {
        let warning = format!(
            "the target sends Content-Type `{}`; read as Prometheus' text format",
            excerpt(&value)
        );
        (Format::Text, Some(warning))
    }
}

fn encoding(response: &Response) -> Result<Encoding, ScrapeError> {
    let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
    let Some(value) = encodings.next() else {
        return Ok(Encoding::Identity);
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    match value.trim().to_ascii_lowercase().as_str() {
        _ if encodings.next().is_some() => {
            Err(ScrapeError::Encoding("more than one thing".to_owned()))
        }
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(ScrapeError::Encoding(format!("`{}`", excerpt(&value)))),
    }
}

fn unreachable_target(error: &reqwest::Error) -> ScrapeError {
    let what = if error.is_connect() {
        "no connection"
    } else {
        "the connection broke before the response began"
    };
    ScrapeError::Connection(format!("{what}: {}", innermost(error)))
}

/// The cause at the bottom, which says what happened; those above it say what was being done.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    excerpt(&cause.to_string())
}
