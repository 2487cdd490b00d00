//! One YAML file to a validated [`Config`]; every mistake at once, each with its key and line.
//!
//! What the rest of the gateway gets has no strings to be checked again: addresses are addresses, a route's upstream is
//! an index that exists, a template's captures are those of its path. The defaults stand in one place, here, and
//! `gateway.example.yml` documents them (a test keeps it current).

mod fixed;
mod read;
mod values;

pub use fixed::FixedKey;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use checked_yaml::Mistakes;
use http::HeaderValue;
use web_config::{ClientTls, ServerTls};

use crate::route::{Pattern, Template};

/// Address of the metrics listener where none is configured.
pub const DEFAULT_METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// How long a request may take before its first byte of answer, on a route that proxies.
pub const DEFAULT_PROXY_DEADLINE: Duration = Duration::from_secs(60);
/// How long a fan-out may take as a whole.
pub const DEFAULT_FAN_OUT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a body may stand still in both directions.
pub const DEFAULT_BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of one route under way at a time, and those of them that may wait for the head of their answer.
pub const DEFAULT_ROUTE_REQUESTS: usize = 10_000;

/// How long a tunnel may stand still in both directions; longer than the pings of the usual WebSocket libraries are apart.
pub const DEFAULT_TUNNEL_IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// A validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// TLS of those connections; none where absent.
    pub tls: Option<ServerTls>,
    /// Where clients may speak HTTP/2.
    pub http2: Http2,
    /// Where `/metrics`, `/live` and `/ready` are served.
    pub metrics: SocketAddr,
    /// Where `/debug/*` and the drills are served; none where absent.
    pub admin: Option<SocketAddr>,
    /// Whether drills may be started on the admin listener.
    pub admin_drills: bool,
    /// What the metrics and admin listeners demand of those who connect: a web configuration file of Prometheus'
    /// exporters; relative to the gateway's own file. Nothing where absent.
    pub web_config_file: Option<PathBuf>,
    /// Where tokio-console attaches; only in a build with the feature `console`.
    pub console: Option<SocketAddr>,
    /// How long after its owner or deadline an entry may stay open before it counts as orphaned or overdue.
    pub grace: Duration,
    /// How many accounts the ledger keeps apart.
    pub max_accounts: usize,
    /// Threads that serve; as many as there are processors where absent.
    pub worker_threads: Option<usize>,
    /// How long a shutdown waits for requests in flight before it cuts them.
    pub shutdown_timeout: Duration,
    /// What a client may ask of the listener.
    pub limits: Limits,
    /// The access log on standard output.
    pub access_log: AccessLogSettings,
    /// Peers whose `x-request-deadline-ms` and `x-request-id` are honoured, and who are believed what they say of earlier hops.
    pub trusted_peers: Vec<IpNetwork>,
    /// What the gateway adds to the messages that it passes on.
    pub hop: HopConfig,
    /// The upstreams, in the order of the file.
    pub upstreams: Vec<UpstreamConfig>,
    /// The routes, in the order of the file.
    pub routes: Vec<RouteConfig>,
}

/// What is written of each request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Nothing where absent.
    pub format: Option<AccessLogFormat>,
    /// Whether queries are written as well: they may hold what nobody should read.
    pub with_query: bool,
}

/// How a line of the access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object.
    Json,
    /// Words for people.
    Text,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read", path = .path.display())]
    Read {
        /// Its path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is wrong.
    #[error("{path}: {count} {what}\n{mistakes}", path = .path.display(), count = .mistakes.len(),
        what = if .mistakes.len() == 1 { "mistake" } else { "mistakes" })]
    Mistakes {
        /// Its path as given.
        path: PathBuf,
        /// All that is wrong with it.
        mistakes: Mistakes,
    },
}

impl Config {
    /// Reads a configuration from its text; the files that it names are relative to the working directory.
    ///
    /// # Errors
    /// Every mistake, each with its key and line.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        read::config(text, Path::new(""))
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// Where it cannot be read, or every mistake in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        read::config(&text, directory).map_err(|mistakes| ConfigError::Mistakes {
            path: path.to_owned(),
            mistakes,
        })
    }
}

/// Where HTTP/2 is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Http2 {
    /// Where the TLS handshake agrees on it.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// Over TLS as by `Auto`, and without TLS as well: by a listener for clients that begin so, to an upstream always.
    PriorKnowledge,
}

/// What a client may ask of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Downstream connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a request's head may take, counted from its connection's readiness for it; also the keep-alive idle time.
    pub header_read_timeout: Duration,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Fields of a request's head.
    pub max_headers: usize,
    /// Requests at a time on one connection of HTTP/2.
    pub max_concurrent_streams: u32,
    /// Requests that a client may take back on one connection of HTTP/2, beyond those that were answered.
    pub max_resets: usize,
    /// Bytes of a request's target.
    pub max_uri_bytes: usize,
    /// Contents of requests, on routes that say nothing else.
    pub request_body: BodyLimits,
    /// Descriptors that clients of `listen` leave free; a tenth of the process' limit where absent.
    pub descriptor_reserve: Option<u64>,
}

/// What bounds the content of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Its bytes; unlimited where absent.
    pub max_bytes: Option<u64>,
    /// Until the head of the answer is there: how long the client may be waited for without a byte, and on the whole beyond
    /// what `min_bytes_per_second` allows; unlimited where absent.
    pub read_timeout: Option<Duration>,
    /// How many bytes earn the client a second more; 0 where only standing still counts.
    pub min_bytes_per_second: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            max_bytes: Some(64 << 20),
            read_timeout: Some(Duration::from_secs(20)),
            min_bytes_per_second: 500,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_read_timeout: Duration::from_secs(10),
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            max_concurrent_streams: 100,
            max_resets: 100,
            max_uri_bytes: 8 * 1024,
            request_body: BodyLimits::default(),
            descriptor_reserve: None,
        }
    }
}

