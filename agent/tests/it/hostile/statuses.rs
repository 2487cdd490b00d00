//! Answers other than 200, and redirects.

use expect_test::expect;

use super::*;

pub(super) fn cases() -> Vec<Case> {
    vec![
        raw(
            "answers 201",
            response("201 Created", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 201"#]],
        ),
        raw(
            "answers 202",
            response("202 Accepted", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 202"#]],
        ),
        raw(
            "answers 203",
            response("203 Non-Authoritative Information", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 203"#]],
        ),
        raw(
            "answers 204",
            response("204 No Content", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 204"#]],
        ),
        raw(
            "answers 206",
            response("206 Partial Content", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 206"#]],
        ),
        raw(
            "answers 300 without a place",
            response("300 Multiple Choices", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 300"#]],
        ),
        raw(
            "answers 301 without a place",
            response("301 Moved Permanently", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 301"#]],
        ),
        raw(
            "answers 304",
            response("304 Not Modified", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 304"#]],
        ),
        raw(
            "answers 400",
            response("400 Bad Request", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 400"#]],
        ),
        raw(
            "answers 401",
            response("401 Unauthorized", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 401"#]],
        ),
        raw(
            "answers 403",
            response("403 Forbidden", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 403"#]],
        ),
        raw(
            "answers 404",
            response("404 Not Found", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 404"#]],
        ),
        raw(
            "answers 407",
            response("407 Proxy Authentication Required", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 407"#]],
        ),
        raw(
            "answers 408",
            response("408 Request Timeout", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 408"#]],
        ),
        raw(
            "answers 418",
            response("418 I am a teapot", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 418"#]],
        ),
        raw(
            "answers 429",
            response("429 Too Many Requests", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 429"#]],
        ),
        raw(
            "answers 500 with metrics",
            response("500 Internal Server Error", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 500"#]],
        ),
        raw(
            "answers 503",
            response("503 Service Unavailable", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 503"#]],
        ),
        raw(
            "answers 599",
            response("599 x", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 599"#]],
        ),
        raw(
            "answers 999",
            response("999 x", &[TEXT], BODY),
            expect![[r#"down: the target answered with HTTP status 999"#]],
        ),
        raw(
            "answers a status of two digits",
            response("20 OK", &[TEXT], BODY),
            expect![[r#"down: the connection broke before the response began: invalid HTTP status-code parsed"#]],
        ),
        raw(
            "answers a status of four digits",
            response("2000 OK", &[TEXT], BODY),
            expect![[r#"down: the connection broke before the response began: invalid HTTP status-code parsed"#]],
        ),
        raw(
            "answers a status below a hundred",
            response("099 OK", &[TEXT], BODY),
            expect![[r#"down: the connection broke before the response began: invalid HTTP status-code parsed"#]],
        ),
        raw(
            "redirects to itself for ever",
            redirect("/metrics"),
            expect![[r#"down: the target redirects to http://HOST/metrics, which is not followed: it is the eleventh in a row"#]],
        ),
        raw(
            "redirects to another host",
            redirect("http://127.0.0.2:1/metrics"),
            expect![[r#"down: the target redirects to http://127.0.0.2:1/metrics, which is not followed: it leads to another host; if that is the target, configure it"#]],
        ),
        raw(
            "redirects to another port",
            redirect("http://127.0.0.1:1/metrics"),
            expect![[r#"down: the target redirects to http://127.0.0.1:1/metrics, which is not followed: it leads to another host; if that is the target, configure it"#]],
        ),
        raw(
            "redirects to TLS",
            redirect("https://127.0.0.1:1/metrics"),
            expect![[r#"down: the target redirects to https://127.0.0.1:1/metrics, which is not followed: it leads to another host; if that is the target, configure it"#]],
        ),
        raw(
            "redirects to a file",
            redirect("file:///etc/passwd"),
            expect![[r#"down: the target redirects to file:///etc/passwd, which is not followed: it leads to another host; if that is the target, configure it"#]],
        ),
        raw(
            "redirects to a script",
            redirect("javascript:alert(1)"),
            expect![[r#"down: the target redirects to javascript:alert(1), which is not followed: it leads to another host; if that is the target, configure it"#]],
        ),
        raw(
            "redirects with credentials to another host",
            redirect("http://u:secret@127.0.0.2:1/?token=secret"),
            expect![[r#"down: the target redirects to http://127.0.0.2:1/, which is not followed: it leads to another host; if that is the target, configure it"#]],
        ),
        raw(
            "redirects to what is no URL",
            redirect("http://[::"),
            expect![[r#"down: the target redirects to something, which is not followed: it is not a URL"#]],
        ),
        raw("redirects to nothing", redirect(""), expect![[r#"down: the target redirects to http://HOST/metrics, which is not followed: it is the eleventh in a row"#]]),
        raw(
            "redirects against the job's will",
            redirect("/other"),
            expect![[r#"down: the target redirects to http://HOST/other, which is not followed: `follow_redirects` is false"#]],
        )
        .set("follow_redirects: false"),
        case(
            "redirects within itself",
            Behaviour::Plain(vec![
                vec![Step::Head, Step::Send(redirect("/other?a=b"))],
                vec![Step::Head, Step::Send(response("200 OK", &[TEXT], BODY))],
            ]),
            expect![[r#"up | go_goroutines 12"#]],
        ),
    ]
}

fn redirect(location: &str) -> Vec<u8> {
    response("302 Found", &[&format!("location: {location}")], "")
}
