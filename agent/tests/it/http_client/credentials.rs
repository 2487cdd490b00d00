//! Who the client says it is, and that it says so to nobody else.

use std::fs;

use super::*;

const SETTINGS: &str = "basic_auth: { username: me, password: s3cret }\nhttp_headers: { X-Team: { values: [a], secrets: [s3cret] } }";

#[tokio::test]
async fn credentials_and_headers_are_sent_and_rotated() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    fs::write(&file, "first\n").expect("a file");
    let server = Server::plain(answering("200 OK", &[], "fine")).await;
    let url = format!("http://{}/", server.address);
    let basic = client(
        "basic_auth: { username: me, password_file: password }",
        &directory,
    );
    get(&basic, &url).await.expect("an answer");
    fs::write(&file, "other").expect("a file");
    get(&basic, &url).await.expect("an answer");
    let heads = server.heads();
    // me:first and me:other.
    assert_eq!(
        header(&heads[0], "authorization"),
        Some("Basic bWU6Zmlyc3Q=")
    );
    assert_eq!(
        header(&heads[1], "authorization"),
        Some("Basic bWU6b3RoZXI=")
    );

    for (yaml, expected) in [
        ("authorization: { credentials: t }", "Bearer t"),
        (
            "authorization: { type: Token, credentials_file: password }",
            "Token other",
        ),
        ("bearer_token: t", "Bearer t"),
        ("bearer_token_file: password", "Bearer other"),
    ] {
        get(&client(yaml, &directory), &url)
            .await
            .expect("an answer");
        let head = server.heads().pop().expect("a request");
        assert_eq!(header(&head, "authorization"), Some(expected), "{yaml}");
    }
    let in_url = format!("http://me:%66irst@{}/", server.address);
    get(&client("{}", &directory), &in_url)
        .await
        .expect("an answer");
    let head = server.heads().pop().expect("a request");
    assert_eq!(header(&head, "authorization"), Some("Basic bWU6Zmlyc3Q="));

    let headers =
        "http_headers: { X-Team: { values: [a, b], files: [password] }, Accept: { values: [x] } }";
    get(&client(headers, &directory), &url)
        .await
        .expect("an answer");
    let head = server.heads().pop().expect("a request");
    for line in [
        "x-team: a\r\n",
        "x-team: b\r\n",
        "x-team: other\r\n",
        "accept: x\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(head.matches("accept:").count(), 1, "{head}");
}

#[tokio::test]
async fn a_redirect_takes_them_along_within_the_host_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = Server::plain(answering("200 OK", &[], "stolen")).await;
    for location in [
        format!("http://{}/x", other.address),
        format!("//{}/x", other.address),
        format!("https://{}/x", other.address),
    ] {
        let location = format!("location: {location}");
        let server = Server::plain(answering("302 Found", &[&location], "")).await;
        let url = format!("http://{}/", server.address);
        let answer = get(&client(SETTINGS, &directory), &url).await;
        assert_told(&answer, "which is not followed: it leads to another host");
    }
    assert_eq!(other.heads(), [""; 0]);

    let within = vec![
        answering("307 Temporary Redirect", &["location: /there?a"], ""),
        answering("200 OK", &[], "fine"),
    ];
    let server = Server::start(None, within).await;
    let url = format!("http://{}/here", server.address);
    assert_told(&get(&client(SETTINGS, &directory), &url).await, "200 fine");
    let heads = server.heads();
    assert!(
        heads[1].starts_with("GET /there?a HTTP/1.1\r\n"),
        "{heads:?}"
    );
    for head in heads {
        assert!(head.contains("authorization: Basic ") && head.contains("x-team: s3cret"));
    }
    let stays = format!("{SETTINGS}\nfollow_redirects: false");
    let server = Server::plain(answering("302 Found", &["location: /there"], "")).await;
    let url = format!("http://{}/here", server.address);
    assert_told(
        &get(&client(&stays, &directory), &url).await,
        "`follow_redirects` is false",
    );
}

