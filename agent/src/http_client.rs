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

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url};

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

/// Hosts whose clients are kept where the handshake names another server than the URL.
const MAX_NAMED: usize = 10_000;

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
    /// Where the handshake names another server than the URL, a client for each host, since connections are kept by
    /// the name of the handshake.
    named: HashMap<String, Client>,
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
        let (headers, basic) = self.headers(&request, in_url).await?;
        for _ in 0..=MAX_REDIRECTS {
            let mut sent = self.begin(&request)?.headers(headers.clone());
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

    /// A request without headers, by the files as they are now.
    fn begin(&self, request: &HttpRequest) -> Result<RequestBuilder, HttpError> {
        let inner = &self.inner;
        let files = inner.settings.files();
        let mut current = inner.lock();
        let current = match &mut *current {
            Some(current) if current.files == files => current,
            current => current.insert(Current {
                client: inner.build(None)?,
                named: HashMap::new(),
                files,
            }),
        };
        let (method, url) = (request.method.clone(), &request.url);
        let Some(named) = inner.settings.named(url) else {
            return Ok(current.client.request(method, url.clone()));
        };
        if current.named.len() >= MAX_NAMED {
            current.named.clear();
        }
        let host = url.host_str().unwrap_or_default();
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let client = match current.named.get(&authority) {
            Some(client) => client,
            None => {
                let client = inner.build(Some(host))?;
                current.named.entry(authority.clone()).or_insert(client)
            }
        };
        Ok(client.request(method, named).header(HOST, authority))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        // What it holds is replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client; where the handshake names another server than the URL, for this host alone.
    fn build(&self, host: Option<&str>) -> Result<Client, HttpError> {
        let mut tls = tls::configuration(&self.settings)?;
        if host.is_some() {
            // HTTP/2 would put the handshake's name where the host's belongs.
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
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
            .tls_backend_preconfigured(tls);
        if let Some(host) = host {
            builder = builder.dns_resolver(tls::Lookup::of(host));
        }
        for proxy in proxy::proxies(&self.settings.proxy)? {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| HttpError::of(&error))
    }
}

/// A builder for a client of somebody else's making. rustls wants to be told once who does its cryptography, or no
/// client can be built.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the choice is made"
)]
pub fn builder() -> reqwest::ClientBuilder {
    // The first who says it counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}

impl HttpSettings {
    /// The URL under the name that the handshake is to give, where that is another than the URL's. Through a proxy the
    /// URL has to stay, and an address is no name: then only the server's certificate is judged by `server_name`.
    fn named(&self, url: &Url) -> Option<Url> {
        let name = self.tls.server_name.as_deref()?;
        let direct = self.proxy == ProxySettings::None && url.scheme() == "https";
        if !direct || url.host_str() == Some(name) || name.parse::<IpAddr>().is_ok() {
            return None;
        }
        let mut named = url.clone();
        named.set_host(Some(name)).ok()?;
        Some(named)
    }

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
