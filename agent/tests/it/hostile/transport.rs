//! Connections that break, hang, drip or never end.

use std::time::Duration;

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("nobody listens", Behaviour::Nobody, expect![[r#"down: no connection: Connection refused (os error 111)"#]]),
        steps("resets at once", vec![Step::Reset], expect![[r#"down: the connection broke before the response began: Connection reset by peer (os error 104)"#]]).or(NO_HEAD),
        steps(
            "closes without reading the request",
            vec![],
            expect![[r#"down: the connection broke before the response began: Connection reset by peer (os error 104)"#]],
        ).or(NO_HEAD)
        .alone("whether it ends or is reset depends on when the request arrives"),
        steps(
            "closes after the request",
            vec![Step::Head],
            expect![[r#"down: the connection broke before the response began: connection closed before message completed"#]],
        ),
        steps(
            "resets after the request",
            vec![Step::Head, Step::Reset],
            expect![[r#"down: the connection broke before the response began: Connection reset by peer (os error 104)"#]],
        ).or(NO_HEAD),
        raw(
            "closes within the status line",
            "HTTP/1.1 20",
            expect![[r#"down: the connection broke before the response began: connection closed before message completed"#]],
        ),
        steps(
            "resets within the status line",
            vec![Step::Head, send("HTTP/1.1 20"), Step::Reset],
            expect![[r#"down: the connection broke before the response began: Connection reset by peer (os error 104)"#]],
        ).or(NO_HEAD)
        .alone("the reset may overtake the bytes"),
        raw(
            "closes within a header",
            "HTTP/1.1 200 OK\r\ncontent-ty",
            expect![[r#"down: the connection broke before the response began: connection closed before message completed"#]],
        ),
        raw(
            "closes after the head",
            head("content-length: 10\r\n"),
            expect![[r#"down: the body broke off after 0 bytes: end of file before message length reached"#]],
        ),
        steps(
            "resets after the head",
            vec![
                Step::Head,
                send(head("content-length: 10\r\n")),
                Step::Reset,
            ],
            expect![[r#"down: the body broke off after 0 bytes: Connection reset by peer (os error 104)"#]],
        ).or(NO_HEAD)
        .alone("the reset may overtake the head"),
        raw(
            "closes within the body",
            [&head("content-length: 1000\r\n")[..], BODY.as_bytes()].concat(),
            expect![[r#"down: the body broke off after 52 bytes: end of file before message length reached"#]],
        ),
        raw(
            "closes within a line of the body",
            [&head("content-length: 1000\r\n")[..], b"go_goroutines 1"].concat(),
            expect![[r#"down: the body broke off after 15 bytes: end of file before message length reached"#]],
        ),
        steps(
            "the answer never begins",
            vec![Step::Head, Step::Hang],
            expect![[r#"down: timed out after 2s while connecting or waiting for the response to begin"#]],
        )
        .set(SHORT),
        steps(
            "the head never ends",
            vec![Step::Head, send("HTTP/1.1 200 OK\r\n"), Step::Hang],
            expect![[r#"down: timed out after 2s while connecting or waiting for the response to begin"#]],
        )
        .set(SHORT),
        steps(
            "the head comes byte by byte, too slowly",
            vec![Step::Head, Step::Drip(head(""), Duration::from_millis(100))],
            expect![[r#"down: timed out after 2s while connecting or waiting for the response to begin"#]],
        )
        .set(SHORT),
        steps(
            "the body never begins",
            vec![Step::Head, send(head("content-length: 10\r\n")), Step::Hang],
            expect![[r#"down: timed out after 2s while the body was still coming"#]],
        )
        .set(SHORT),
        steps(
            "the body never ends",
            vec![Step::Head, send(head("")), send(BODY), Step::Hang],
            expect![[r#"down: timed out after 2s while the body was still coming"#]],
        )
        .set(SHORT),
        steps(
            "the body comes byte by byte, too slowly",
            vec![
                Step::Head,
                send(head("")),
                Step::Drip(BODY.into(), Duration::from_millis(100)),
            ],
            expect![[r#"down: timed out after 2s while the body was still coming"#]],
        )
        .set(SHORT),
        steps(
            "the body comes byte by byte, in time",
            vec![
                Step::Head,
                send(head("")),
                Step::Drip(BODY.into(), Duration::from_millis(2)),
            ],
            expect![[r#"up | go_goroutines 12"#]],
        ),
        steps(
            "header lines without end",
            vec![
                Step::Head,
                send("HTTP/1.1 200 OK\r\n"),
                Step::Endless(b"x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".to_vec()),
            ],
            expect![[r#"down: the connection broke before the response began: message head is too large"#]],
        ),
        steps(
            "a header line without end",
            vec![
                Step::Head,
                send("HTTP/1.1 200 OK\r\nx-a: "),
                Step::Endless(vec![b'a'; 4096]),
            ],
            expect![[r#"down: the connection broke before the response began: message head is too large"#]],
        ),
        steps(
            "a status line without end",
            vec![Step::Head, Step::Endless(vec![b'a'; 4096])],
            expect![[r#"down: the connection broke before the response began: invalid HTTP version parsed"#]],
        ),
        steps(
            "a body without end",
            vec![
                Step::Head,
                send(head("")),
                Step::Endless(b"other 1\n".repeat(1000)),
            ],
            expect![[r#"down: the body is larger than 1048576 bytes (body_size_limit)"#]],
        )
        .set("body_size_limit: 1MB"),
        steps(
            "a line without end",
            vec![Step::Head, send(head("")), Step::Endless(vec![b'x'; 8000])],
            expect![[r#"down: line 1: longer than 1048576 bytes at `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`"#]],
        )
        .alone("Prometheus would read it until its time is up"),
        steps(
            "a comment without end",
            vec![Step::Head, send(head("")), Step::Endless(vec![b'#'; 8000])],
            expect![[r#"down: the body is larger than 1048576 bytes (body_size_limit)"#]],
        )
        .set("body_size_limit: 1MB"),
        steps(
            "chunks without end",
            vec![
                Step::Head,
                send(head("transfer-encoding: chunked\r\n")),
                Step::Endless(b"8\r\nother 1\n\r\n".repeat(1000)),
            ],
            expect![[r#"down: the body is larger than 1048576 bytes (body_size_limit)"#]],
        )
        .set("body_size_limit: 1MB"),
        steps(
            "empty lines without end before the status line",
            vec![Step::Head, Step::Endless(b"\r\n".repeat(1000))],
            expect![[r#"down: the connection broke before the response began: message head is too large"#]],
        ),
        steps(
            "interim answers without end",
            vec![
                Step::Head,
                Step::Endless(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)),
            ],
            expect![[r#"down: timed out after 2s while connecting or waiting for the response to begin"#]],
        )
        .set(SHORT),
        case(
            "speaks no TLS where TLS is expected",
            Behaviour::Plain(vec![vec![
                send(response("400 Bad Request", &[], "")),
                Step::Hang,
            ]]),
            expect![[r#"down: no connection: the other side does not speak TLS; is `scheme` right?"#]],
        )
        .set("scheme: https"),
        steps(
            "never answers the handshake",
            vec![Step::Hang],
            expect![[r#"down: timed out after 2s while connecting or waiting for the response to begin"#]],
        )
        .set("scheme: https\nscrape_timeout: 2s"),
        steps(
            "answers the handshake with garbage",
            vec![send(vec![0x16, 3, 3, 0, 4, 9, 9, 9, 9]), Step::Hang],
            expect![[r#"down: no connection: the other side does not speak TLS; is `scheme` right?"#]],
        )
        .set("scheme: https"),
        steps(
            "resets within the handshake",
            vec![send(vec![0x16, 3, 3, 0, 200]), Step::Reset],
            expect![[r#"down: no connection: Connection reset by peer (os error 104)"#]],
        ).or(NO_HEAD)
        .set("scheme: https")
        .alone("the reset may overtake the bytes"),
        case(
            "speaks TLS where none is expected",
            Behaviour::Plain(vec![vec![Step::Head, send(vec![0x15, 3, 1, 0, 2, 2, 70])]]),
            expect![[r#"down: the connection broke before the response began: invalid HTTP version parsed"#]],
        ),
        encrypted("a good certificate", Shows::Good, expect![[r#"up | go_goroutines 12"#]]),
        encrypted(
            "a certificate whose time is over",
            Shows::Expired,
            expect![[r#"down: no connection: the server's certificate has expired"#]],
        ),
        encrypted(
            "a certificate for another name",
            Shows::OtherName,
            expect![[r#"down: no connection: the server's certificate is not for 127.0.0.1 (tls_config.server_name)"#]],
        ),
        encrypted(
            "a certificate that signs itself",
            Shows::SelfSigned,
            expect![[r#"down: no connection: nobody who is trusted here signed the server's certificate (tls_config.ca_file)"#]],
        ),
        encrypted(
            "a certificate for another name, which will do",
            Shows::OtherName,
            expect![[r#"up | go_goroutines 12"#]],
        )
        .set("tls_config: { insecure_skip_verify: true }"),
        encrypted(
            "a certificate of somebody the system does not know",
            Shows::Good,
            expect![[r#"down: no connection: nobody who is trusted here signed the server's certificate (tls_config.ca_file)"#]],
        )
        .set("tls_config: { server_name: '127.0.0.1' }"),
        encrypted(
            "asks for a certificate that the job does not have",
            Shows::AndAsks,
            expect![[r#"down: the connection broke before the response began: the server wants another certificate of ours (tls_config.cert_file)"#]],
        ),
        case(
            "ends TLS within the body",
            Behaviour::Encrypted(
                Shows::Good,
                vec![
                    Step::Head,
                    send(head("content-length: 1000\r\n")),
                    send(BODY),
                ],
            ),
            expect![[r#"down: the body broke off after 52 bytes: end of file before message length reached"#]],
        ),
    ]
}

/// Short enough for a test, long enough for a busy machine.
const SHORT: &str = "scrape_timeout: 2s";

fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// A target that answers in order over TLS.
fn encrypted(name: &'static str, shows: Shows, expected: expect_test::Expect) -> Case {
    let script = vec![Step::Head, send(response("200 OK", &[TEXT], BODY))];
    case(name, Behaviour::Encrypted(shows, script), expected)
}

/// What comes of a target that hangs up early: it depends on what has arrived by then.
const NO_HEAD: &[&str] = &[
    "down: no connection: Connection reset by peer (os error 104)",
    "down: the connection broke before the response began: Connection reset by peer (os error 104)",
    "down: the connection broke before the response began: connection closed before message completed",
    "down: the connection broke before the response began: Broken pipe (os error 32)",
    "down: the body broke off after 0 bytes: Connection reset by peer (os error 104)",
];
