//! The list of upstreams, and the names by which routes refer to them.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use checked_yaml::{Fields, Mistakes, Node};

use super::limits::{header_bytes, headers};
use super::{optional, transport};
use crate::config::values::{EndpointError, bytes, count, duration, duration_or_off, number};
use crate::config::{Endpoint, UpstreamConfig};

/// Upstream names end up as label values; the exposition text cannot tell some escapes apart, so there are none.
const NAME_RULE: &str = "a name is made of letters, digits, `.`, `_` and `-`";

/// More than any descriptor limit allows.
const MOST_CONNECTIONS: usize = 1_000_000;

/// The upstreams in the order of the file. One with a mistake keeps its place, so that the routes that name it are not
/// blamed as well.
pub(super) struct Upstreams {
    named: Vec<(Option<String>, UpstreamConfig)>,
}

impl Upstreams {
    pub(super) fn read(
        fields: &mut Fields<'_>,
        grace: Duration,
        own: &[(&'static str, SocketAddr)],
        directory: &Path,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut upstreams = Self { named: Vec::new() };
        let Some(list) = fields.required("upstreams", mistakes) else {
            return upstreams;
        };
        for item in list.items(mistakes) {
            let mut fields = item.fields(mistakes);
            let name = fields.required("name", mistakes);
            let name = name.and_then(|node| upstreams.name(node, mistakes));
            let endpoints = fields.required("endpoints", mistakes);
            let endpoints = endpoints.map(|node| endpoints_of(node, own, mistakes));
            let config = UpstreamConfig::new(
                name.clone().unwrap_or_default(),
                endpoints.unwrap_or_default(),
            );
            let config = transport::of_upstream(&mut fields, config, directory, mistakes);
            let config = settings(&mut fields, config, grace, mistakes);
            fields.finish(mistakes);
            upstreams.named.push((name, config));
        }
        upstreams
    }

    fn name(&self, node: &Node, mistakes: &mut Mistakes) -> Option<String> {
        let name = node.text(mistakes)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(allowed) {
            node.reject(mistakes, format!("`{name}`: {NAME_RULE}"));
        } else if self.index(name).is_some() {
            node.reject(mistakes, format!("two upstreams are named `{name}`"));
        }
        Some(name.to_owned())
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.named
            .iter()
            .position(|(known, _)| known.as_deref() == Some(name))
    }

    /// The index of the upstream that a route names; a mistake where there is none.
    pub(super) fn resolve(&self, node: &Node, mistakes: &mut Mistakes) -> Option<usize> {
        let name = node.text(mistakes)?;
        let index = self.index(name);
        if index.is_none() {
            let mut known: Vec<&str> = self.names().collect();
            known.sort_unstable();
            known.dedup();
            let known = match known.as_slice() {
                [] => "none is configured".to_owned(),
                names => format!("configured: {}", names.join(", ")),
            };
            node.reject(mistakes, format!("no upstream is named `{name}`; {known}"));
        }
        index
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().filter_map(|(name, _)| name.as_deref())
    }

    pub(super) fn into_configs(self) -> Vec<UpstreamConfig> {
        self.named.into_iter().map(|(_, config)| config).collect()
    }
}

fn endpoints_of(
    node: &Node,
    own: &[(&'static str, SocketAddr)],
    mistakes: &mut Mistakes,
) -> Vec<Endpoint> {
    let items = node.items(mistakes);
    if items.is_empty() {
        node.reject(mistakes, "needs at least one endpoint");
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for item in items {
        let Some(endpoint) = endpoint_of(item, mistakes) else {
            continue;
        };
        let same = |other: &Endpoint| other.host == endpoint.host && other.port == endpoint.port;
        if endpoints.iter().any(same) {
            item.reject(mistakes, "the same endpoint stands twice");
        }
        if let Some((listener, _)) = own.iter().find(|(_, own)| is_own(&endpoint, *own)) {
            item.reject(
                mistakes,
                format!("is this gateway's own `{listener}` address: requests would go in circles"),
            );
        }
        endpoints.push(endpoint);
    }
    endpoints
}

fn endpoint_of(node: &Node, mistakes: &mut Mistakes) -> Option<Endpoint> {
    let text = node.text(mistakes)?;
    match text.parse() {
        Ok(endpoint) => Some(endpoint),
        Err(error @ EndpointError::Credentials) => {
            node.reject(mistakes, format!("this endpoint cannot be used: {error}"));
            None
        }
        Err(error) => {
            let example = "http://127.0.0.1:9001";
            let message = format!("`{text}` is not an endpoint such as {example}: {error}");
            node.reject(mistakes, message);
            None
        }
    }
}

/// Whether an endpoint, as written, is the address of a listener.
fn is_own(endpoint: &Endpoint, own: SocketAddr) -> bool {
    endpoint.port == own.port()
        && match endpoint.host.parse::<IpAddr>() {
            Ok(host) => host == own.ip() || (own.ip().is_unspecified() && host.is_loopback()),
            Err(_) => &*endpoint.host == "localhost" && own.ip().is_loopback(),
        }
}

fn settings(
    fields: &mut Fields<'_>,
    defaults: UpstreamConfig,
    grace: Duration,
    mistakes: &mut Mistakes,
) -> UpstreamConfig {
    let connect_timeout = optional(fields, "connect_timeout", mistakes, duration);
    let max_connections = optional(fields, "max_connections", mistakes, |node, mistakes| {
        count(node, 1, MOST_CONNECTIONS, mistakes)
    })
    .unwrap_or(defaults.max_connections);
    let max_idle = optional(fields, "max_idle", mistakes, |node, mistakes| {
        let max_idle = count(node, 0, MOST_CONNECTIONS, mistakes)?;
        if max_idle > max_connections {
            let message = format!(
                "`{max_idle}` is more than `max_connections` ({max_connections}) can ever hold"
            );
            node.reject(mistakes, message);
        }
        Some(max_idle)
    });
    let idle_timeout = optional(fields, "idle_timeout", mistakes, duration);
    let max_lifetime = optional(fields, "max_lifetime", mistakes, duration_or_off);
    let max_requests = optional(fields, "max_requests", mistakes, |node, mistakes| {
        number(node, 1, u64::MAX, mistakes)
    });
    let max_waiters = optional(fields, "max_waiters", mistakes, |node, mistakes| {
        count(node, 0, MOST_CONNECTIONS, mistakes)
    });
    let max_in_flight = optional(fields, "max_in_flight", mistakes, |node, mistakes| {
        count(node, 1, MOST_CONNECTIONS, mistakes)
    });
    let drain_bytes = optional(fields, "drain_bytes", mistakes, |node, mistakes| {
        bytes(node, 0, 1 << 30, mistakes)
    });
    let max_response_header_bytes =
        optional(fields, "max_response_header_bytes", mistakes, header_bytes);
    let max_response_headers = optional(fields, "max_response_headers", mistakes, headers);
    let drain_node = fields.optional("drain_timeout");
    let drain_timeout = drain_node
        .and_then(|node| duration(node, mistakes))
        .unwrap_or(defaults.drain_timeout);
    if drain_timeout >= grace {
        let place = drain_node.map_or(fields.place(), |node| &node.place);
        mistakes.add(
            place.clone(),
            format!(
                "the drain timeout ({drain_timeout:?}) must stay below `grace` ({grace:?}), or a body in drain would count as overdue"
            ),
        );
    }
    UpstreamConfig {
        connect_timeout: connect_timeout.unwrap_or(defaults.connect_timeout),
        max_connections,
        max_idle: max_idle.unwrap_or(defaults.max_idle.min(max_connections)),
        idle_timeout: idle_timeout.unwrap_or(defaults.idle_timeout),
        max_lifetime: max_lifetime.unwrap_or(defaults.max_lifetime),
        max_requests: max_requests.or(defaults.max_requests),
        max_waiters: max_waiters.unwrap_or(defaults.max_waiters),
        max_in_flight: max_in_flight.unwrap_or(defaults.max_in_flight),
        drain_bytes: drain_bytes.unwrap_or(defaults.drain_bytes),
        drain_timeout,
        max_response_header_bytes: max_response_header_bytes
            .unwrap_or(defaults.max_response_header_bytes),
        max_response_headers: max_response_headers.unwrap_or(defaults.max_response_headers),
        ..defaults
    }
}
