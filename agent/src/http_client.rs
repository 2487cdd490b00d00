//! The agent's one HTTP client: Prometheus' client settings, obeyed.
//!
//! Targets, stores, Alertmanagers, discovery: whatever is asked over HTTP is asked through [`HttpClient`], which adds
//! who asks ([`Authentication`], `http_headers`), trusts whom it shall, goes through the proxy it shall, and follows a
//! redirect within the same scheme, host and port only, so that credentials never reach another host. Files of secrets
//! are read at each request and those of certificates when they change. It sets no time limit and reads no body: how
//! long and how much is the caller's, who knows what is asked for.
//!
//! [`HttpSettings::read`] reads the settings from YAML, with every contradiction at its line.

mod error;
mod oauth2;
mod proxy;
mod read;
mod redirect;
mod secret;
mod settings;
mod tls;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};

use settings::HeaderSource;

pub use error::HttpError;
pub(crate) use error::innermost;
pub use secret::{Secret, SecretSource};
pub use settings::{
    Authentication, HttpSettings, Identity, OAuth2, ProxySettings, TlsSettings, TlsVersion,
    UrlCredentials,
};

/// As many as Go's client follows.
const MAX_REDIRECTS: usize = 10;

/// Longer than any sane interval, so that a connection lives from one request to the next.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// An HTTP/2 connection is asked this often whether it still lives; one of HTTP/1 ends with the request that failed.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// One request. Credentials and `http_headers` come from the settings.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// What is to be done.
    pub method: Method,
    /// With whom. Credentials in it are taken out, and used where the settings have none.
    pub url: Url,
    /// What belongs to this request; it wins over nothing: `http_headers` of the same name replace it.
    pub headers: HeaderMap,
    /// Sent with its length.
    pub body: Option<Bytes>,
}

