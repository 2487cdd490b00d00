//! TLS of clients' connections.

use instrumented_gateway::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ROUTES, TLS, start};
use crate::shell::support::{comes_to, metrics, quiet, text, value};
use crate::support::{Certificates, Upstream, get, get_of, http2, response, shake, soon, text_of};

#[tokio::test]
async fn both_protocols_are_spoken_as_the_handshake_agrees() {
    let upstream = Upstream::answering(|head| response(200, head)).await;
    let certificates = Certificates::new();
    let gateway = start(
        &certificates,
        &format!("{TLS}{ROUTES}"),
        &[upstream.address],
    )
    .await;

    let tls = certificates.client(&["http/1.1"]);
    let mut stream = shake(gateway.listen_addr(), &tls)
        .await
        .expect("a handshake");
    let request = b"GET /a HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    soon("an answer", read)
        .await
        .expect("an answer and its end");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("GET /a HTTP/1.1"), "{answer}");

    let tls = certificates.client(&["h2", "http/1.1"]);
    let stream = shake(gateway.listen_addr(), &tls)
        .await
        .expect("a handshake");
    let (mut sender, _task) = http2(stream).await;
    let answer = soon("an answer", sender.send_request(get_of("/b"))).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert!(
        text_of(answer)
            .await
            .expect("text")
            .starts_with("GET /b HTTP/1.1")
    );

    // One that knows no protocol at all.
    let tls = certificates.client(&[]);
    let mut stream = shake(gateway.listen_addr(), &tls)
        .await
        .expect("a handshake");
    stream.write_all(request).await.expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    drop((sender, stream));
    quiet(&gateway).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn http2_is_not_offered_where_it_is_off() {
    let upstream = Upstream::answering(|_| response(200, "ok")).await;
    let certificates = Certificates::new();
    let config = format!("{TLS}http2: off\n{ROUTES}");
    let gateway = start(&certificates, &config, &[upstream.address]).await;
    let both = certificates.client(&["h2", "http/1.1"]);
    let stream = shake(gateway.listen_addr(), &both)
        .await
        .expect("a handshake");
    assert_eq!(stream.protocol(), Some(&b"http/1.1"[..]));
    let only = certificates.client(&["h2"]);
    shake(gateway.listen_addr(), &only)
        .await
        .expect_err("no protocol in common");
    drop(stream);
    gateway.shutdown().await;
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_so() {
    let upstream = Upstream::hanging().await;
    let certificates = Certificates::new();
    let gateway = start(
        &certificates,
        &format!("{TLS}{ROUTES}"),
        &[upstream.address],
    )
    .await;
    let answer = get(gateway.listen_addr(), "/").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("speaks HTTPS"), "{}", answer.text());
    comes_to(
        &gateway,
        r#"gateway_tls_handshake_failures_total{listener="listen"}"#,
        1.0,
    )
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn changed_certificates_are_shown_and_broken_ones_are_not() {
    let upstream = Upstream::answering(|_| response(200, "ok")).await;
    let certificates = Certificates::new();
    let gateway = start(
        &certificates,
        &format!("{TLS}{ROUTES}"),
        &[upstream.address],
    )
    .await;
    let tls = certificates.client(&["http/1.1"]);
    shake(gateway.listen_addr(), &tls)
        .await
        .expect("localhost's");

    certificates.issue("elsewhere");
    let error = shake(gateway.listen_addr(), &tls).await;
    let error = error.expect_err("another's").to_string();
    assert!(error.contains("not valid for name"), "{error}");
    certificates.issue("localhost");
    assert!(gateway.reread_certificates());
    shake(gateway.listen_addr(), &tls)
        .await
        .expect("localhost's");

    certificates.write("cert.pem", "nonsense");
    assert!(!gateway.reread_certificates());
    for _ in 0..3 {
        shake(gateway.listen_addr(), &tls)
            .await
            .expect("the former");
    }
    let metrics = metrics(&gateway).await;
    let reloads = |result: &str| {
        let series = format!(r#"gateway_tls_reloads_total{{listener="listen",result="{result}"}}"#);
        value(&metrics, &series)
    };
    assert_eq!(
        (reloads("renewed"), reloads("refused")),
        (Some(2.0), Some(1.0))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_certificate_of_the_client_is_demanded_where_the_section_says_so() {
    let upstream = Upstream::hanging().await;
    let certificates = Certificates::new();
    let tls = "tls: { cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert }\n";
    let gateway = start(
        &certificates,
        &format!("{tls}{ROUTES}"),
        &[upstream.address],
    )
    .await;
    let without = certificates.client(&["http/1.1"]);
    let mut stream = shake(gateway.listen_addr(), &without)
        .await
        .expect("TLS 1.3 tells later");
    stream.read_u8().await.expect_err("it is told now");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_reload_puts_another_section_in_force_and_cannot_take_it_away() {
    let upstream = Upstream::hanging().await;
    let certificates = Certificates::new();
    let plain = format!("{TLS}{ROUTES}");
    let gateway = start(&certificates, &plain, &[upstream.address]).await;
    let load = |config: &str| {
        let path = certificates.folder().join("gateway.yml");
        std::fs::write(&path, text(config, &[upstream.address])).expect("written");
        Config::load(&path).unwrap_or_else(|error| panic!("{error}"))
    };
    let demanding = plain.replace("key.pem", "key.pem, client_auth_type: RequireAnyClientCert");
    gateway
        .replace(load(&demanding))
        .expect("nothing fixed has changed");
    let without = certificates.client(&["http/1.1"]);
    let mut stream = shake(gateway.listen_addr(), &without)
        .await
        .expect("told later");
    stream.read_u8().await.expect_err("it is told now");
    gateway
        .replace(load(&plain))
        .expect("nothing fixed has changed");
    shake(gateway.listen_addr(), &without)
        .await
        .expect("as before");
    certificates.issue("elsewhere");
    shake(gateway.listen_addr(), &without)
        .await
        .expect_err("files are looked at as before");
    let error = gateway.replace(load(ROUTES)).expect_err("a restart");
    assert!(format!("{error:?}").contains("\"tls\""), "{error:?}");
    gateway.shutdown().await;
}

#[test]
fn mistakes_are_told_with_key_and_line() {
    let told = |rest: &str| {
        let text = text(rest, &[]);
        Config::parse(&text).expect_err("a mistake").to_string()
    };
    let upstream = |keys: &str| {
        told(&format!(
            "upstreams:\n  - {{ name: a, {keys} }}\nroutes: [{{ path: /, proxy: a }}]\n"
        ))
    };
    let cases = [
        (
            told("tls: { cert_file: gone.pem }\n"),
            "line 4: tls.cert_file: gone.pem cannot be read",
        ),
        (
            told("tls: { cert_file: gone.pem }\n"),
            "line 4: tls: `key_file` is missing",
        ),
        (
            told("http2: maybe\n"),
            "line 4: http2: `maybe` is none of auto, off, prior_knowledge",
        ),
        (
            upstream("endpoints: [\"http://a:1\"], tls: { server_name: x }"),
            "line 5: upstreams[0].tls: does nothing: no endpoint is reached by https",
        ),
        (
            upstream("endpoints: [\"https://a\"], tls: { ca_file: gone.pem }"),
            "line 5: upstreams[0].tls.ca_file: gone.pem cannot be read",
        ),
        (
            upstream("endpoints: [\"http://a\"], stream_window: 1GiB"),
            "line 5: upstreams[0].stream_window: `stream_window` times `max_streams` is 107374182400 bytes",
        ),
        (
            upstream("endpoints: [\"http://a\"], max_streams: 0"),
            "line 5: upstreams[0].max_streams: `0` must be between 1 and 10000",
        ),
    ];
    for (told, expected) in cases {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
}
