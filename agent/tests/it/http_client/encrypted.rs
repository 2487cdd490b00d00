//! TLS: whom the client trusts, and which certificate it shows.

use std::fs;

use super::*;

async fn serve(identity: &Identity) -> Server {
    let script = answering("200 OK", &[], "fine");
    Server::start(Some(identity.server(&[], None)), vec![script]).await
}

/// What the client says of a server, by these settings; the authority stands in `ca.pem`.
async fn told(
    yaml: &str,
    trusted: &str,
    identity: &Identity,
    host: &str,
) -> Result<String, HttpError> {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("ca.pem"), trusted).expect("a file");
    let server = serve(identity).await;
    let url = format!("https://{host}:{}/", server.address.port());
    get(&client(yaml, &directory), &url).await
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_its_name() {
    let (own, other) = (Authority::new(), Authority::new());
    let ca = "tls_config: { ca_file: ca.pem }";
    let here = own.identity("127.0.0.1");
    assert_told(&told(ca, &own.pem, &here, "127.0.0.1").await, "200 fine");
    assert_told(
        &told(ca, &own.pem, &own.identity("localhost"), "localhost").await,
        "200 fine",
    );
    let nobody = "no connection: nobody who is trusted here signed the server's certificate (tls_config.ca_file)";
    assert_told(&told(ca, &other.pem, &here, "127.0.0.1").await, nobody);
    assert_told(&told("{}", "", &here, "127.0.0.1").await, nobody);
    let expired = own.expired("127.0.0.1");
    assert_told(
        &told(ca, &own.pem, &expired, "127.0.0.1").await,
        "the server's certificate has expired",
    );
    let elsewhere = own.identity("exporter.example.org");
    assert_told(
        &told(ca, &own.pem, &elsewhere, "127.0.0.1").await,
        "the server's certificate is not for 127.0.0.1 (tls_config.server_name)",
    );
    let named = "tls_config: { ca_file: ca.pem, server_name: exporter.example.org }";
    assert_told(
        &told(named, &own.pem, &elsewhere, "127.0.0.1").await,
        "200 fine",
    );
    assert_told(
        &told(named, &own.pem, &here, "127.0.0.1").await,
        "the server's certificate is not for exporter.example.org",
    );
    let inline = format!(
        "tls_config:\n  ca: |\n    {}\n",
        own.pem.replace('\n', "\n    ")
    );
    assert_told(&told(&inline, "", &here, "127.0.0.1").await, "200 fine");
}

#[tokio::test]
async fn whoever_answers_will_do_where_the_settings_say_so() {
    let careless = "tls_config: { insecure_skip_verify: true }";
    let stranger = Authority::new().expired("elsewhere.example.org");
    assert_told(
        &told(careless, "", &stranger, "127.0.0.1").await,
        "200 fine",
    );
    let own = Identity::self_signed("elsewhere.example.org", true);
    assert_told(&told(careless, "", &own, "127.0.0.1").await, "200 fine");
}

#[tokio::test]
async fn a_server_may_be_its_own_authority() {
    let ca = "tls_config: { ca_file: ca.pem }";
    for authority in [false, true] {
        let own = Identity::self_signed("127.0.0.1", authority);
        assert_told(
            &told(ca, &own.certificate, &own, "127.0.0.1").await,
            "200 fine",
        );
        assert_told(
            &told(ca, &own.certificate, &own, "localhost").await,
            "is not for localhost",
        );
        let other = Identity::self_signed("127.0.0.1", authority);
        assert!(
            told(ca, &other.certificate, &own, "127.0.0.1")
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn versions_are_those_of_the_settings() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    for (version, expected) in [("TLS12", "200 fine"), ("TLS13", "200 fine")] {
        let yaml = format!(
            "tls_config: {{ ca_file: ca.pem, min_version: {version}, max_version: {version} }}"
        );
        assert_told(
            &told(&yaml, &authority.pem, &identity, "127.0.0.1").await,
            expected,
        );
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_has_one() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("a file");
    };
    write("ca.pem", &servers.pem);
    for (name, authority) in [("own", &clients), ("strange", &strangers)] {
        let identity = authority.identity("agent");
        write(&format!("{name}.pem"), &identity.certificate);
        write(&format!("{name}.key"), &identity.key);
    }
    let identity = servers.identity("127.0.0.1");
    let tls = identity.server(&[], Some(&clients));
    let server = Server::start(Some(tls), vec![answering("200 OK", &[], "fine")]).await;
    let url = format!("https://{}/", server.address);
    let own = "tls_config: { ca_file: ca.pem, cert_file: own.pem, key_file: own.key }";
    assert_told(&get(&client(own, &directory), &url).await, "200 fine");
    let without = get(&client("tls_config: { ca_file: ca.pem }", &directory), &url).await;
    assert_told(
        &without,
        "the server wants another certificate of ours (tls_config.cert_file)",
    );
    let strange = "tls_config: { ca_file: ca.pem, cert_file: strange.pem, key_file: strange.key }";
    assert!(get(&client(strange, &directory), &url).await.is_err());
    let mixed = "tls_config: { ca_file: ca.pem, cert_file: own.pem, key_file: strange.key }";
    assert_told(
        &get(&client(mixed, &directory), &url).await,
        "tls_config: the client's certificate and key",
    );
    // The pair is exchanged under the running client, as a certificate manager does.
    let rotating = client(strange, &directory);
    assert!(get(&rotating, &url).await.is_err());
    for kind in ["pem", "key"] {
        let from = directory.path().join(format!("own.{kind}"));
        fs::rename(from, directory.path().join(format!("strange.{kind}"))).expect("a rename");
    }
    assert_told(&get(&rotating, &url).await, "200 fine");
}

#[tokio::test]
async fn an_authority_is_read_again_when_it_changes() {
    let (old, new) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    fs::write(&file, &old.pem).expect("a file");
    let client = client("tls_config: { ca_file: ca.pem }", &directory);
    let server = serve(&new.identity("127.0.0.1")).await;
    let url = format!("https://{}/", server.address);
    assert_told(&get(&client, &url).await, "nobody who is trusted here");
    fs::write(&file, &new.pem).expect("a file");
    assert_told(&get(&client, &url).await, "200 fine");
    fs::remove_file(&file).expect("a file");
    assert_told(&get(&client, &url).await, "No such file");
}

#[tokio::test]
async fn files_that_cannot_be_used_say_which_and_why() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("empty"), "\n").expect("a file");
    fs::write(directory.path().join("text"), "s3cret").expect("a file");
    for (yaml, expected) in [
        ("tls_config: { ca_file: none }", "ca_file "),
        ("tls_config: { ca_file: empty }", "it is empty"),
        (
            "tls_config: { ca_file: text }",
            "there is no certificate in it",
        ),
        (
            "tls_config: { ca: s3cret }",
            "tls_config.ca: there is no certificate in it",
        ),
        (
            "tls_config: { cert_file: text, key_file: text }",
            "cert_file ",
        ),
        ("basic_auth: { password_file: none }", "password_file "),
        (
            "authorization: { credentials: \"s3cret\\x01\" }",
            "authorization: there are characters",
        ),
    ] {
        let answer = get(&client(yaml, &directory), "https://127.0.0.1:1/").await;
        assert_told(&answer, expected);
    }
}

