//! One question to a store over HTTP: bounded in time and size, tried again with growing pauses, at most a few at once.
//!
//! It only ever reads: GET, never a write, and no more at a time than a store can bear. Credentials are taken out of
//! the URL at once; they and redirects are [`HttpClient`]'s. What a store refuses for good (a wrong query, a missing
//! permission) is not tried again. Answers are asked for compressed, except from this machine, and bounded either way.
//!
//! Sources: Prometheus, "HTTP API"; RFC 9110, 10.2.3 (Retry-After).

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Response, Url};

use super::StoreSettings;
use super::answer::{self, Shape};
use super::error::{Fault, StoreError};
use crate::clock;
use crate::excerpt::{excerpt, excerpt_of_bytes};
use crate::http_client::{Authentication, HttpClient, HttpError, HttpRequest, UrlCredentials};

/// Characters of a store's text that a message shows.
const EXCERPT_CHARACTERS: usize = 200;

/// Bytes of an error's body that are read.
const ERROR_BYTES: usize = 64 << 10;

/// Which tenant is asked about, in Mimir, Cortex and their kin.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// Asks one store.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HttpClient,
    /// Without credentials, query and final slash.
    base: Url,
    /// Whether answers may come compressed: from this machine that only costs.
    compressed: bool,
    pub(super) settings: StoreSettings,
}

/// What came of one question, and how often it was asked.
pub(super) struct Asked<T> {
    pub(super) outcome: Result<T, Fault>,
    pub(super) tries: u32,
    /// How long the store wants to be left alone.
    pub(super) told: Option<Duration>,
}

impl Client {
    pub(super) fn new(url: &str, settings: StoreSettings) -> Result<Self, StoreError> {
        let (base, credentials) = address(url)?;
        let mut http = settings.http.clone();
        if let Some(credentials) = credentials {
            if http.authentication != Authentication::None {
                return Err(StoreError::Url(
                    "holds credentials, and so do the settings of its client: give one of them",
                ));
            }
            http.authentication = credentials.authentication();
        }
        let compressed = !matches!(base.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        Ok(Self {
            http: HttpClient::new(http, settings.concurrency),
            base,
            compressed,
            settings,
        })
    }

    /// The store's address, fit to be shown.
    pub(super) fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The address of one endpoint, fit to be shown.
    pub(super) fn endpoint(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.shown())
    }

    /// Asks until there is an answer, the tries are used up, or the store refuses for good. A partial answer is asked
    /// for again, and given in the end as the fault it is.
    pub(super) async fn ask<S: Shape>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Asked<S::Value> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (outcome, told) = self.once::<S>(path, query).await;
            let again = match &outcome {
                Ok(_) => false,
                // What did not finish in time twice will not finish a third time.
                Err(Fault::TimedOut(_)) => tries < self.settings.tries.min(2),
                Err(fault) => fault.passes() && tries < self.settings.tries,
            };
            if !again {
                return Asked {
                    outcome,
                    tries,
                    told,
                };
            }
            tokio::time::sleep(self.pause(tries, told)).await;
        }
    }

    /// Asks once, whatever comes of it.
    pub(super) async fn ask_once<S: Shape>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Asked<S::Value> {
        let (outcome, told) = self.once::<S>(path, query).await;
        Asked {
            outcome,
            tries: 1,
            told,
        }
    }

    /// How long to wait before the next try: what the store told, else twice as long each time, less up to a half by
    /// chance, so that several askers do not come back together.
    fn pause(&self, tries: u32, told: Option<Duration>) -> Duration {
        let (first, longest) = self.settings.pauses;
        match told {
            Some(told) => told.min(longest),
            None => {
                let doubled = first.saturating_mul(1 << (tries - 1).min(10)).min(longest);
                doubled.mul_f64(0.5 + 0.5 * fastrand::f64())
            }
        }
    }

    /// One try; with a fault also how long the store wants to be left alone.
    async fn once<S: Shape>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> (Result<S::Value, Fault>, Option<Duration>) {
        let mut told = None;
        let limit = self.settings.timeout;
        let outcome = clock::timeout(limit, self.fetch(path, query, &mut told)).await;
        let body = match outcome {
            Ok(Ok(body)) => body,
            Ok(Err(fault)) => return (Err(fault), told),
            Err(elapsed) => return (Err(Fault::TimedOut(elapsed.0)), None),
        };
        (answer::read::<S>(&body, self.settings.answer_samples), None)
    }

    /// The body of a successful answer.
    async fn fetch(
        &self,
        path: &str,
        query: &[(&str, String)],
        told: &mut Option<Duration>,
    ) -> Result<Vec<u8>, Fault> {
        let mut response = self.request(path, query).await?;
        let status = response.status();
        if !status.is_success() {
            *told = retry_after(&response);
            let body = read(&mut response, ERROR_BYTES).await.unwrap_or_default();
            return Err(Fault::Status {
                status: status.as_u16(),
                message: answer::error_message(&body).map_or_else(
                    || excerpt_of_bytes(body.trim_ascii(), EXCERPT_CHARACTERS),
                    |message| excerpt(&message, EXCERPT_CHARACTERS),
                ),
            });
        }
        let limit = self.settings.answer_bytes;
        let encoding = response.headers().get(CONTENT_ENCODING).cloned();
        let body = match encoding {
            Some(encoding) if self.compressed && encoding == "gzip" => {
                decompressed(&read(&mut response, limit).await?, limit)?
            }
            Some(encoding) if encoding != "identity" => {
                let shown = excerpt_of_bytes(encoding.as_bytes(), EXCERPT_CHARACTERS);
                return Err(Fault::Unreadable(format!(
                    "it is encoded as {shown}, which was not asked for"
                )));
            }
            _ => read(&mut response, limit).await?,
        };
        if status == reqwest::StatusCode::PARTIAL_CONTENT {
            return Err(Fault::Partial("HTTP status 206".to_owned()));
        }
        Ok(body)
    }

    /// The response, after the redirects that are followed.
    async fn request(&self, path: &str, query: &[(&str, String)]) -> Result<Response, Fault> {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/api/v1/{path}",
            url.path().trim_end_matches('/')
        ));
        url.query_pairs_mut().extend_pairs(query);
        let mut request =
            HttpRequest::get(url).header(ACCEPT, HeaderValue::from_static("application/json"));
        if self.compressed {
            request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(tenant) = &self.settings.tenant {
            let value = HeaderValue::from_str(tenant)
                .map_err(|_| Fault::Connection("the tenant is no header's value".to_owned()))?;
            request = request.header(TENANT, value);
        }
        self.http.send(request).await.map_err(|error| match error {
            HttpError::Redirect { location, reason } => Fault::Redirect { location, reason },
            other => Fault::Connection(other.to_string()),
        })
    }
}

