//! Through a proxy and past it.

use std::fs;

use super::*;

#[tokio::test]
async fn a_plain_request_goes_through_the_proxy_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let proxy = Server::plain(answering("200 OK", &[], "by proxy")).await;
    let yaml = format!(
        "{{ proxy_url: 'http://me:s3%25cret@{}', proxy_connect_header: {{ X-Team: [a] }} }}",
        proxy.address
    );
    // The name is the proxy's to find.
    let answer = get(&client(&yaml, &directory), "http://far.example.org:1/x").await;
    assert_told(&answer, "200 by proxy");
    let head = proxy.heads().remove(0);
    assert!(
        head.starts_with("GET http://far.example.org:1/x HTTP/1.1\r\n"),
        "{head}"
    );
    // "me:s3%cret"; the headers are for CONNECT alone.
    assert_eq!(
        header(&head, "proxy-authorization"),
        Some("Basic bWU6czMlY3JldA==")
    );
    assert_eq!(header(&head, "x-team"), None);
}

#[tokio::test]
async fn an_encrypted_request_goes_through_a_tunnel() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("ca.pem"), &authority.pem).expect("a file");
    let identity = authority.identity("far.example.org");
    let script = answering("200 OK", &[], "fine");
    let server = Server::start(Some(identity.server(&[], None)), vec![script]).await;
    let established = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
    let tunnel = vec![
        Step::Head,
        Step::Send(established),
        Step::Tunnel(server.address),
    ];
    let proxy = Server::plain(tunnel).await;
    let yaml = format!(
        "proxy_url: 'me:s3cret@{}'\nproxy_connect_header: {{ X-Team: [a] }}\ntls_config: {{ ca_file: ca.pem }}\n\
         authorization: {{ credentials: t }}",
        proxy.address
    );
    let answer = get(&client(&yaml, &directory), "https://far.example.org/x").await;
    assert_told(&answer, "200 fine");
    let head = proxy.heads().remove(0);
    assert!(
        head.starts_with("CONNECT far.example.org:443 HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(header(&head, "x-team"), Some("a"));
    assert_eq!(
        header(&head, "proxy-authorization"),
        Some("Basic bWU6czNjcmV0")
    );
    assert_eq!(header(&head, "authorization"), None);
    let head = server.heads().remove(0);
    assert_eq!(header(&head, "authorization"), Some("Bearer t"));
    assert_eq!(header(&head, "proxy-authorization"), None);
}

#[tokio::test]
async fn what_is_excepted_goes_past_the_proxy() {
    let directory = tempfile::tempdir().expect("a directory");
    let proxy = Server::plain(answering("200 OK", &[], "by proxy")).await;
    let server = Server::plain(answering("200 OK", &[], "direct")).await;
    let url = format!("http://{}/", server.address);
    let always = format!("proxy_url: 'http://{}'", proxy.address);
    assert_told(
        &get(&client(&always, &directory), &url).await,
        "200 by proxy",
    );
    // As in Go, a list of exceptions excepts loopback as well.
    let except = format!("{always}\nno_proxy: example.org");
    assert_told(&get(&client(&except, &directory), &url).await, "200 direct");
    let far = get(&client(&except, &directory), "http://far.test/").await;
    assert_told(&far, "200 by proxy");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_one_clear_error() {
    let directory = tempfile::tempdir().expect("a directory");
    for (status, expected) in [
        (
            "407 Proxy Authentication Required",
            "proxy authorization required",
        ),
        ("502 Bad Gateway", "unsuccessful"),
    ] {
        let proxy = Server::plain(answering(status, &[], "")).await;
        let yaml = format!("proxy_url: 'http://me:s3cret@{}'", proxy.address);
        let answer = get(&client(&yaml, &directory), "https://far.example.org/").await;
        assert_told(&answer, expected);
    }
}
