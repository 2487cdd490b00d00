//! Which requests are answered, which are refused, and how each is counted.

use super::support::{comes_to, metrics, quiet, start, value};
use crate::support::{Client, Upstream, get, request, response};

const CONFIG: &str = r#"
upstreams:
  - { name: one, endpoints: ["{0}"] }
routes:
  - { path: /one/*, proxy: one }
  - path: /both/{id}
    fan_out: { policy: error, calls: [{ name: a, upstream: one, path: "/a/{id}" }, { name: b, upstream: one, path: "/b?x={id}" }] }
"#;

#[tokio::test]
async fn requests_are_answered_and_counted_by_route_and_code() {
    let upstream = Upstream::answering(|head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let status = if target.ends_with("teapot") { 418 } else { 200 };
        response(status, format!("\"{target}\""))
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let answer = get(gateway.listen_addr(), "/one/x?y=1").await;
    assert_eq!((answer.status, answer.text()), (200, "\"/one/x?y=1\""));
    let answer = get(gateway.listen_addr(), "/one/teapot").await;
    assert_eq!(answer.status, 418);
    let answer = get(gateway.listen_addr(), "/both/7%26").await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, r#"{"a":"/a/7%26","b":"/b?x=7%26"}"#)
    );
    let answer = get(gateway.listen_addr(), "/neither").await;
    assert_eq!(
        (answer.status, answer.text()),
        (404, "no route matches this path\n")
    );
    quiet(&gateway).await;
    let text = metrics(&gateway).await;
    for (series, count) in [
        (r#"gateway_requests_total{route="/one/*",code="200"}"#, 1.0),
        (r#"gateway_requests_total{route="/one/*",code="418"}"#, 1.0),
        (
            r#"gateway_requests_total{route="/both/{id}",code="200"}"#,
            1.0,
        ),
        (
            r#"gateway_requests_total{route="unmatched",code="404"}"#,
            1.0,
        ),
        (
            r#"gateway_request_duration_seconds_count{route="/one/*"}"#,
            2.0,
        ),
        (
            r#"gateway_upstream_requests_total{upstream="one",result="ok"}"#,
            4.0,
        ),
        (r#"tokio_task_instrumented_total{task="fan_out"}"#, 2.0),
        (r#"tokio_task_live{task="fan_out"}"#, 0.0),
    ] {
        assert_eq!(value(&text, series), Some(count), "{series}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_request_id_goes_on_and_comes_back() {
    let upstream = Upstream::answering(|head| {
        let id = head
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "));
        response(200, id.unwrap_or("none"))
    })
    .await;
    let config = format!("trusted_peers: [127.0.0.1]\n{CONFIG}");
    let gateway = start(&config, &[upstream.address]).await;
    let asked =
        "GET /one/x HTTP/1.1\r\nhost: a\r\nx-request-id: mine-7\r\nconnection: close\r\n\r\n";
    let answer = request(gateway.listen_addr(), asked).await;
    assert_eq!(
        (answer.text(), answer.field("x-request-id")),
        ("mine-7", Some("mine-7"))
    );
    let answer = get(gateway.listen_addr(), "/one/x").await;
    let made = answer.text().to_owned();
    assert_eq!(made.len(), 32);
    assert_eq!(answer.field("x-request-id"), Some(&*made));
    gateway.shutdown().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let answer = request(gateway.listen_addr(), asked).await;
    assert_eq!(answer.text().len(), 32, "nobody vouches for the client");
    assert_eq!(answer.field("x-request-id"), Some(answer.text()));
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_trace_goes_on_and_is_shown() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let upstream = Upstream::answering(|head| {
        let of_the_trace = |line: &&str| line.starts_with("trace");
        let fields: Vec<&str> = head.lines().filter(of_the_trace).collect();
        response(200, fields.join("\n"))
    })
    .await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let asked = format!(
        "GET /one/x HTTP/1.1\r\nhost: a\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\ntracestate: v=1\r\nconnection: close\r\n\r\n"
    );
    let answer = request(gateway.listen_addr(), &asked).await;
    let lines: Vec<&str> = answer.text().lines().collect();
    let [parent, state] = lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(state, "tracestate: v=1");
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!(
        (parts[0], parts[1], parts[3]),
        ("traceparent: 00", TRACE, "01")
    );
    assert_ne!(parts[2], "b7ad6b7169203331");
    let begun = get(gateway.listen_addr(), "/one/x").await;
    assert!(
        begun.text().starts_with("traceparent: 00-"),
        "{}",
        begun.text()
    );
    gateway.shutdown().await;

    let upstream = Upstream::hanging().await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut client = Client::connect(gateway.listen_addr()).await;
    client.send(asked.as_bytes()).await.expect("sent");
    let in_use = r#"gateway_pool_connections{upstream="one",state="in_use"}"#;
    comes_to(&gateway, in_use, 1.0).await;
    let admin = gateway.admin_addr().expect("configured");
    for resource in ["request", "pool_connection"] {
        let answer = get(admin, &format!("/debug/open?resource={resource}")).await;
        let open: serde_json::Value = serde_json::from_str(answer.text()).expect("JSON");
        assert_eq!(open["entries"][0]["owner"]["trace_id"], TRACE, "{open}");
    }
    drop(client);
    gateway.shutdown().await;
}

/// What the gateway answers to these bytes: the status line, and whether the connection stays open.
async fn answer_to(gateway: &instrumented_gateway::gateway::Running, bytes: &[u8]) -> String {
    let mut client = Client::connect(gateway.listen_addr()).await;
    // A refusal may come before all is sent.
    let _ = client.send(bytes).await;
    let answer = client.answer().await;
    let text = answer.text().trim().to_owned();
    format!("{} {text}", answer.status)
}

#[tokio::test]
async fn bad_requests_are_refused_and_counted() {
    let upstream = Upstream::answering(|_| response(200, "passed on")).await;
    let config = format!("limits: {{ max_header_bytes: 8KiB, max_headers: 10 }}\n{CONFIG}");
    let gateway = start(&config, &[upstream.address]).await;
    let long = format!(
        "GET /one/x HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "y".repeat(9000)
    );
    let many = format!(
        "GET /one/x HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "x: y\r\n".repeat(11)
    );
    let cases: &[(&str, &str)] = &[
        ("GET /one/x HTTP/1.1\r\nhost: a\r\n\r\n", "200 passed on"),
        ("GET /one/x HTTP/1.0\r\n\r\n", "200 passed on"),
        (
            "GET http://b/one/x HTTP/1.1\r\nhost: a\r\n\r\n",
            "200 passed on",
        ),
        ("GET /one/x HTTP/1.1\r\n\r\n", "400 the request has no Host"),
        (
            "GET /one/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            "400 the request has more than one Host",
        ),
        (
            "GET /one/x HTTP/1.1\r\nhost: a b\r\n\r\n",
            "400 the Host is not a host name or address with an optional port",
        ),
        (
            "GET ftp://b/one/x HTTP/1.1\r\nhost: b\r\n\r\n",
            "400 the request target has another scheme than http or https",
        ),
        (
            "POST /one/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "501 no transfer coding but `chunked` is supported",
        ),
        (
            "POST /one/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "400 `chunked` stands twice in Transfer-Encoding",
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
            "501 CONNECT is not supported",
        ),
        (
            "GET /one/../x HTTP/1.1\r\nhost: a\r\n\r\n",
            "400 the path has a `.` or `..` segment",
        ),
        (
            "GET /one/%2e%2E/x HTTP/1.1\r\nhost: a\r\n\r\n",
            "400 the path has a `.` or `..` segment",
        ),
        (
            "GET * HTTP/1.1\r\nhost: a\r\n\r\n",
            "400 the target `*` is for OPTIONS only",
        ),
        ("GET  /one/x HTTP/1.1\r\nhost: a\r\n\r\n", "400 "),
        ("not http at all\r\n\r\n", "400 "),
        ("GET /one/x HTTP/1.1\r\nhost : a\r\n\r\n", "400 "),
        (
            "POST /one/x HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
            "400 ",
        ),
        (
            "POST /one/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "400 ",
        ),
        (&long, "431 "),
        (&many, "431 "),
    ];
    let mut refused = 0.0;
    for (bytes, expected) in cases {
        assert_eq!(
            &answer_to(&gateway, bytes.as_bytes()).await,
            expected,
            "{bytes}"
        );
        refused += if expected.starts_with("200") {
            0.0
        } else {
            1.0
        };
    }
    let unmatched =
        |text: &str| super::support::sum(text, "gateway_requests_total", &["route=\"unmatched\""]);
    let counted = async {
        while unmatched(&metrics(&gateway).await) != refused {
            tokio::task::yield_now().await;
        }
    };
    crate::support::soon("every refusal is counted", counted).await;
    comes_to(
        &gateway,
        r#"gateway_requests_total{route="unmatched",code="431"}"#,
        2.0,
    )
    .await;
    comes_to(
        &gateway,
        r#"gateway_requests_total{route="unmatched",code="501"}"#,
        2.0,
    )
    .await;
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_follows_a_refused_request_with_content_is_not_read_as_another() {
    let upstream = Upstream::answering(|_| response(200, "passed on")).await;
    let gateway = start(CONFIG, &[upstream.address]).await;
    let mut client = Client::connect(gateway.listen_addr()).await;
    let smuggled = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /one/x HTTP/1.1\r\nhost: a\r\n\r\n";
    client.send(smuggled.as_bytes()).await.expect("sent");
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (501, Some("close"))
    );
    assert_eq!(client.exactly(1).await, (Vec::new(), false));
    assert_eq!(upstream.accepted(), 0);
    gateway.shutdown().await;
}
