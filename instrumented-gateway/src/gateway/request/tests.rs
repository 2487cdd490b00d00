use http::{HeaderMap, Method, Request};

use super::*;

/// What is said of a request alone.
fn check_alone<B>(request: &mut Request<B>, origin: &Origin) -> Result<(), Refusal> {
    let present = Present::of(request.headers());
    check(request, present, origin)
}

/// What `check` says of a request: the Host that goes on, or the refusal.
#[track_caller]
fn checked(target: &str, fields: &[(&str, &str)], expected: &str) {
    let mut builder = Request::builder().uri(target);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    let mut request = builder.body(()).expect("a request");
    let said = match check_alone(&mut request, &Origin::default()) {
        Ok(()) => match request.headers().get(HOST) {
            Some(host) => host.to_str().expect("text").to_owned(),
            None => "-".to_owned(),
        },
        Err(refusal) => format!("{} {refusal}", refusal.status().as_u16()),
    };
    assert_eq!(said, expected, "{target} {fields:?}");
}

#[test]
fn hosts() {
    checked("/", &[("host", "example.org")], "example.org");
    checked("/", &[("host", "example.org:8080")], "example.org:8080");
    checked("/", &[("host", "[::1]:80")], "[::1]:80");
    checked("/", &[], "400 the request has no Host");
    checked(
        "/",
        &[("host", "a"), ("host", "a")],
        "400 the request has more than one Host",
    );
    let invalid = "400 the Host is not a host name or address with an optional port";
    for host in ["", "a b", "u@a", "a/b", "a:b", "a:99999", "a,b c"] {
        checked("/", &[("host", host)], invalid);
    }
}

#[test]
fn an_absolute_target_names_the_host() {
    checked("http://b:1/x", &[("host", "a")], "b:1");
    checked("http://b/x", &[], "400 the request has no Host");
    checked(
        "https://b/x",
        &[("host", "b")],
        "421 the request target is for https, the connection is not",
    );
    checked(
        "http://u:p@b/x",
        &[("host", "b")],
        "400 the Host is not a host name or address with an optional port",
    );
}

#[test]
fn https_needs_tls_or_a_trusted_peer() {
    let ask = |origin: Origin| {
        let builder = Request::builder().uri("https://b/x").header("host", "b");
        let mut request = builder.body(()).expect("a request");
        check_alone(&mut request, &origin)
    };
    let (secure, trusted) = (true, true);
    assert_eq!(ask(Origin::default()), Err(Refusal::Insecure));
    assert_eq!(
        ask(Origin {
            secure,
            ..Origin::default()
        }),
        Ok(())
    );
    assert_eq!(
        ask(Origin {
            trusted,
            ..Origin::default()
        }),
        Ok(())
    );
    checked(
        "ftp://b/x",
        &[("host", "b")],
        "400 the request target has another scheme than http or https",
    );
}

#[test]
fn http_2_has_one_host() {
    let ask = |target: &str, host: Option<&str>| {
        let mut builder = Request::builder().version(Version::HTTP_2).uri(target);
        if let Some(host) = host {
            builder = builder.header("host", host);
        }
        let mut request = builder.body(()).expect("a request");
        check_alone(&mut request, &Origin::default())
    };
    assert_eq!(ask("http://b/x", None), Ok(()));
    assert_eq!(ask("http://b/x", Some("B")), Ok(()));
    assert_eq!(ask("http://b/x", Some("c")), Err(Refusal::TwoHosts));
    assert_eq!(ask("/x", Some("b")), Ok(()));
    assert_eq!(ask("/x", None), Err(Refusal::NoHost));
}

#[test]
fn expectations() {
    let host = ("host", "a");
    checked("/", &[host, ("expect", "100-Continue")], "a");
    let refused = "417 no expectation but `100-continue` is met";
    checked("/", &[host, ("expect", "200-ok")], refused);
    checked("/", &[host, ("expect", "100-continue, x")], refused);
}

#[test]
fn http_1_0_needs_no_host() {
    let mut request = Request::builder()
        .version(Version::HTTP_10)
        .uri("/")
        .body(())
        .expect("a request");
    assert_eq!(check_alone(&mut request, &Origin::default()), Ok(()));
}

#[test]
fn transfer_codings() {
    let host = ("host", "a");
    checked("/", &[host, ("transfer-encoding", "Chunked")], "a");
    let unsupported = "501 no transfer coding but `chunked` is supported";
    for value in [
        "gzip, chunked",
        "identity",
        "chunked, gzip",
        "x,chunked",
        "",
    ] {
        checked("/", &[host, ("transfer-encoding", value)], unsupported);
    }
    let twice = "400 `chunked` stands twice in Transfer-Encoding";
    checked(
        "/",
        &[host, ("transfer-encoding", "chunked, chunked")],
        twice,
    );
    checked(
        "/",
        &[
            host,
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ],
        twice,
    );
}

#[test]
fn connect_is_refused() {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("a:443")
        .header("host", "a:443")
        .body(())
        .expect("a request");
    assert_eq!(
        check_alone(&mut request, &Origin::default()),
        Err(Refusal::Connect)
    );
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn a_passed_on_deadline_is_a_whole_number_of_milliseconds() {
    let read = |value: &'static str| {
        let fields = headers(&[("x-request-deadline-ms", value)]);
        deadline_milliseconds(&fields, Present::of(&fields))
    };
    assert_eq!(read("250"), Some(250));
    for value in ["", "-1", "1.5", "soon"] {
        assert_eq!(read(value), None, "{value}");
    }
}

#[test]
fn a_plain_name_is_a_host_by_the_grammar_too() {
    for host in [
        "a",
        "EXAMPLE.org",
        "192.0.2.1",
        "a-b.c:80",
        "a:",
        "a:0080",
        "a:65535",
    ] {
        assert!(is_plain_name(host.as_bytes()), "{host}");
        assert!(host.parse::<Authority>().is_ok(), "{host}");
    }
    for other in [
        "", ":80", "a:80:80", "a:8o", "a:65536", "a:000080", "[::1]", "a@b", "a b", "a/b", "a_b",
        "\u{e9}",
    ] {
        assert!(!is_plain_name(other.as_bytes()), "{other}");
    }
}
