//! Heads of answers: what is no HTTP, what is nearly HTTP, and lengths that lie.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        raw(
            "answers as another protocol",
            "SSH-2.0-OpenSSH_9.2\r\n",
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP version parsed"#
            ]],
        ),
        raw(
            "answers a body without a head, as HTTP/0.9 did",
            BODY,
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP version parsed"#
            ]],
        ),
        raw(
            "answers the settings frame of HTTP/2",
            b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP version parsed"#
            ]],
        ),
        raw(
            "answers the preface of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP version parsed"#
            ]],
        ),
        raw(
            "claims HTTP/2.0",
            format!("HTTP/2.0 200 OK\r\n{TEXT}\r\n\r\n{BODY}"),
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP version parsed"#
            ]],
        ),
        raw(
            "answers in HTTP/1.0, up to the end of the connection",
            format!("HTTP/1.0 200 OK\r\n{TEXT}\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "answers in HTTP/1.1, up to the end of the connection",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "claims HTTP in small letters",
            format!("http/1.1 200 ok\r\n{TEXT}\r\n\r\n{BODY}"),
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP version parsed"#
            ]],
        ),
        raw(
            "gives no reason phrase",
            format!("HTTP/1.1 200\r\n{TEXT}\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "begins with an empty line",
            format!("\r\nHTTP/1.1 200 OK\r\n{TEXT}\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "ends its header lines with a line feed alone",
            format!("HTTP/1.1 200 OK\n{TEXT}\n\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "folds a header line",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\nx-a: b\r\n  c\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "puts a space before a colon",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\nx-a : b\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "sends a header line without a colon",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\nnonsense\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "sends a header without a name",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\n: b\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "sends a control character in a header",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\nx-a: \u{1}\r\n\r\n{BODY}"),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "sends a NUL in a header",
            format!("HTTP/1.1 200 OK\r\n{TEXT}\r\nx-a: \0\r\n\r\n{BODY}"),
            expect![[
                r#"down: the connection broke before the response began: invalid HTTP header parsed"#
            ]],
        ),
        raw(
            "sends bytes above ASCII in a header",
            [
                &b"HTTP/1.1 200 OK\r\nx-a: \xff\xfe\r\n\r\n"[..],
                BODY.as_bytes(),
            ]
            .concat(),
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends no Content-Type; read as Prometheus' text format"#
            ]],
        ),
        raw(
            "sends ninety header lines",
            format!(
                "HTTP/1.1 200 OK\r\n{TEXT}\r\n{}\r\n{BODY}",
                "x-a: b\r\n".repeat(90)
            ),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "sends a thousand header lines",
            format!(
                "HTTP/1.1 200 OK\r\n{TEXT}\r\n{}\r\n{BODY}",
                "x-a: b\r\n".repeat(1000)
            ),
            expect![[
                r#"down: the connection broke before the response began: message head is too large"#
            ]],
        ),
        raw(
            "declares more than it sends",
            [&head("content-length: 53\r\n")[..], BODY.as_bytes()].concat(),
            expect![[
                r#"down: the body broke off after 52 bytes: end of file before message length reached"#
            ]],
        ),
        raw(
            "declares less than it sends",
            [&head("content-length: 44\r\n")[..], BODY.as_bytes()].concat(),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "declares less than a line",
            [&head("content-length: 40\r\n")[..], BODY.as_bytes()].concat(),
            expect![[r#"down: line 2: expected a value"#]],
        ),
        raw(
            "declares a length that is no number",
            [&head("content-length: many\r\n")[..], BODY.as_bytes()].concat(),
            expect![[
                r#"down: the connection broke before the response began: invalid content-length parsed"#
            ]],
        ),
        raw(
            "declares a negative length",
            [&head("content-length: -1\r\n")[..], BODY.as_bytes()].concat(),
            expect![[
                r#"down: the connection broke before the response began: invalid content-length parsed"#
            ]],
        ),
        raw(
            "declares a length beyond all numbers",
            [
                &head("content-length: 99999999999999999999\r\n")[..],
                BODY.as_bytes(),
            ]
            .concat(),
            expect![[
                r#"down: the connection broke before the response began: invalid content-length parsed"#
            ]],
        ),
        raw(
            "declares two lengths",
            [
                &head("content-length: 52\r\ncontent-length: 51\r\n")[..],
                BODY.as_bytes(),
            ]
            .concat(),
            expect![[
                r#"down: the connection broke before the response began: invalid content-length parsed"#
            ]],
        ),
        raw(
            "declares the same length twice",
            [
                &head("content-length: 52\r\ncontent-length: 52\r\n")[..],
                BODY.as_bytes(),
            ]
            .concat(),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "declares a gigabyte and sends little",
            head("content-length: 1073741824\r\n"),
            expect![[r#"down: the body is larger than 52428800 bytes (body_size_limit)"#]],
        ),
        raw(
            "sends chunks",
            chunked("7\r\ngo_goro\r\n9\r\nutines 3\n\r\n0\r\n\r\n"),
            expect![[r#"up | go_goroutines 3"#]],
        ),
        raw(
            "sends chunks with extensions and a trailer",
            chunked("10;a=b\r\ngo_goroutines 3\n\r\n0\r\nx-t: 1\r\n\r\n"),
            expect![[r#"up | go_goroutines 3"#]],
        ),
        raw(
            "sends chunks and a length",
            [
                &head("transfer-encoding: chunked\r\ncontent-length: 5\r\n")[..],
                b"10\r\ngo_goroutines 3\n\r\n0\r\n\r\n",
            ]
            .concat(),
            expect![[r#"up | go_goroutines 3"#]],
        ),
        raw(
            "leaves out the last chunk",
            chunked("10\r\ngo_goroutines 3\n\r\n"),
            expect![[
                r#"down: the body broke off after 16 bytes: unexpected EOF during chunk size line"#
            ]],
        ),
        raw(
            "breaks off within a chunk",
            chunked("10\r\ngo_gorou"),
            expect![[
                r#"down: the body broke off after 8 bytes: end of file before message length reached"#
            ]],
        ),
        raw(
            "gives a chunk a size that is no number",
            chunked("zz\r\ngo_goroutines 3\n\r\n0\r\n\r\n"),
            expect![[
                r#"down: the body broke off after 0 bytes: Invalid chunk size line: missing size digit"#
            ]],
        ),
        raw(
            "gives a chunk a size beyond all numbers",
            chunked("fffffffffffffffffff\r\ngo_goroutines 3\n\r\n"),
            expect![[r#"down: the body broke off after 0 bytes: invalid chunk size: overflow"#]],
        ),
        raw(
            "gives a chunk a negative size",
            chunked("-1\r\ngo_goroutines 3\n\r\n"),
            expect![[
                r#"down: the body broke off after 0 bytes: Invalid chunk size line: missing size digit"#
            ]],
        ),
        raw(
            "sends more than a chunk's size",
            chunked("4\r\ngo_goroutines 3\n\r\n0\r\n\r\n"),
            expect![[r#"down: the body broke off after 4 bytes: Invalid chunk body CR"#]],
        ),
        raw(
            "encodes the transfer as nobody knows",
            [&head("transfer-encoding: magic\r\n")[..], BODY.as_bytes()].concat(),
            expect![[r#"down: the body is encoded as `magic`, which was not asked for"#]],
        ),
        raw(
            "sends an interim answer first",
            [
                &b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"[..],
                &response("200 OK", &[TEXT], BODY)[..],
            ]
            .concat(),
            expect![[r#"up | go_goroutines 12"#]],
        ),
        raw(
            "wants to speak another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            expect![[r#"down: the target answered with HTTP status 101"#]],
        ),
        answer(
            "sends no content type",
            &[],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends no Content-Type; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends an empty content type",
            &["content-type:"],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Type ``; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends metrics as HTML",
            &["content-type: text/html; charset=utf-8"],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Type `text/html; charset=utf-8`; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends metrics as JSON",
            &["content-type: application/json"],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Type `application/json`; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends metrics as bytes",
            &["content-type: application/octet-stream"],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Type `application/octet-stream`; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends text and claims protobuf",
            &[
                "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
            ],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Type `application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited`; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends protobuf",
            &[
                "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
            ],
            b"\x24\x0a\x0dgo_goroutines\x18\x01\x22\x0b\x12\x09\x09\0\0\0\0\0\0\x28\x40",
            expect![[r#"down: line 1: expected a metric name at `$`"#]],
        ),
        answer(
            "sends text without a version",
            &["content-type: text/plain"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "sends text of a later version",
            &["content-type: text/plain; version=1.0.0; escaping=underscores"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "sends text of a version nobody knows",
            &["content-type: text/plain; version=9"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "sends a content type that cannot be read",
            &["content-type: ;;;=,"],
            BODY,
            expect![[
                r#"up | go_goroutines 12 | warning: the target sends Content-Type `;;;=,`; read as Prometheus' text format"#
            ]],
        ),
        answer(
            "sends two content types",
            &[TEXT, "content-type: text/html"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "sends its content type in capitals",
            &["CONTENT-TYPE: TEXT/PLAIN; VERSION=0.0.4"],
            BODY,
            expect![[r#"up | go_goroutines 12"#]],
        ),
        answer(
            "sends OpenMetrics without a version",
            &["content-type: application/openmetrics-text"],
            "go_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        answer(
            "sends OpenMetrics of a version nobody knows",
            &["content-type: application/openmetrics-text; version=9"],
            "go_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
        answer(
            "sends text and claims OpenMetrics",
            &[OPEN_METRICS],
            BODY,
            expect![[r#"down: line 3: the body ends without `# EOF`: it was cut off"#]],
        ),
        answer(
            "sends OpenMetrics and claims text",
            &[TEXT],
            "go_goroutines 1\n# EOF\n",
            expect![[r#"up | go_goroutines 1"#]],
        ),
    ]
}

fn chunked(body: &str) -> Vec<u8> {
    [&head("transfer-encoding: chunked\r\n")[..], body.as_bytes()].concat()
}
