use super::server::{Reply, Request, Server, success};
use super::*;

#[tokio::test]
async fn what_stays_partial_is_unknown_and_not_silence() {
    let body = success(r#"{"resultType":"matrix","result":[]}"#)
        .replace("\"data\"", r#""warnings":["store-2 is down"],"data""#);
    let server = Server::start(one_service(), move |request| {
        let is_first = request.is_for_samples() && request.parameter("time") == "1799.999";
        if is_first {
            Reply::Status(200, Vec::new(), body.clone())
        } else {
            Reply::Truth
        }
    })
    .await;
    let got = read(&server, range(0, HOUR, None)).await;
    assert_eq!(got.end, Ok(()));
    let expected = Unknown {
        from: Timestamp::from_millis(-1),
        to: Timestamp::from_millis(1_799_999),
        selector: r#"{__name__=~"process_open_fds|some_extra",job="shop"}"#.to_owned(),
        why: "the answer is partial: store-2 is down".to_owned(),
    };
    assert_eq!(got.unknown, [expected]);
    let first = got.slices.first().expect("the rest is there");
    assert_eq!(first.at.millis(), 1_800_000);
}

#[tokio::test]
async fn a_store_that_answers_nothing_for_long_is_given_up() {
    let server = Server::start(one_service(), |request| {
        if request.is_for_samples() {
            Reply::Status(504, Vec::new(), "<b>upstream</b>".to_owned())
        } else {
            Reply::Truth
        }
    })
    .await;
    let settings = StoreSettings {
        tries: 1,
        ..impatient()
    };
    let got = try_read(&server.url(), range(0, 40 * HOUR, None), settings)
        .await
        .expect("a listing");
    let text = got.end.expect_err("no end").to_string();
    assert_eq!(
        text,
        "nothing could be read of a whole stretch of time: HTTP status 504: <b>upstream</b>"
    );
    assert!(got.slices.is_empty() && !got.unknown.is_empty());
}

#[tokio::test]
async fn a_silent_store_is_asked_twice_and_given_up() {
    let server = Server::start(one_service(), |_| Reply::Silence).await;
    let settings = StoreSettings {
        timeout: Duration::from_millis(500),
        ..impatient()
    };
    let error = try_read(&server.url(), range(0, HOUR, None), settings)
        .await
        .err()
        .expect("no listing");
    let text = error.to_string();
    assert!(
        text.contains("no whole answer within 0.5 s (after 2 tries); ask for a shorter range"),
        "{text}"
    );
    assert_eq!(server.requests().len(), 2);
}

/// What ends it at once, and what the message says.
async fn check_end(reply: Reply, expected: &str) {
    let server = Server::start(one_service(), move |request| {
        if request.is_for_samples() {
            reply.clone()
        } else {
            Reply::Truth
        }
    })
    .await;
    let url = format!("http://me:secret@{}", server.address);
    let got = try_read(&url, range(0, HOUR, None), impatient())
        .await
        .expect("a listing");
    let text = got.end.expect_err("no end").to_string();
    assert!(text.contains(expected), "{text}");
    assert!(
        text.starts_with(&format!("http://{}/api/v1/query: ", server.address)),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    let asked = server
        .requests()
        .iter()
        .filter(|request| request.is_for_samples())
        .count();
    assert_eq!(asked, 1, "it is not asked again");
}

#[tokio::test]
async fn what_the_store_refuses_for_good_ends_it_with_advice() {
    let status = |status: u16| Reply::Status(status, Vec::new(), String::new());
    check_end(
        status(401),
        "HTTP status 401; it wants to know who asks: credentials stand",
    )
    .await;
    check_end(status(403), "HTTP status 403; these credentials").await;
    check_end(status(404), "HTTP status 404; is a path prefix missing").await;
    let page = Reply::Status(
        200,
        Vec::new(),
        "<!doctype html><title>Log in</title>".to_owned(),
    );
    check_end(page, "is this a Prometheus-compatible store?").await;
    let vector = success(r#"{"resultType":"vector","result":[]}"#);
    check_end(
        Reply::Status(200, Vec::new(), vector),
        "`resultType` is `vector` and not `matrix`",
    )
    .await;
    let encoded = Reply::Status(200, vec!["content-encoding: br".to_owned()], "x".to_owned());
    check_end(encoded, "it is encoded as br, which was not asked for").await;
}

#[tokio::test]
async fn credentials_go_to_their_host_and_nowhere_else() {
    let other = Server::start(one_service(), |_| Reply::Truth).await;
    let elsewhere = format!(
        "location: http://you:hidden@{}/api/v1/query?x=1",
        other.address
    );
    check_end(
        Reply::Status(307, vec![elsewhere], String::new()),
        &format!("it redirects to http://{}/api/v1/query, which is not followed: it leads to another host", other.address),
    )
    .await;
    assert!(other.requests().is_empty(), "it was not asked");

    let server = Server::start(one_service(), |request| {
        if request.path.starts_with("old/") {
            Reply::Truth
        } else {
            let target = request.head.split(' ').nth(1).unwrap_or_default();
            Reply::Status(
                308,
                vec![format!(
                    "location: {}",
                    target.replace("/api/v1/", "/api/v1/old/")
                )],
                String::new(),
            )
        }
    });
    let server = server.await;
    let url = format!("http://me:secret@{}", server.address);
    let error = try_read(&url, range(0, HOUR, None), impatient())
        .await
        .err();
    assert!(
        error.is_some(),
        "the server of this test knows no old/ paths, and ends the connection"
    );
    let authorized = |request: &Request| {
        request
            .head
            .to_lowercase()
            .contains("authorization: basic bwu6c2vjcmv0")
    };
    assert!(server.requests().len() > 1 && server.requests().iter().all(authorized));
}

#[tokio::test]
async fn a_store_that_is_not_there_is_told_so() {
    let error = try_read(
        "http://127.0.0.1:1/prefix/",
        range(0, HOUR, None),
        impatient(),
    )
    .await
    .err()
    .expect("no store");
    let text = error.to_string();
    assert!(
        text.starts_with(
            "http://127.0.0.1:1/prefix/api/v1/label/__name__/values: no answer: no connection: Connection refused"
        ),
        "{text}"
    );
    assert!(
        text.ends_with("(after 6 tries); is the store up, and is this its address?"),
        "{text}"
    );
}

#[tokio::test]
async fn a_family_that_is_too_much_to_list_is_told_and_the_rest_is_read() {
    let mut stored = one_service();
    stored.push(hour(labels("http_requests_total", "shop", "a:1")));
    let server = Server::start(stored, |request| {
        if request.parameter("match[]") == "{__name__=\"http_requests_total\"}" {
            Reply::Status(
                422,
                Vec::new(),
                r#"{"status":"error","error":"too many series"}"#.to_owned(),
            )
        } else {
            Reply::Truth
        }
    })
    .await;
    let got = read(&server, range(0, HOUR, None)).await;
    check_whole(&got);
    let told = (
        Arc::from("http_requests_total"),
        "HTTP status 422: too many series".to_owned(),
    );
    assert_eq!(got.listing.unlisted, [told]);
}
