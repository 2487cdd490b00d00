//! One question to a store over HTTP: bounded in time and size, tried again with growing pauses, at most a few at once.
//!
//! It only ever reads: GET, never a write, and no more at a time than a store can bear. Credentials are taken out of
//! the URL at once and go to that host alone; a redirect is followed within it and refused elsewhere. What a store
//! refuses for good (a wrong query, a missing permission) is not tried again.
//!
//! Sources: Prometheus, "HTTP API"; RFC 9110, 10.2.3 (Retry-After).

use std::error::Error;
use std::fmt;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use reqwest::{Response, Url, redirect};

use super::StoreSettings;
use super::answer::{self, Shape};
use super::error::{Fault, StoreError};
use crate::clock;
use crate::excerpt::{excerpt, excerpt_of_bytes};

const MAX_REDIRECTS: usize = 5;

/// Characters of a store's text that a message shows.
const EXCERPT_CHARACTERS: usize = 200;

/// Bytes of an error's body that are read.
const ERROR_BYTES: usize = 64 << 10;

/// Asks one store.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    /// Without credentials, query and final slash.
    base: Url,
    credentials: Option<Credentials>,
    pub(super) settings: StoreSettings,
}

/// Who asks. Never shown.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What came of one question, and how often it was asked.
pub(super) struct Asked<T> {
    pub(super) outcome: Result<T, Fault>,
    pub(super) tries: u32,
}

impl Client {
    pub(super) fn new(url: &str, settings: StoreSettings) -> Result<Self, StoreError> {
        let (base, credentials) = address(url)?;
        let http = crate::http_client::builder()
            .user_agent(concat!("leak-agent/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(settings.concurrency)
            .build()
            .map_err(|error| StoreError::Client(innermost(&error)))?;
        Ok(Self {
            http,
            base,
            credentials,
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
                return Asked { outcome, tries };
            }
            tokio::time::sleep(self.pause(tries, told)).await;
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
        (answer::read::<S>(&body), None)
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
        if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            let shown = excerpt_of_bytes(encoding.as_bytes(), EXCERPT_CHARACTERS);
            return Err(Fault::Unreadable(format!(
                "it is encoded as {shown}, which was not asked for"
            )));
        }
        read(&mut response, self.settings.answer_bytes).await
    }

    /// The response, after the redirects that are followed.
    async fn request(&self, path: &str, query: &[(&str, String)]) -> Result<Response, Fault> {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/api/v1/{path}",
            url.path().trim_end_matches('/')
        ));
        url.query_pairs_mut().extend_pairs(query);
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self
                .http
                .get(url.clone())
                .header(ACCEPT, "application/json");
            if let Some(own) = &self.credentials {
                request = request.basic_auth(&own.user, own.password.as_ref());
            }
            let response = request
                .send()
                .await
                .map_err(|error| Fault::Connection(innermost(&error)))?;
            if !response.status().is_redirection() || !response.headers().contains_key(LOCATION) {
                return Ok(response);
            }
            url = follow(&url, &response)?;
        }
        Err(Fault::Redirect {
            location: shown(&url),
            reason: "it is the sixth in a row",
        })
    }
}

/// The store's base URL and the credentials that stood in it.
fn address(text: &str) -> Result<(Url, Option<Credentials>), StoreError> {
    let mut url: Url = text.parse().map_err(|_| {
        StoreError::Url("cannot be read; it looks like http://prometheus.example.org:9090")
    })?;
    match url.scheme() {
        "http" => {}
        "https" => {
            return Err(StoreError::Url(
                "begins with https, which is not supported yet; ask through a local forward that speaks http",
            ));
        }
        _ => return Err(StoreError::Url("does not begin with http://")),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(StoreError::Url(
            "has a query or a fragment, which it must not",
        ));
    }
    let decoded = |text: &str| {
        let pairs = format!("k={}", text.replace('+', "%2B"));
        reqwest::Url::parse(&format!("http://h/?{pairs}"))
            .ok()
            .and_then(|url| {
                url.query_pairs()
                    .next()
                    .map(|(_, value)| value.into_owned())
            })
            .unwrap_or_else(|| text.to_owned())
    };
    let credentials =
        (!url.username().is_empty() || url.password().is_some()).then(|| Credentials {
            user: decoded(url.username()),
            password: url.password().map(decoded),
        });
    // Both fail only for URLs without a host, and http has one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, credentials))
}

/// Where a redirect leads, if it stays with the store.
fn follow(from: &Url, response: &Response) -> Result<Url, Fault> {
    let location = response
        .headers()
        .get(LOCATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let Ok(mut to) = from.join(&location) else {
        return Err(Fault::Redirect {
            location: "something".to_owned(),
            reason: "it is not a URL",
        });
    };
    let _ = to.set_username("");
    let _ = to.set_password(None);
    if to.scheme() != from.scheme()
        || to.host_str() != from.host_str()
        || to.port_or_known_default() != from.port_or_known_default()
    {
        return Err(Fault::Redirect {
            location: shown(&to),
            reason: "it leads to another host, or to https",
        });
    }
    Ok(to)
}

/// A URL without what may be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    excerpt(url.as_str(), EXCERPT_CHARACTERS)
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
                    cause: innermost(&error),
                });
            }
        }
    }
}

/// The cause at the bottom, which says what happened; those above it hold the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, error) {
        // Its own text would show the URL.
        return "the request could not be made".to_owned();
    }
    excerpt(&cause.to_string(), EXCERPT_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, user: Option<(&str, Option<&str>)>) {
        let (base, credentials) = address(url).expect("an address");
        assert_eq!(base.as_str(), shown);
        let expected = user.map(|(user, password)| Credentials {
            user: user.to_owned(),
            password: password.map(str::to_owned),
        });
        assert!(credentials == expected, "{url}");
        let settings = StoreSettings::default();
        let client = Client::new(url, settings).expect("a client");
        assert!(!format!("{client:?}").contains("cret"), "{client:?}");
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
            Some(("me", Some("s@cret+1"))),
        );
        check("http://me@store/", "http://store/", Some(("me", None)));
        check_refused(
            "https://me:secret@store/",
            "https, which is not supported yet",
        );
        check_refused("ftp://me:secret@store/", "does not begin with http://");
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
