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

fn wishes(asked: &HeaderMap, version: Version, has_content: bool) -> Wishes {
    Wishes::read(asked, Present::of(asked), version, has_content)
}

fn proxied_with(asked: HeaderMap, length: Option<u64>, wishes: &Wishes) -> HeaderMap {
    let present = Present::of(&asked);
    for_proxy(asked, present, length, wishes)
}

fn called_with(asked: HeaderMap) -> HeaderMap {
    let present = Present::of(&asked);
    for_fan_out(asked, present)
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
    let proxied = proxied_with(request, Some(3), &Wishes::default());
    assert_eq!(names(&proxied), ["accept-encoding", "content-length"]);
}

#[test]
fn content_of_unknown_length_is_chunked_again() {
    let proxied = proxied_with(
        fields(&[("transfer-encoding", "chunked")]),
        None,
        &Wishes::default(),
    );
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
    let called = called_with(request);
    assert_eq!(names(&called), ["accept-language", "authorization"]);
}

/// The protocols that go upstream for a request without content.
#[track_caller]
fn check(pairs: &[(&'static str, &'static str)], expected: Option<&str>) {
    let wishes = self::wishes(&fields(pairs), Version::HTTP_11, false);
    let protocols = wishes
        .upgrade
        .as_ref()
        .map(|value| value.to_str().expect("text"));
    assert_eq!(protocols, expected, "{pairs:?}");
}

#[test]
fn an_upgrade_without_which_the_request_makes_no_sense_is_seen() {
    let named = ("connection", "Upgrade");
    check(&[], None);
    check(&[("upgrade", "websocket"), named], Some("websocket"));
    check(&[("upgrade", "h2c"), named], None);
    check(&[("upgrade", "TLS/1.2"), named], None);
    check(&[("upgrade", "h2c, websocket"), named], Some("websocket"));
    check(
        &[("upgrade", "a/1"), ("upgrade", "b"), named],
        Some("a/1, b"),
    );
    check(&[("upgrade", "websocket")], None);
}

#[test]
fn an_upgrade_needs_http_1_1_and_no_content() {
    let asked = fields(&[("upgrade", "websocket"), ("connection", "upgrade")]);
    assert!(wishes(&asked, Version::HTTP_11, true).upgrade.is_none());
    assert!(wishes(&asked, Version::HTTP_10, false).upgrade.is_none());
    assert!(wishes(&asked, Version::HTTP_2, false).upgrade.is_none());
}

#[test]
fn an_answer_switches_to_one_of_the_protocols_asked_for() {
    let asked = fields(&[("upgrade", "a/1, b"), ("connection", "upgrade")]);
    let wishes = self::wishes(&asked, Version::HTTP_11, false);
    for (answered, expected) in [("A/1", true), ("b", true), ("a", false), ("a/1, b", false)] {
        assert_eq!(
            wishes.allow(&fields(&[("upgrade", answered)])),
            expected,
            "{answered}"
        );
    }
    assert!(!wishes.allow(&fields(&[])));
    assert!(!Wishes::default().allow(&fields(&[("upgrade", "b")])));
}

#[test]
fn trailers_are_said_again_of_our_connection() {
    for (value, expected) in [
        ("trailers", true),
        ("gzip;q=0.5, Trailers", true),
        ("gzip", false),
    ] {
        let asked = fields(&[("te", value), ("connection", "te")]);
        let wishes = self::wishes(&asked, Version::HTTP_11, false);
        assert_eq!(wishes.trailers, expected, "{value}");
        let proxied = proxied_with(asked, Some(0), &wishes);
        assert_eq!(proxied.contains_key(TE), expected, "{value}");
    }
}

#[test]
fn trailers_hold_nothing_that_belongs_in_a_head() {
    let mut trailers = fields(&[
        ("x-checksum", "1"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("authorization", "Bearer x"),
        ("set-cookie", "a=b"),
        ("connection", "close"),
        ("host", "b"),
        ("grpc-status", "0"),
    ]);
    strip_trailers(&mut trailers);
    assert_eq!(names(&trailers), ["grpc-status", "x-checksum"]);
}