#[tokio::test]
async fn a_post_is_repeated_by_307_and_308_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let client = client("{}", &directory);
    for (status, expected) in [
        ("302 Found", 302),
        ("303 See Other", 303),
        ("307 Temporary Redirect", 200),
        ("308 Permanent Redirect", 200),
    ] {
        let scripts = vec![
            answering(status, &["location: /there"], ""),
            answering("200 OK", &[], "fine"),
        ];
        let server = Server::start(None, scripts).await;
        let url = format!("http://{}/here", server.address);
        let request = HttpRequest::post(url.parse().expect("a URL"), "{}".into());
        let response = client.send(request).await.expect("an answer");
        assert_eq!(response.status().as_u16(), expected, "{status}");
        assert!(server.heads().iter().all(|head| head.starts_with("POST ")));
    }
}

fn token(text: &str, seconds: u32) -> Vec<Step> {
    let body = format!(
        "{{\"access_token\":\"{text}\",\"token_type\":\"bearer\",\"expires_in\":{seconds}}}"
    );
    answering("200 OK", &["content-type: application/json"], &body)
}

fn oauth2(server: &Server) -> String {
    format!(
        "oauth2: {{ client_id: 'a b', client_secret: s3cret, token_url: 'http://{}/token', scopes: [x, y], \
         endpoint_params: {{ audience: z }} }}",
        server.address
    )
}

#[tokio::test]
async fn a_token_is_kept_for_its_time_and_asked_for_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Server::start(
        None,
        vec![token("one", 3600), token("two", 5), token("three", 5)],
    )
    .await;
    let refusing = vec![
        answering("200 OK", &[], "fine"),
        answering("401 Unauthorized", &[], "no"),
        answering("200 OK", &[], "fine"),
    ];
    let server = Server::start(None, refusing).await;
    let url = format!("http://{}/", server.address);
    let client = client(&oauth2(&issuer), &directory);
    for expected in ["200 fine", "401 no", "200 fine", "200 fine"] {
        assert_told(&get(&client, &url).await, expected);
    }
    let sent: Vec<String> = server
        .heads()
        .iter()
        .filter_map(|head| header(head, "authorization").map(str::to_owned))
        .collect();
    // The second was refused; one of five seconds is not used at all where it could end on the way.
    assert_eq!(
        sent,
        ["Bearer one", "Bearer one", "Bearer two", "Bearer three"]
    );
    let heads = issuer.heads();
    assert!(
        heads[0].starts_with("POST /token HTTP/1.1\r\n"),
        "{heads:?}"
    );
    // "a+b:s3cret", encoded as a form first.
    assert_eq!(
        header(&heads[0], "authorization"),
        Some("Basic YStiOnMzY3JldA==")
    );
}

#[tokio::test]
async fn an_issuer_that_wants_the_secret_in_the_body_gets_it_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let scripts = vec![answering("401 Unauthorized", &[], "no"), token("one", 3600)];
    let issuer = Server::start(None, scripts).await;
    let server = Server::plain(answering("200 OK", &[], "fine")).await;
    let url = format!("http://{}/", server.address);
    assert_told(
        &get(&client(&oauth2(&issuer), &directory), &url).await,
        "200 fine",
    );
    assert_eq!(header(&issuer.heads()[1], "authorization"), None);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::plain(answering("200 OK", &[], "fine")).await;
    let url = format!("http://{}/", server.address);
    for (script, expected) in [
        (
            answering("403 Forbidden", &[], "who are you?"),
            "it answers with status 403: who are you?",
        ),
        (
            answering("200 OK", &[], "s3cret"),
            "its answer is not RFC 6749's",
        ),
        (
            answering("302 Found", &["location: http://127.0.0.1:1/"], ""),
            "it answers with status 302",
        ),
        (vec![Step::Head], "no token from http://127.0.0.1:"),
    ] {
        let issuer = Server::plain(script).await;
        let answer = get(&client(&oauth2(&issuer), &directory), &url).await;
        assert_told(&answer, expected);
        assert_told(&answer, "no token from http://127.0.0.1:");
    }
    assert_eq!(server.heads(), [""; 0]);
}
