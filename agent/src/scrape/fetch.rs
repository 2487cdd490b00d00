//! One request to one target: Prometheus' headers out, a body in, and a sentence for whatever goes wrong.

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use reqwest::{Response, StatusCode, Url};

use super::body::{Body, Encoding};
use super::error::excerpt;
use super::watched::Watched;
use super::{Notes, Sample, ScrapeError};
use crate::discovery::{ScrapeProtocol, Target};
use crate::exposition::Format;
use crate::http_client::{HttpClient, HttpError, HttpRequest, innermost};

/// What Prometheus 2.42 asks for.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0,\
    application/openmetrics-text;version=0.0.1;q=0.75,\
    text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

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

/// Scrapes once, without regard for the time it takes.
pub(super) async fn fetch(
    client: &HttpClient,
    target: &Target,
    watched: &mut Watched,
    stage: &mut Stage,
) -> Result<(Vec<Sample>, Notes), ScrapeError> {
    let limits = &target.settings.limits;
    let mut response = request(client, target).await?;
    *stage = Stage::Body;
    refuse_unknown_transfer(&response)?;
    let (format, warning) = format(&response, target.settings.fallback_protocol);
    let (encoding, strange) = encoding(&response)?;
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
    let warning = warning.or(strange);
    Ok((samples, Notes { warning, ..notes }))
}

/// The response, after the redirects that are followed.
async fn request(client: &HttpClient, target: &Target) -> Result<Response, ScrapeError> {
    let encoding = match target.settings.enable_compression {
        true => HeaderValue::from_static("gzip"),
        false => HeaderValue::from_static("identity"),
    };
    let seconds = target.timeout.as_secs_f64().to_string();
    let seconds = HeaderValue::try_from(seconds).unwrap_or(HeaderValue::from_static("0"));
    let url: Url = target
        .url
        .parse()
        .map_err(|error| HttpError::NoConnection(format!("the URL cannot be used: {error}")))?;
    let request = HttpRequest::get(url)
        .header(ACCEPT, accepted(&target.settings.protocols))
        .header(ACCEPT_ENCODING, encoding)
        .header(SCRAPE_TIMEOUT, seconds);
    let response = client.send(request).await.map_err(|error| match error {
        HttpError::Redirect { location, reason } => ScrapeError::Redirect { location, reason },
        other => other.into(),
    })?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(ScrapeError::Status(status.as_u16())),
    }
}

/// What is asked for, the best first: without a wish, what Prometheus 2.42 asks for.
///
/// Source: Prometheus, "Configuration", `scrape_protocols`.
fn accepted(protocols: &[ScrapeProtocol]) -> HeaderValue {
    if protocols.is_empty() {
        return HeaderValue::from_static(ACCEPTED);
    }
    let mut text = String::new();
    for (index, protocol) in protocols.iter().enumerate() {
        let media_type = match protocol {
            ScrapeProtocol::OpenMetrics1 => "application/openmetrics-text;version=1.0.0",
            ScrapeProtocol::OpenMetrics0 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::Text0 => "text/plain;version=0.0.4",
            ScrapeProtocol::Text1 => "text/plain;version=1.0.0",
        };
        // At most four, so that the last is still above the rest.
        let weight = 5 - index.min(3);
        text.push_str(&format!("{media_type};q=0.{weight},"));
    }
    text.push_str("*/*;q=0.1");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(ACCEPTED))
}

/// The format by Content-Type. A missing or unknown one is taken as the job says, else as text, since exporters of the
/// field send such.
fn format(response: &Response, fallback: Option<ScrapeProtocol>) -> (Format, Option<String>) {
    let fallback = fallback.map(|protocol| match protocol {
        ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::OpenMetrics0 => Format::OpenMetrics,
        ScrapeProtocol::Text0 | ScrapeProtocol::Text1 => Format::Text,
    });
    let Some(value) = response.headers().get(CONTENT_TYPE) else {
        if let Some(format) = fallback {
            return (format, None);
        }
        let warning = "the target sends no Content-Type; read as Prometheus' text format";
        return (Format::Text, Some(warning.to_owned()));
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
        (Format::OpenMetrics, None)
    } else if media_type.eq_ignore_ascii_case("text/plain") {
        (Format::Text, None)
    } else if let Some(format) = fallback {
        (format, None)
    } else {
        let warning = format!(
            "the target sends Content-Type `{}`; read as Prometheus' text format",
            excerpt(&value)
        );
        (Format::Text, Some(warning))
    }
}

/// RFC 9112, 6.1: chunked is what every client knows. hyper would read the bytes of any other as they come.
fn refuse_unknown_transfer(response: &Response) -> Result<(), ScrapeError> {
    let mut encodings = response.headers().get_all(TRANSFER_ENCODING).iter();
    match encodings.find(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        None => Ok(()),
        Some(value) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            Err(ScrapeError::Encoding(format!("`{}`", excerpt(&value))))
        }
    }
}

/// How the body is encoded. What nobody knows is read as it comes, with a warning, since servers of the field name
/// character sets there; what is known and was not asked for could not be read.
fn encoding(response: &Response) -> Result<(Encoding, Option<String>), ScrapeError> {
    let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
    let Some(value) = encodings.next() else {
        return Ok((Encoding::Identity, None));
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let known = ["br", "compress", "deflate", "gzip", "x-compress", "zstd"];
    match value.trim().to_ascii_lowercase().as_str() {
        _ if encodings.next().is_some() => {
            Err(ScrapeError::Encoding("more than one thing".to_owned()))
        }
        "" | "identity" => Ok((Encoding::Identity, None)),
        "gzip" | "x-gzip" => Ok((Encoding::Gzip, None)),
        other
            if other
                .split(',')
                .any(|coding| known.contains(&coding.trim())) =>
        {
            Err(ScrapeError::Encoding(format!("`{}`", excerpt(&value))))
        }
        _ => {
            let warning = format!(
                "the target sends Content-Encoding `{}`, which nobody knows; read as it comes",
                excerpt(&value)
            );
            Ok((Encoding::Identity, Some(warning)))
        }
    }
}
