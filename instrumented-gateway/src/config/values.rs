//! Scalars of the file that are more than a text: endpoints, networks, sizes, bounded numbers and durations.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use checked_yaml::{Mistakes, Node};
use http::{HeaderValue, Uri};

use super::{Endpoint, IpNetwork};

/// No time in a configuration is longer; anything above is a slip of the pen, and must not overflow a deadline.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a text is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL at all.
    #[error("it is no URL")]
    Malformed,
    /// Another scheme, or none.
    #[error("it must start with http:// or https://")]
    Scheme,
    /// Credentials; the text is not repeated anywhere then.
    #[error("it must not hold a user or password")]
    Credentials,
    /// A path or query.
    #[error("it must end after the port; paths are set on routes")]
    Path,
    /// No usable port.
    #[error("its port must be between 1 and 65535")]
    Port,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError::Malformed)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(EndpointError::Scheme),
        };
        let authority = uri.authority().ok_or(EndpointError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Credentials);
        }
        if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
            return Err(EndpointError::Path);
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(EndpointError::Malformed);
        }
        let port_text = &authority.as_str()[authority.host().len()..];
        let port = match authority.port_u16() {
            Some(0) => return Err(EndpointError::Port),
            Some(port) => port,
            None if port_text.is_empty() && is_tls => 443,
            None if port_text.is_empty() => 80,
            None => return Err(EndpointError::Port),
        };
        Ok(Self {
            host: host.into(),
            port,
            is_tls,
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| EndpointError::Malformed)?,
        })
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an IP address, or one with its prefix such as 10.0.0.0/8")]
pub struct NetworkError;

impl FromStr for IpNetwork {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| NetworkError)?,
            None => width,
        };
        if prefix_bits > width {
            return Err(NetworkError);
        }
        Ok(Self {
            address,
            prefix_bits,
        })
    }
}

impl IpNetwork {
    /// Whether a peer is in it; an IPv4 peer of a dual-stack socket counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(peer)) => {
                let differing = u32::from(network) ^ u32::from(peer);
                differing.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(peer)) => {
                let differing = u128::from(network) ^ u128::from(peer);
                differing.leading_zeros() >= u32::from(self.prefix_bits)
            }
            _ => false,
        }
    }
}

/// A duration above zero and within a year.
pub(super) fn duration(node: &Node, mistakes: &mut Mistakes) -> Option<Duration> {
    let duration = node.positive_duration(mistakes)?;
    if duration > LONGEST {
        node.reject(mistakes, "is longer than a year");
        return None;
    }
    Some(duration)
}

/// A duration, or `off`.
pub(super) fn duration_or_off(node: &Node, mistakes: &mut Mistakes) -> Option<Option<Duration>> {
    if node.text(mistakes)? == "off" {
        return Some(None);
    }
    duration(node, mistakes).map(Some)
}

/// A whole number between two bounds.
pub(super) fn number(node: &Node, least: u64, most: u64, mistakes: &mut Mistakes) -> Option<u64> {
    let value = node.parse("a whole number", mistakes)?;
    bounded(node, value, least, most, mistakes)
}

/// A whole number that indexes memory.
pub(super) fn count(
    node: &Node,
    least: usize,
    most: usize,
    mistakes: &mut Mistakes,
) -> Option<usize> {
    number(node, least as u64, most as u64, mistakes).and_then(|value| usize::try_from(value).ok())
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`.
pub(super) fn bytes(node: &Node, least: u64, most: u64, mistakes: &mut Mistakes) -> Option<u64> {
    let text = node.text(mistakes)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, unit) = units
        .iter()
        .find_map(|(word, unit)| Some((text.strip_suffix(word)?, *unit)))
        .unwrap_or((text, 1u64));
    let value = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    let Some(value) = value else {
        let message = format!("`{text}` is not a number of bytes such as 65536, 64KiB or 1MiB");
        node.reject(mistakes, message);
        return None;
    };
    bounded(node, value, least, most, mistakes)
}

/// A number of bytes, or `off`.
pub(super) fn bytes_or_off(
    node: &Node,
    least: u64,
    most: u64,
    mistakes: &mut Mistakes,
) -> Option<Option<u64>> {
    if node.text(mistakes)? == "off" {
        return Some(None);
    }
    bytes(node, least, most, mistakes).map(Some)
}

fn bounded(node: &Node, value: u64, least: u64, most: u64, mistakes: &mut Mistakes) -> Option<u64> {
    if (least..=most).contains(&value) {
        return Some(value);
    }
    node.reject(
        mistakes,
        format!("`{value}` must be between {least} and {most}"),
    );
    None
}