#[tokio::test]
async fn tls_and_plain_text_do_not_mix() {
    let directory = tempfile::tempdir().expect("a directory");
    let plain = Server::plain(vec![
        Step::Send(response("400 Bad Request", &[], "no")),
        Step::Hang,
    ])
    .await;
    let answer = get(
        &client("{}", &directory),
        &format!("https://{}/", plain.address),
    )
    .await;
    assert_told(
        &answer,
        "the other side does not speak TLS; is `scheme` right?",
    );
    let encrypted = serve(&Authority::new().identity("127.0.0.1")).await;
    let answer = get(
        &client("{}", &directory),
        &format!("http://{}/", encrypted.address),
    )
    .await;
    assert_told(&answer, "the connection broke before the response began");
}

#[tokio::test]
async fn http_2_is_spoken_where_both_sides_want_it() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("ca.pem"), &authority.pem).expect("a file");
    let identity = authority.identity("127.0.0.1");
    let preface = "PRI * HTTP/2.0\r\n\r\n";
    for (wants, protocols, expected) in [
        (true, &["h2", "http/1.1"][..], preface),
        (true, &["http/1.1"], "GET /"),
        (true, &[], "GET /"),
        (false, &["h2", "http/1.1"], "GET /"),
    ] {
        let tls = identity.server(protocols, None);
        let server = Server::start(Some(tls), vec![vec![Step::Head]]).await;
        let yaml = format!("{{ tls_config: {{ ca_file: ca.pem }}, enable_http2: {wants} }}");
        let url = format!("https://{}/", server.address);
        // What the server says is of no interest: it hangs up.
        assert!(get(&client(&yaml, &directory), &url).await.is_err());
        let heads = server.heads();
        assert!(heads[0].starts_with(expected), "{heads:?}");
    }
}

#[tokio::test]
async fn the_handshake_names_the_server_and_the_request_the_host() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("ca.pem"), &authority.pem).expect("a file");
    let first = serve(&authority.identity("exporter.example.org")).await;
    let second = serve(&authority.identity("exporter.example.org")).await;
    let yaml =
        "{ tls_config: { ca_file: ca.pem, server_name: exporter.example.org }, bearer_token: t }";
    let named = client(yaml, &directory);
    for (server, host) in [
        (&first, "localhost"),
        (&second, "127.0.0.1"),
        (&first, "localhost"),
    ] {
        let url = format!("https://{host}:{}/", server.address.port());
        assert_told(&get(&named, &url).await, "200 fine");
        let head = server.heads().pop().expect("a request");
        let expected = format!("{host}:{}", server.address.port());
        assert_eq!(header(&head, "host"), Some(&*expected));
        assert_eq!(header(&head, "authorization"), Some("Bearer t"));
    }
    assert_eq!(first.names(), ["exporter.example.org"; 2]);
    assert_eq!(second.names(), ["exporter.example.org"]);
    // Without a name of its own it is the host's, and none for an address.
    let plain = client("tls_config: { insecure_skip_verify: true }", &directory);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/", first.address.port());
        assert_told(&get(&plain, &url).await, "200 fine");
    }
    assert_eq!(first.names()[2..], ["localhost", "nobody"]);
}
