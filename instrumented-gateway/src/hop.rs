//! What this hop adds to the messages that it passes on: its name in `Via`, and who the client was.
//!
//! Nothing here knows a connection or its protocol: a request's [`Origin`] is told, whatever it came over. What others
//! say of earlier hops is believed from trusted peers only, and taken off where anybody else says it: an upstream that
//! decides by `X-Forwarded-For` must not be told by the client what to decide. `Via` is never taken off (RFC 9110, 7.6.3);
//! a request that carries this gateway's own name has been here before and is refused.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::{Entry, FORWARDED, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::config::{Forwarding, HopConfig};
use crate::fields::Present;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED: [HeaderName; 3] = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];

/// Who sent a request, as far as the gateway can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address that connected; `None` where it is not known.
    pub address: Option<PeerAddress>,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Whether the address is one of `trusted_peers`.
    pub trusted: bool,
}

/// The address of a peer, written once for all of its requests. One of version 4 within version 6 counts as version 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    canonical: IpAddr,
    text: HeaderValue,
}

impl PeerAddress {
    /// As it stands in fields.
    pub(crate) fn text(&self) -> &HeaderValue {
        &self.text
    }
}

impl From<IpAddr> for PeerAddress {
    fn from(address: IpAddr) -> Self {
        let canonical = address.to_canonical();
        let text = HeaderValue::try_from(canonical.to_string());
        Self {
            canonical,
            text: text.expect("the characters of an address are those of a value"),
        }
    }
}

/// This gateway as one hop of many.
#[derive(Debug)]
pub struct Hop {
    name: Arc<str>,
    /// For HTTP/1.0, 1.1 and 2.
    via: [HeaderValue; 3],
    forwarded: Forwarding,
    x_forwarded: Forwarding,
}

impl Hop {
    /// The hop that a configuration describes. Without a name of its own it gets one that is the same for the life of the
    /// process and differs from that of every other: two gateways in a row are not taken for a loop.
    pub fn new(config: &HopConfig) -> Self {
        let name = config.via.clone().unwrap_or_else(own_name);
        let via = ["1.0", "1.1", "2.0"].map(|version| {
            // The configuration allows token characters only; anything else would be a name that says nothing.
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or(HeaderValue::from_static("1.1 gateway"))
        });
        Self {
            name,
            via,
            forwarded: config.forwarded,
            x_forwarded: config.x_forwarded,
        }
    }

    /// Whether a request has been here before.
    pub(crate) fn has_seen(&self, fields: &HeaderMap) -> bool {
        fields
            .get_all(VIA)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| names_in_via(value).any(|name| name.eq_ignore_ascii_case(&self.name)))
    }

    /// Adds this hop to a request that came as `version` for `host`. What speaks of the client's connection is gone by
    /// then, or its `Connection` could name what is added here.
    pub(crate) fn mark_request(
        &self,
        fields: &mut HeaderMap,
        present: Present,
        version: Version,
        origin: &Origin,
        host: Option<&HeaderValue>,
    ) {
        fields.append(VIA, self.via(version));
        if present.has(Present::FORWARDED) && !keeps(self.forwarded, origin) {
            fields.remove(FORWARDED);
        }
        if present.has(Present::X_FORWARDED) && !keeps(self.x_forwarded, origin) {
            for name in &X_FORWARDED {
                fields.remove(name);
            }
        }
        self.mark_forwarded(fields, origin, host);
        self.mark_x_forwarded(fields, origin, host);
    }

    /// Adds this hop to an answer that came as `version`.
    pub(crate) fn mark_answer(&self, fields: &mut HeaderMap, version: Version) {
        fields.append(VIA, self.via(version));
    }

    fn via(&self, version: Version) -> HeaderValue {
        let [one_zero, one_one, two] = &self.via;
        match version {
            Version::HTTP_10 => one_zero.clone(),
            Version::HTTP_2 => two.clone(),
            _ => one_one.clone(),
        }
    }

    fn mark_forwarded(&self, fields: &mut HeaderMap, origin: &Origin, host: Option<&HeaderValue>) {
        if self.forwarded == Forwarding::Off {
            return;
        }
        if let Ok(element) = HeaderValue::try_from(forwarded_element(origin, host)) {
            fields.append(FORWARDED, element);
        }
    }

    fn mark_x_forwarded(
        &self,
        fields: &mut HeaderMap,
        origin: &Origin,
        host: Option<&HeaderValue>,
    ) {
        if self.x_forwarded == Forwarding::Off {
            return;
        }
        if let Some(address) = &origin.address {
            append_to_list(fields, X_FORWARDED_FOR, address.text());
        }
        // Of these there is one: what the first hop saw.
        let scheme = HeaderValue::from_static(scheme(origin));
        fields.entry(X_FORWARDED_PROTO).or_insert(scheme);
        if let Some(host) = host {
            fields.entry(X_FORWARDED_HOST).or_insert(host.clone());
        }
    }
}

/// Whether what earlier hops are said to be goes on.
fn keeps(forwarding: Forwarding, origin: &Origin) -> bool {
    origin.trusted && forwarding != Forwarding::Replace
}

fn scheme(origin: &Origin) -> &'static str {
    if origin.secure { "https" } else { "http" }
}

/// One line, however many there were: many who read it look at one line only.
fn append_to_list(fields: &mut HeaderMap, name: HeaderName, member: &HeaderValue) {
    if let Entry::Vacant(vacant) = fields.entry(&name) {
        vacant.insert(member.clone());
        return;
    }
    let mut list: Vec<u8> = Vec::new();
    for value in fields.get_all(&name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        fields.insert(name, value);
    }
}

/// An element of `Forwarded` (RFC 7239, 4).
fn forwarded_element(origin: &Origin, host: Option<&HeaderValue>) -> String {
    let mut element = match origin.address.as_ref().map(|address| address.canonical) {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".to_owned(),
    };
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        // A valid host holds no quote and no backslash.
        element.push_str(";host=\"");
        element.push_str(host);
        element.push('"');
    }
    element.push_str(";proto=");
    element.push_str(scheme(origin));
    element
}

/// The names of the hops in one line of `Via`, its comments left out.
fn names_in_via(line: &str) -> impl Iterator<Item = String> {
    let mut depth = 0_usize;
    let plain: String = line
        .chars()
        .filter(|character| {
            match character {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    let names: Vec<String> = plain
        .split(',')
        .filter_map(|member| member.split_ascii_whitespace().nth(1))
        .map(str::to_owned)
        .collect();
    names.into_iter()
}

fn own_name() -> Arc<str> {
    static NAME: OnceLock<Arc<str>> = OnceLock::new();
    let name = NAME.get_or_init(|| format!("gateway-{:08x}", fastrand::u32(..)).into());
    Arc::clone(name)
}

#[cfg(test)]
mod tests;
