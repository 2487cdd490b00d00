//! Upstreams of https: verified, and spoken to as the handshake agrees.

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::Running;
use instrumented_gateway::telemetry::Telemetry;

use super::{answer, https};
use crate::shell::support::{comes_to, metrics, quiet, sum, text};
use crate::support::{Certificates, Http2Upstream, Peer, Upstream, get, request, soon};

async fn gateway(certificates: &Certificates, config: &str) -> Running {
    let path = certificates.folder().join("gateway.yml");
    std::fs::write(&path, text(config, &[])).expect("written");
    let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
    instrumented_gateway::gateway::Gateway::start(config, Telemetry::default())
        .await
        .expect("started")
}

/// Answers over whatever the handshake agrees on, with its name.
async fn upstream(certificates: &Certificates, protocols: &[&str]) -> Http2Upstream {
    Http2Upstream::serving(
        Some(certificates.server(protocols)),
        |connection| async move {
            let is_http2 = connection.protocol() == Some(b"h2");
            let service = service_fn(|request: Request<Incoming>| async move {
                Ok::<_, std::convert::Infallible>(answer(format!("{:?}", request.version())))
            });
            let io = TokioIo::new(connection);
            if is_http2 {
                let executor = crate::support::Spawner;
                let http2 = hyper::server::conn::http2::Builder::new(executor);
                let _ = http2.serve_connection(io, service).await;
            } else {
                let _ = http1::Builder::new().serve_connection(io, service).await;
            }
        },
    )
    .await
}

const BOTH: &[&str] = &["h2", "http/1.1"];
const CA: &str = ", tls: { ca_file: ca.pem }";

#[tokio::test]
async fn the_handshake_agrees_on_the_protocol() {
    for (offered, keys, expected) in [
        (BOTH, "", "HTTP/2.0"),
        (&["http/1.1"], "", "HTTP/1.1"),
        (&[], "", "HTTP/1.1"),
        (BOTH, ", http2: off", "HTTP/1.1"),
        (BOTH, ", http2: prior_knowledge", "HTTP/2.0"),
        (&[], ", http2: prior_knowledge", "HTTP/2.0"),
    ] {
        let certificates = Certificates::new();
        let upstream = upstream(&certificates, offered).await;
        // Without an agreement this one takes HTTP/1.1, and what is sent is then no request.
        let config = https(upstream.address, &format!("{CA}{keys}"));
        let gateway = gateway(&certificates, &config).await;
        for _ in 0..2 {
            let answer = get(gateway.listen_addr(), "/").await;
            if offered.is_empty() && expected == "HTTP/2.0" {
                assert_eq!(answer.status, 502, "{keys} {answer:?}");
            } else {
                assert_eq!(answer.text(), expected, "{keys}");
            }
        }
        quiet(&gateway).await;
        soon("the end", gateway.shutdown()).await;
    }
}

#[tokio::test]
async fn what_may_switch_protocols_has_a_connection_of_http1_to_itself() {
    let certificates = Certificates::new();
    let upstream = upstream(&certificates, BOTH).await;
    let keys = format!("{CA}, max_connections: 1, max_idle: 1");
    let gateway = gateway(&certificates, &https(upstream.address, &keys)).await;
    let upgrade =
        "GET / HTTP/1.1\r\nhost: g\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n";
    for _ in 0..2 {
        // The place of the shared connection goes to the other one, and back.
        assert_eq!(get(gateway.listen_addr(), "/").await.text(), "HTTP/2.0");
        quiet(&gateway).await;
        let answer = request(gateway.listen_addr(), upgrade).await;
        assert_eq!(answer.text(), "HTTP/1.1");
        quiet(&gateway).await;
        // One of HTTP/1.1 that did not switch serves others as well; when it is gone they share again.
        assert_eq!(get(gateway.listen_addr(), "/").await.text(), "HTTP/1.1");
        quiet(&gateway).await;
        upstream.close_all();
        let idle = r#"gateway_pool_connections{upstream="one",state="idle"}"#;
        comes_to(&gateway, idle, 0.0).await;
    }
    soon("the end", gateway.shutdown()).await;
}

#[tokio::test]
async fn nobody_else_is_taken_for_the_upstream() {
    let certificates = Certificates::new();
    let upstream = upstream(&certificates, BOTH).await;
    for (keys, status) in [
        (CA, 200),
        (", tls: { ca_file: ca.pem, server_name: elsewhere }", 502),
        (
            ", tls: { insecure_skip_verify: true, server_name: elsewhere }",
            200,
        ),
        ("", 502),
    ] {
        let gateway = gateway(&certificates, &https(upstream.address, keys)).await;
        assert_eq!(
            get(gateway.listen_addr(), "/").await.status,
            status,
            "{keys}"
        );
        quiet(&gateway).await;
        let text = metrics(&gateway).await;
        let failed = [
            r#"resource="pool_connection""#,
            r#"outcome="connect_failed""#,
        ];
        let failed = sum(&text, "resource_ledger_closed_total", &failed);
        assert_eq!(failed > 0.0, status == 502, "{keys}");
        soon("the end", gateway.shutdown()).await;
    }
}

#[tokio::test]
async fn a_handshake_is_bounded_and_ends_with_its_client() {
    let upstream = Upstream::start(Peer::until_closed).await;
    let certificates = Certificates::new();
    let keys = format!("{CA}, connect_timeout: 300ms");
    let gateway = gateway(&certificates, &https(upstream.address, &keys)).await;
    let answer = get(gateway.listen_addr(), "/").await;
    assert_eq!(answer.status, 504, "{answer:?}");
    quiet(&gateway).await;
    let client = crate::support::Client::asking(gateway.listen_addr(), "/").await;
    let connecting = r#"gateway_pool_connections{upstream="one",state="connecting"}"#;
    comes_to(&gateway, connecting, 1.0).await;
    drop(client);
    quiet(&gateway).await;
    let text = metrics(&gateway).await;
    let closed = |outcome: &str| {
        let labels = [r#"resource="pool_connection""#, outcome];
        sum(&text, "resource_ledger_closed_total", &labels)
    };
    let outcomes = (
        closed(r#"outcome="connect_failed""#),
        closed(r#"outcome="client_gone""#),
    );
    assert!(
        outcomes == (1.0, 1.0) || outcomes == (2.0, 0.0),
        "{outcomes:?}"
    );
    soon("the end", gateway.shutdown()).await;
}

#[tokio::test]
async fn changed_certificates_count_from_the_next_connection_on() {
    let certificates = Certificates::new();
    let upstream = upstream(&certificates, BOTH).await;
    let keys = format!("{CA}, max_requests: 1");
    let gateway = gateway(&certificates, &https(upstream.address, &keys)).await;
    assert_eq!(get(gateway.listen_addr(), "/").await.status, 200);
    // Another authority, which has not signed what the upstream shows.
    let other = Certificates::new();
    let authority = std::fs::read_to_string(other.folder().join("ca.pem")).expect("read");
    certificates.write("ca.pem", &authority);
    assert_eq!(get(gateway.listen_addr(), "/").await.status, 502);
    certificates.write("ca.pem", "nonsense");
    assert!(!gateway.reread_certificates());
    assert_eq!(get(gateway.listen_addr(), "/").await.status, 502);
    let reloads = |result: &str| {
        format!(r#"gateway_upstream_tls_reloads_total{{upstream="one",result="{result}"}}"#)
    };
    comes_to(&gateway, &reloads("renewed"), 1.0).await;
    comes_to(&gateway, &reloads("refused"), 1.0).await;
    soon("the end", gateway.shutdown()).await;
}
