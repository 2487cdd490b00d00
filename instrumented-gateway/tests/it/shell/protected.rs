//! The operator's listeners behind a web configuration file; clients' own listener stays as it is.

use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::Gateway;
use instrumented_gateway::telemetry::Telemetry;

use super::support::text;
use crate::support::{Certificates, Upstream, get, request};

const CONFIG: &str = "upstreams: [{ name: one, endpoints: [\"{0}\"] }]\nroutes: [{ path: /*, proxy: one }]\nweb_config_file: web.yml\n";
/// `alice123`, as in the exporters' own example.
const USERS: &str = "basic_auth_users: { alice: $2y$12$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby }\nhttp_server_config: { headers: { X-Frame-Options: deny } }\n";

#[tokio::test]
async fn metrics_and_admin_ask_for_the_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::hanging().await;
    std::fs::write(folder.path().join("web.yml"), USERS).expect("written");
    let path = folder.path().join("gateway.yml");
    std::fs::write(&path, text(CONFIG, &[upstream.address])).expect("written");
    let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
    let gateway = Gateway::start(config, Telemetry::default())
        .await
        .expect("started");
    let admin = gateway.admin_addr().expect("an admin listener");
    for (address, path) in [
        (gateway.metrics_addr(), "/metrics"),
        (gateway.metrics_addr(), "/live"),
        (admin, "/debug/open"),
    ] {
        let answer = get(address, path).await;
        assert_eq!(
            (answer.status, answer.field("x-frame-options")),
            (401, Some("deny")),
            "{path}"
        );
        assert!(
            answer
                .field("www-authenticate")
                .is_some_and(|field| field.starts_with("Basic"))
        );
        // alice:guess, then alice:alice123
        for (login, expected) in [("YWxpY2U6Z3Vlc3M=", 401), ("YWxpY2U6YWxpY2UxMjM=", 200)] {
            let head = format!(
                "GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Basic {login}\r\nconnection: close\r\n\r\n"
            );
            assert_eq!(
                request(address, &head).await.status,
                expected,
                "{path} {login}"
            );
        }
    }
    // No route of the gateway's clients asks for anything.
    assert_eq!(
        request(
            gateway.listen_addr(),
            "GET /a HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n"
        )
        .await
        .status,
        400
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn plain_http_is_told_that_tls_is_spoken() {
    let files = Certificates::new();
    let upstream = Upstream::hanging().await;
    files.write(
        "web.yml",
        "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n",
    );
    files.write("gateway.yml", &text(CONFIG, &[upstream.address]));
    let path = files.folder().join("gateway.yml");
    let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
    let gateway = Gateway::start(config, Telemetry::default())
        .await
        .expect("started");
    let answer = get(gateway.metrics_addr(), "/metrics").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("speaks HTTPS"), "{}", answer.text());
    gateway.shutdown().await;
}

#[test]
fn mistakes_of_the_web_configuration_are_those_of_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("web.yml"),
        "tls_server_config: { cert_file: cert.pem }\n",
    )
    .expect("written");
    let path = folder.path().join("gateway.yml");
    std::fs::write(
        &path,
        text(CONFIG, &["127.0.0.1:9".parse().expect("an address")]),
    )
    .expect("written");
    let error = Config::load(&path).expect_err("a mistake").to_string();
    assert!(error.contains("web_config_file: "), "{error}");
    assert!(
        error.contains("line 1: tls_server_config: `key_file` is missing"),
        "{error}"
    );
}
