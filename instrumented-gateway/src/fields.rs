//! Which header fields go on, in either direction.
//!
//! hyper passes every field from one HTTP/1 side to the other, those that speak of a single connection too. RFC 9110, 7.6.1:
//! an intermediary removes them, and those that `Connection` names. Framing is hyper's on both sides.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

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

/// Protocols that a client offers to switch to without needing it.
const OPTIONAL_UPGRADES: [&str; 2] = ["h2c", "tls/"];

/// Removes what must not go on.
pub(crate) fn strip_hop_by_hop(fields: &mut HeaderMap) {
    if fields.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = fields
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .collect();
        for name in named {
            fields.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
}

/// The fields of a proxied request that go upstream. `length` is that of its content, if it is known.
pub(crate) fn for_proxy(mut fields: HeaderMap, length: Option<u64>) -> HeaderMap {
    strip_hop_by_hop(&mut fields);
    fields.remove(HOST);
    if length.is_none() {
        // Said aloud, since hyper takes a GET that does not say so for one without content.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    fields
}

/// The fields of a request that go to each call of a fan-out, which has no content and wants all of the answer as it is.
pub(crate) fn for_fan_out(mut fields: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut fields);
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

/// Whether the client asks to switch to a protocol without which its request makes no sense, such as `websocket`.
pub(crate) fn asks_for_upgrade(fields: &HeaderMap) -> bool {
    let named = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    let needed = fields
        .get_all(UPGRADE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_ascii_lowercase())
        .any(|protocol| {
            !OPTIONAL_UPGRADES
                .iter()
                .any(|known| protocol.starts_with(known))
        });
    named && needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    #[track_caller]
    fn names(fields: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_speaks_of_one_connection_stays_behind() {
        let request = fields(&[
            ("host", "a"),
            ("connection", "keep-alive, X-Mine"),
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-mine", "1"),
            ("accept-encoding", "gzip"),
            ("content-length", "3"),
        ]);
        let proxied = for_proxy(request, Some(3));
        assert_eq!(names(&proxied), ["accept-encoding", "content-length"]);
    }

    #[test]
    fn content_of_unknown_length_is_chunked_again() {
        let proxied = for_proxy(fields(&[("transfer-encoding", "chunked")]), None);
        assert_eq!(proxied[TRANSFER_ENCODING], "chunked");
    }

    #[test]
    fn a_fan_out_asks_for_all_of_it_as_it_is() {
        let request = fields(&[
            ("authorization", "Bearer x"),
            ("accept-encoding", "gzip"),
            ("range", "bytes=0-1"),
            ("if-none-match", "\"x\""),
            ("if-range", "\"x\""),
            ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("content-length", "3"),
            ("content-type", "text/plain"),
            ("accept-language", "en"),
        ]);
        let called = for_fan_out(request);
        assert_eq!(names(&called), ["accept-language", "authorization"]);
    }

    #[track_caller]
    fn check(pairs: &[(&'static str, &'static str)], expected: bool) {
        assert_eq!(asks_for_upgrade(&fields(pairs)), expected, "{pairs:?}");
    }

    #[test]
    fn an_upgrade_without_which_the_request_makes_no_sense_is_seen() {
        check(&[], false);
        check(&[("upgrade", "websocket"), ("connection", "Upgrade")], true);
        check(&[("upgrade", "h2c"), ("connection", "upgrade")], false);
        check(&[("upgrade", "TLS/1.2"), ("connection", "upgrade")], false);
        check(
            &[("upgrade", "h2c, websocket"), ("connection", "upgrade")],
            true,
        );
        check(&[("upgrade", "websocket")], false);
    }
}