impl HttpRequest {
    /// A GET without headers of its own.
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// A POST of a body.
    pub fn post(url: Url, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            url,
            headers: HeaderMap::new(),
            body: Some(body),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// Asks servers according to the settings. Cloning is cheap; clones share their connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: HttpSettings,
    /// Idle connections kept for each host.
    idle: usize,
    current: Mutex<Option<Current>>,
    tokens: oauth2::Tokens,
}

/// The client as it was made from the files of then.
#[derive(Debug)]
struct Current {
    client: Client,
    files: Vec<Version>,
}

/// What changes when a file is written anew or replaced; `None` where it cannot be looked at.
type Version = (PathBuf, Option<Traits>);

#[derive(Debug, PartialEq, Eq)]
struct Traits {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl HttpClient {
    /// A client that keeps up to `idle` connections open to each host. Nothing is read or opened before the first
    /// request.
    pub fn new(settings: HttpSettings, idle: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                tokens: oauth2::Tokens::new(&settings.authentication),
                settings,
                idle,
                current: Mutex::new(None),
            }),
        }
    }

    /// Sends a request, and its redirects within the same scheme, host and port. The response has any other status and
    /// its body still to come.
    ///
    /// A redirect is followed as Go does: GET and HEAD always, other methods with 307 and 308.
    ///
    /// # Errors
    /// Why there is no response.
    pub async fn send(&self, request: HttpRequest) -> Result<Response, HttpError> {
        let mut request = request;
        let in_url = UrlCredentials::take(&mut request.url);
        let client = self.client()?;
        let (headers, basic) = self.headers(&request, in_url).await?;
        for _ in 0..=MAX_REDIRECTS {
            let mut sent = client
                .request(request.method.clone(), request.url.clone())
                .headers(headers.clone());
            if let Some((user, password)) = &basic {
                sent = sent.basic_auth(user.expose(), Some(password.expose()));
            }
            if let Some(body) = &request.body {
                sent = sent.body(body.clone());
            }
            let response = sent.send().await.map_err(|error| HttpError::of(&error))?;
            if response.status() == reqwest::StatusCode::UNAUTHORIZED {
                // It may have been revoked before its time.
                self.inner.tokens.forget();
            }
            if !redirect::is_one(&request.method, &response) {
                return Ok(response);
            }
            let follow = self.inner.settings.follow_redirects;
            request.url = redirect::follow(&request.url, &response, follow)?;
        }
        Err(HttpError::Redirect {
            location: error::shown(&request.url),
            reason: "it is the eleventh in a row",
        })
    }

    /// The headers of the request with those of the settings, and who asks where that is by RFC 7617.
    async fn headers(
        &self,
        request: &HttpRequest,
        in_url: Option<UrlCredentials>,
    ) -> Result<(HeaderMap, Option<(Secret, Secret)>), HttpError> {
        let settings = &self.inner.settings;
        let mut headers = request.headers.clone();
        let authentication = match (&settings.authentication, in_url) {
            (Authentication::None, Some(credentials)) => &credentials.authentication(),
            (own, _) => own,
        };
        let read = |source: &Option<SecretSource>| match source {
            Some(source) => source.read(),
            None => Ok(Secret::new("")),
        };
        let mut basic = None;
        let authorization = match authentication {
            Authentication::None => None,
            Authentication::Basic { user, password } => {
                basic = Some((read(user)?, read(password)?));
                None
            }
            Authentication::Authorization {
                scheme,
                credentials,
            } => {
                let text = Secret::new(format!("{scheme} {}", read(credentials)?.expose()));
                Some(header_value("authorization", &text)?)
            }
            Authentication::OAuth2(_) => Some(self.inner.tokens.header().await?),
        };
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        for (name, _) in &settings.headers {
            headers.remove(name);
        }
        for (name, source) in &settings.headers {
            let value = match source {
                HeaderSource::Value(value) => value.clone(),
                HeaderSource::Secret(source) => header_value("http_headers", &source.read()?)?,
            };
            headers.append(name, value);
        }
        Ok((headers, basic))
    }

    /// The client by the files as they are now.
    fn client(&self) -> Result<Client, HttpError> {
        let files = self.inner.settings.files();
        let mut current = self.inner.lock();
        if let Some(current) = &*current
            && current.files == files
        {
            return Ok(current.client.clone());
        }
        let client = self.inner.build()?;
        *current = Some(Current {
            client: client.clone(),
            files,
        });
        Ok(client)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        // What it holds is replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self) -> Result<Client, HttpError> {
        let mut builder = builder()
            .user_agent(concat!("leak-agent/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(self.idle)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // Servers of the field differ, and what cannot be read as a header is none.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .tls_backend_preconfigured(tls::configuration(&self.settings)?);
        for proxy in proxy::proxies(&self.settings.proxy)? {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| HttpError::of(&error))
    }
}

/// A builder for a client of somebody else's making. rustls wants to be told once who does its cryptography, or no
/// client can be built.
pub fn builder() -> reqwest::ClientBuilder {
    // The first who says it counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}

impl HttpSettings {
    /// The files that a client is made from, as they are now.
    fn files(&self) -> Vec<Version> {
        let identity = self.tls.identity.as_ref();
        let proxy: &[_] = match &self.proxy {
            ProxySettings::None => &[],
            ProxySettings::Url {
                connect_headers, ..
            }
            | ProxySettings::Environment { connect_headers } => connect_headers,
        };
        let sources = self
            .tls
            .authorities
            .iter()
            .chain(identity.map(|own| &own.certificate))
            .chain(identity.map(|own| &own.key))
            .chain(proxy.iter().map(|(_, source)| source));
        sources
            .filter_map(|source| match source {
                SecretSource::Inline(_) => None,
                SecretSource::File { path, .. } => Some((path.clone(), traits(path))),
            })
            .collect()
    }
}

fn traits(path: &PathBuf) -> Option<Traits> {
    #[cfg(unix)]
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    Some(Traits {
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
        #[cfg(unix)]
        inode: (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// A secret as a header's value, which is not shown either.
fn header_value(key: &'static str, secret: &Secret) -> Result<HeaderValue, HttpError> {
    let mut value = HeaderValue::from_bytes(secret.expose().as_bytes())
        .map_err(|_| HttpError::HeaderValue(key))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