/// The store's base URL and the credentials that stood in it.
fn address(text: &str) -> Result<(Url, Option<UrlCredentials>), StoreError> {
    let mut url: Url = text.parse().map_err(|_| {
        StoreError::Url("cannot be read; it looks like http://prometheus.example.org:9090")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(StoreError::Url("begins with neither http:// nor https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(StoreError::Url(
            "has a query or a fragment, which it must not",
        ));
    }
    let credentials = UrlCredentials::take(&mut url);
    Ok((url, credentials))
}

/// How long the store wants to be left alone: seconds, or a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let wait = at.as_millisecond() - clock::now().millis();
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// The whole body, if it is not longer than `limit`.
async fn read(response: &mut Response, limit: usize) -> Result<Vec<u8>, Fault> {
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(Fault::TooLarge(limit));
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(Fault::TooLarge(limit));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => {
                return Err(Fault::BrokenOff {
                    bytes: body.len(),
                    cause: crate::http_client::innermost(&error),
                });
            }
        }
    }
}

/// What a gzipped body holds, if that is not more than `limit`.
fn decompressed(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(body)
        .take(limit as u64 + 1)
        .read_to_end(&mut plain);
    match read {
        Ok(bytes) if bytes > limit => Err(Fault::TooLarge(limit)),
        Ok(_) => Ok(plain),
        Err(error) => Err(Fault::Unreadable(format!(
            "its gzip cannot be read: {}",
            excerpt(&error.to_string(), EXCERPT_CHARACTERS)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::Secret;

    #[test]
    fn a_compressed_answer_is_bounded_by_what_it_holds() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, &[b' '; 100_000]).expect("in memory");
        let body = encoder.finish().expect("in memory");
        assert!(body.len() < 1000);
        assert_eq!(
            decompressed(&body, 100_000).map(|own| own.len()),
            Ok(100_000)
        );
        assert_eq!(decompressed(&body, 99_999), Err(Fault::TooLarge(99_999)));
        assert!(matches!(
            decompressed(&body[..50], 100_000),
            Err(Fault::Unreadable(_))
        ));
    }

    #[track_caller]
    fn check(url: &str, shown: &str, user: Option<(&str, &str)>) {
        let (base, credentials) = address(url).expect("an address");
        assert_eq!(base.as_str(), shown);
        let expected = user.map(|(user, password)| UrlCredentials {
            user: Secret::new(user),
            password: Secret::new(password),
        });
        assert!(credentials == expected, "{url}");
        let settings = StoreSettings::default();
        let client = Client::new(url, settings).expect("a client");
        assert!(!format!("{client:?}").contains("@cret"), "{client:?}");
    }

    #[track_caller]
    fn check_refused(url: &str, expected: &str) {
        let text = address(url).expect_err("no address").to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        check("http://store:9090", "http://store:9090/", None);
        check(
            "http://me:s%40cret+1@store/select/0/prometheus/",
            "http://store/select/0/prometheus/",
            Some(("me", "s@cret+1")),
        );
        check("http://me@store/", "http://store/", Some(("me", "")));
        check("https://store/", "https://store/", None);
        check_refused(
            "ftp://me:secret@store/",
            "begins with neither http:// nor https://",
        );
        check_refused("http://store/?token=secret", "has a query");
        check_refused("me:secret@store:9090:1", "the URL of the store");
    }

    #[test]
    fn pauses_double_and_are_bounded_and_the_store_is_heard() {
        let settings = StoreSettings {
            pauses: (Duration::from_secs(1), Duration::from_secs(8)),
            ..StoreSettings::default()
        };
        let client = Client::new("http://store/", settings).expect("a client");
        for (tries, longest) in [(1, 1), (2, 2), (3, 4), (9, 8), (4_000_000_000, 8)] {
            let longest = Duration::from_secs(longest);
            let pause = client.pause(tries, None);
            assert!(
                pause >= longest / 2 && pause <= longest,
                "{tries}: {pause:?}"
            );
        }
        assert_eq!(
            client.pause(1, Some(Duration::from_secs(5))),
            Duration::from_secs(5)
        );
        assert_eq!(
            client.pause(1, Some(Duration::from_secs(500))),
            Duration::from_secs(8)
        );
    }
}