/// What the gateway adds to the messages that it passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopConfig {
    /// Its name in `Via` (RFC 9110, 7.6.3); one of its own making where absent.
    pub via: Option<Arc<str>>,
    /// The field `Forwarded` (RFC 7239).
    pub forwarded: Forwarding,
    /// The fields `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    pub x_forwarded: Forwarding,
}

impl Default for HopConfig {
    fn default() -> Self {
        Self {
            via: None,
            forwarded: Forwarding::Off,
            x_forwarded: Forwarding::Append,
        }
    }
}

/// What becomes of the fields that tell upstreams who the client was. What anybody but a trusted peer says of earlier hops
/// never goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// This hop is not told; what a trusted peer says goes on as it is.
    Off,
    /// This hop is added behind what a trusted peer says.
    Append,
    /// This hop stands alone.
    Replace,
}

/// A network of peers, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpNetwork {
    /// Any address in it.
    pub address: IpAddr,
    /// How many leading bits all its addresses share.
    pub prefix_bits: u8,
}

/// One upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Its name: the `upstream` label.
    pub name: Arc<str>,
    /// Where it is reached; at least one.
    pub endpoints: Vec<Endpoint>,
    /// TLS to those of them that are reached by https; there where one is.
    pub tls: Option<ClientTls>,
    /// Where HTTP/2 is spoken.
    pub http2: Http2,
    /// Requests at a time on one connection of HTTP/2.
    pub max_streams: usize,
    /// Bytes of one answer that may wait unread on a connection of HTTP/2.
    pub stream_window_bytes: u32,
    /// How long a connection may take, its TLS handshake included.
    pub connect_timeout: Duration,
    /// Connections to each endpoint.
    pub max_connections: usize,
    /// Idle connections kept to each endpoint.
    pub max_idle: usize,
    /// How long a connection may stay idle.
    pub idle_timeout: Duration,
    /// How old a connection may be when it is used again; unlimited where absent.
    pub max_lifetime: Option<Duration>,
    /// How many requests a connection may serve; unlimited where absent.
    pub max_requests: Option<u64>,
    /// How many requests may wait for a connection.
    pub max_waiters: usize,
    /// How many requests may be under way at a time.
    pub max_in_flight: usize,
    /// How many bytes of an abandoned body are read so that its connection can be used again.
    pub drain_bytes: u64,
    /// How long that may take; below the ledger's grace.
    pub drain_timeout: Duration,
    /// Bytes of an answer's head.
    pub max_response_header_bytes: usize,
    /// Fields of an answer's head.
    pub max_response_headers: usize,
}

impl UpstreamConfig {
    /// An upstream with every default.
    pub fn new(name: impl Into<Arc<str>>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            tls: None,
            http2: Http2::Auto,
            max_streams: 100,
            stream_window_bytes: 256 * 1024,
            connect_timeout: Duration::from_secs(5),
            max_connections: 256,
            max_idle: 64,
            idle_timeout: Duration::from_secs(60),
            max_lifetime: None,
            max_requests: None,
            max_waiters: 1024,
            max_in_flight: 1024,
            drain_bytes: 256 * 1024,
            drain_timeout: Duration::from_millis(50),
            max_response_header_bytes: 64 * 1024,
            max_response_headers: 100,
        }
    }
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name to resolve, or an IP address without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub is_tls: bool,
    /// The `Host` field of requests to it.
    pub authority: HeaderValue,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    /// The paths it answers; its text is the `route` label.
    pub path: Pattern,
    /// Fan-out: bounds all of it. Proxy: bounds the time to the response's head.
    pub deadline: Duration,
    /// How long a proxied exchange may go without a byte in either direction; `None` where switched off.
    pub body_idle_timeout: Option<Duration>,
    /// How long a tunnel, which an upgrade to another protocol leaves, may go without a byte in either direction; `None`
    /// where switched off.
    pub tunnel_idle_timeout: Option<Duration>,
    /// What the content of its requests may be.
    pub request_body: BodyLimits,
    /// Its requests under way at a time; one more is answered with 503.
    pub max_in_flight: usize,
    /// Those of them that may wait for the head of their answer at a time; one more is answered with 503.
    pub max_pending: usize,
    /// What it does.
    pub action: Action,
}

impl RouteConfig {
    /// The `route` label: the configured path.
    pub fn label(&self) -> &Arc<str> {
        self.path.text()
    }
}

/// What a route does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Passes it to one upstream and streams the answer back.
    Proxy {
        /// Index in [`Config::upstreams`].
        upstream: usize,
        /// The path to ask for in place of the request's own; the query goes on as it is.
        rewrite: Option<Template>,
    },
    /// Asks several upstreams and answers with one JSON object.
    FanOut {
        /// What a failed call does to the answer.
        policy: Policy,
        /// The calls in the order of the answer; at least one.
        calls: Vec<Call>,
    },
}

/// What a failed call does to a fan-out's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// No partial data: the answer is an error.
    Error,
    /// What arrived, and the failures beside it.
    Partial,
}

/// One call of a fan-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its key in the answer.
    pub name: Arc<str>,
    /// Index in [`Config::upstreams`].
    pub upstream: usize,
    /// The path and query to ask for.
    pub path: Template,
}

#[cfg(test)]
mod tests;
