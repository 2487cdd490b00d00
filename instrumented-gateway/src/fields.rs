//! Which fields go on, in either direction, in heads and in trailers.
//!
//! hyper passes every field from one HTTP/1 side to the other, those that speak of a single connection too. RFC 9110, 7.6.1:
//! an intermediary removes them, and those that `Connection` names. What a client asks of its connection is read before that
//! ([`Wishes`]) and said again of ours where we keep it. Framing is hyper's on both sides.

mod present;

pub(crate) use present::Present;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields of a single connection.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    // hyper sends content at once and answers the client's expectation when it reads.
    EXPECT,
];

/// Fields that ask for less than the whole answer, or for another form of it.
const CONDITIONAL: [HeaderName; 7] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
    ACCEPT_ENCODING,
];

/// Fields that describe the content they come with.
const CONTENT: [HeaderName; 7] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    TRAILER,
];

/// Fields that mean nothing, or something dangerous, once the content has gone by (RFC 9110, 6.5.1): framing, routing,
/// credentials, conditions, and how the content is to be read.
const NEVER_IN_TRAILERS: [HeaderName; 28] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    TRAILER,
    HOST,
    header::AUTHORIZATION,
    header::WWW_AUTHENTICATE,
    header::COOKIE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    header::PRAGMA,
    header::MAX_FORWARDS,
    header::FORWARDED,
    header::VIA,
    header::AGE,
    header::DATE,
    header::EXPIRES,
    header::LOCATION,
    header::RETRY_AFTER,
    header::VARY,
    header::WARNING,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
];

/// Protocols that a client offers to switch to without needing it.
const OPTIONAL_UPGRADES: [&str; 2] = ["h2c", "tls/"];

/// What a client asks of its connection.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// It takes trailers (RFC 9110, 10.1.4).
    pub(crate) trailers: bool,
    /// The protocols that it wants to switch to, as `Upgrade` says them upstream (RFC 9110, 7.8).
    pub(crate) upgrade: Option<HeaderValue>,
}

impl Wishes {
    /// Reads a request's head that has not been stripped yet.
    pub(crate) fn read(
        fields: &HeaderMap,
        present: Present,
        version: Version,
        has_content: bool,
    ) -> Self {
        let trailers = present.has(Present::TE)
            && members(fields, &TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
        // HTTP/1.0 and HTTP/2 have no Upgrade; with content it may be ignored, and is.
        let upgrade =
            (present.has(Present::UPGRADE) && version == Version::HTTP_11 && !has_content)
                .then(|| upgrade(fields))
                .flatten();
        Self { trailers, upgrade }
    }

    /// Whether an answer switches to one of the protocols that were asked for, and to one only.
    pub(crate) fn allow(&self, answered: &HeaderMap) -> bool {
        let mut answered = members(answered, &UPGRADE);
        let (Some(protocol), None, Some(asked)) = (answered.next(), answered.next(), &self.upgrade)
        else {
            return false;
        };
        asked.to_str().is_ok_and(|asked| {
            let mut asked = asked.split(',').map(str::trim);
            asked.any(|asked| asked.eq_ignore_ascii_case(protocol))
        })
    }
}

/// The protocols without which the request makes no sense, such as `websocket`.
fn upgrade(fields: &HeaderMap) -> Option<HeaderValue> {
    if !members(fields, &CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let is_needed = |protocol: &&str| {
        let protocol = protocol.to_ascii_lowercase();
        !OPTIONAL_UPGRADES
            .iter()
            .any(|known| protocol.starts_with(known))
    };
    let needed: Vec<&str> = members(fields, &UPGRADE).filter(is_needed).collect();
    if needed.is_empty() {
        return None;
    }
    HeaderValue::try_from(needed.join(", ")).ok()
}

/// The members of a list field, over all its lines, without empty ones.
pub(crate) fn members<'f>(
    fields: &'f HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'f str> {
    fields
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// Removes what must not go on.
pub(crate) fn strip_hop_by_hop(fields: &mut HeaderMap, present: Present) {
    if present.has(Present::CONNECTION) {
        let named: Vec<HeaderName> = members(fields, &CONNECTION)
            // The most frequent by far, and one of those below.
            .filter(|name| *name != "keep-alive")
            .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
            .collect();
        for name in named {
            fields.remove(name);
        }
        fields.remove(CONNECTION);
    }
    if present.has(Present::HOP_BY_HOP) {
        for name in &HOP_BY_HOP {
            fields.remove(name);
        }
    }
}

/// The fields of a proxied request that go upstream. `length` is that of its content, if it is known.
pub(crate) fn for_proxy(
    mut fields: HeaderMap,
    present: Present,
    length: Option<u64>,
    wishes: &Wishes,
) -> HeaderMap {
    strip_hop_by_hop(&mut fields, present);
    fields.remove(HOST);
    match (&wishes.upgrade, wishes.trailers) {
        (Some(protocols), _) => {
            fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(UPGRADE, protocols.clone());
        }
        (None, true) => {
            fields.insert(CONNECTION, HeaderValue::from_static("te"));
            fields.insert(TE, HeaderValue::from_static("trailers"));
        }
        (None, false) => {}
    }
    if length.is_none() {
        // Said aloud, since hyper takes a GET that does not say so for one without content.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    fields
}

/// The fields of a request that go to each call of a fan-out, which has no content and wants all of the answer as it is.
pub(crate) fn for_fan_out(mut fields: HeaderMap, present: Present) -> HeaderMap {
    strip_hop_by_hop(&mut fields, present);
    fields.remove(HOST);
    for name in CONDITIONAL.iter().chain(&CONTENT) {
        fields.remove(name);
    }
    fields
}

/// Removes the fields of an answer that describe content which is not sent.
pub(crate) fn strip_content(fields: &mut HeaderMap) {
    for name in &CONTENT {
        fields.remove(name);
    }
}

/// Removes from trailers what must not stand there.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    for name in HOP_BY_HOP.iter().chain(&NEVER_IN_TRAILERS) {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests;
