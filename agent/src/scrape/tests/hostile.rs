use std::time::Duration;

use expect_test::{Expect, expect};

use super::HttpClient;
use super::server::{GZIP, OPEN_METRICS, Server, Step, TEXT, gzip, response};
use super::{scrape_once, target, told};

async fn check(script: Vec<Step>, expected: Expect) {
    check_with("", script, expected).await;
}

async fn check_with(settings: &str, script: Vec<Step>, expected: Expect) {
    let server = Server::start(script).await;
    let scrape = scrape_once(&target(&server.address, settings)).await;
    expected.assert_eq(&told(&scrape).replace(&server.address, "HOST"));
}

fn head(rest: &str) -> Step {
    Step::Send(format!("HTTP/1.1 200 OK\r\n{TEXT}\r\n{rest}\r\n").into_bytes())
}

const BODY: &str = "# TYPE go_goroutines gauge\ngo_goroutines 12\nother 1\n";

#[tokio::test]
async fn an_honest_target_is_read() {
    check(
        vec![response(&[TEXT], BODY)],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12
    "#]],
    )
    .await;
    check(
        vec![response(&[TEXT, GZIP], gzip(BODY.as_bytes()))],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12
    "#]],
    )
    .await;
    let members = [gzip(b"go_goroutines"), gzip(b" 12\n")].concat();
    check(
        vec![response(&[TEXT, GZIP], members)],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12
    "#]],
    )
    .await;
    let open_metrics = "go_goroutines 12 1700000000.5\n# EOF\n";
    check(
        vec![response(&[OPEN_METRICS], open_metrics)],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12 @1700000000500
    "#]],
    )
    .await;
    let chunked = head("transfer-encoding: chunked\r\n");
    let chunks = Step::Send(b"7\r\ngo_goro\r\n9\r\nutines 3\n\r\n0\r\n\r\n".to_vec());
    check(
        vec![chunked, chunks],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 3
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_strange_content_type_is_a_warning() {
    check(
        vec![response(&[], BODY)],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12
        warning: the target sends no Content-Type; read as Prometheus' text format
    "#]],
    )
    .await;
    check(
        vec![response(&["content-type: text/html"], BODY)],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12
        warning: the target sends Content-Type `text/html`; read as Prometheus' text format
    "#]],
    )
    .await;
    check(
        vec![response(&["content-type: \u{1}<b>"], BODY)],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 12
        warning: the target sends no Content-Type; read as Prometheus' text format
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_body_of_another_kind_is_one_clear_error() {
    let html = "<!DOCTYPE html>\n<html></html>";
    check(
        vec![response(&["content-type: text/html"], html)],
        expect![[r#"
        error: line 1: this is HTML, no metrics; is `metrics_path` right? at `<!DOCTYPE html>`
    "#]],
    )
    .await;
    check(
        vec![response(&[TEXT], "{\"status\":\"UP\"}")],
        expect![[r#"
        error: line 1: this is JSON, no metrics; is `metrics_path` right? at `{"status":"UP"}`
    "#]],
    )
    .await;
    check(
        vec![response(&[TEXT], b"\x1f\x8b\x08\x00\xff\xff")],
        expect![[r#"
        error: line 1: the text is not UTF-8 at `�\u{8}\0��`
    "#]],
    )
    .await;
    check(
        vec![response(&[TEXT], format!("{BODY}go_goroutines twelve\n"))],
        expect![[r#"
        error: line 4: expected a value at `twelve`
    "#]],
    )
    .await;
    check(
        vec![response(&[OPEN_METRICS], BODY)],
        expect![[r#"
        error: line 3: the body ends without `# EOF`: it was cut off
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_damaged_encoding_is_one_clear_error() {
    check(
        vec![response(&[TEXT, GZIP], BODY)],
        expect![[r#"
        error: the body cannot be decompressed: invalid gzip header
    "#]],
    )
    .await;
    let whole = gzip(BODY.as_bytes());
    check(
        vec![response(&[TEXT, GZIP], &whole[..whole.len() - 9])],
        expect![[r#"
        error: the body cannot be decompressed: incomplete deflate stream
    "#]],
    )
    .await;
    let mut wrong_sum = whole.clone();
    let end = wrong_sum.len();
    wrong_sum[end - 6] ^= 1;
    check(vec![response(&[TEXT, GZIP], wrong_sum)], expect![[r#"
        error: the body cannot be decompressed: corrupt gzip stream does not have a matching checksum
    "#]]).await;
    check(
        vec![response(&[TEXT, GZIP], "")],
        expect![[r#"
        error: the body cannot be decompressed: incomplete deflate stream
    "#]],
    )
    .await;
    check(
        vec![response(&[TEXT, "content-encoding: br"], BODY)],
        expect![[r#"
        error: the body is encoded as `br`, which was not asked for
    "#]],
    )
    .await;
    check(
        vec![response(&[TEXT, GZIP, GZIP], &whole)],
        expect![[r#"
        error: the body is encoded as more than one thing, which was not asked for
    "#]],
    )
    .await;
}

#[tokio::test]
async fn other_answers_are_one_clear_error() {
    for status in ["204 No Content", "404 Not Found", "500 Oh", "302 Found"] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let code: String = status.chars().take(3).collect();
        let server = Server::start(vec![Step::Send(answer.into_bytes())]).await;
        let scrape = scrape_once(&target(&server.address, "")).await;
        assert_eq!(
            told(&scrape),
            format!("error: the target answered with HTTP status {code}\n")
        );
    }
    check(
        vec![Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())],
        expect![[r#"
        error: the connection broke before the response began: invalid HTTP version parsed
    "#]],
    )
    .await;
    check(vec![], expect![[r#"
        error: the connection broke before the response began: connection closed before message completed
    "#]]).await;
    check(vec![Step::Reset], expect![[r#"
        error: the connection broke before the response began: Connection reset by peer (os error 104)
    "#]]).await;
}

#[tokio::test]
async fn nobody_there_is_one_clear_error() {
    let scrape = scrape_once(&target("127.0.0.1:1", "")).await;
    expect![[r#"
        error: no connection: Connection refused (os error 111)
    "#]]
    .assert_eq(&told(&scrape));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_one_clear_error() {
    let short = head("content-length: 1000\r\n");
    check(
        vec![short.clone(), Step::Send(BODY.into())],
        expect![[r#"
        error: the body broke off after 52 bytes: end of file before message length reached
    "#]],
    )
    .await;
    check(
        vec![short, Step::Send(BODY.into()), Step::Reset],
        expect![[r#"
        error: the body broke off after 52 bytes: Connection reset by peer (os error 104)
    "#]],
    )
    .await;
    let chunked = head("transfer-encoding: chunked\r\n");
    check(
        vec![chunked.clone(), Step::Send(b"9\r\ngo_goro".to_vec())],
        expect![[r#"
        error: the body broke off after 7 bytes: end of file before message length reached
    "#]],
    )
    .await;
    check(
        vec![chunked, Step::Send(b"zz\r\n".to_vec())],
        expect![[r#"
        error: the body broke off after 0 bytes: Invalid chunk size line: missing size digit
    "#]],
    )
    .await;
}

#[tokio::test]
async fn bytes_behind_the_declared_length_are_not_read() {
    let long = head("content-length: 16\r\n");
    check(
        vec![long, Step::Send(b"go_goroutines 3\nGARBAGE".to_vec())],
        expect![[r#"
        go_goroutines{instance="i",job="j"} 3
    "#]],
    )
    .await;
}

#[tokio::test]
async fn waiting_ends_with_the_timeout() {
    let timeout = "scrape_timeout: 200ms";
    check_with(
        timeout,
        vec![Step::Hang],
        expect![[r#"
        error: timed out after 0.2s while connecting or waiting for the response to begin
    "#]],
    )
    .await;
    check_with(
        timeout,
        vec![Step::Send(b"HTTP/1.1 200".to_vec()), Step::Hang],
        expect![[r#"
        error: timed out after 0.2s while connecting or waiting for the response to begin
    "#]],
    )
    .await;
    let body = head("content-length: 1000\r\n");
    check_with(
        timeout,
        vec![body.clone(), Step::Hang],
        expect![[r#"
        error: timed out after 0.2s while the body was still coming
    "#]],
    )
    .await;
    let drip = Step::Drip(BODY.into(), Duration::from_millis(50));
    check_with(
        timeout,
        vec![body, drip],
        expect![[r#"
        error: timed out after 0.2s while the body was still coming
    "#]],
    )
    .await;
}

#[tokio::test]
async fn an_endless_body_ends_at_its_limit() {
    let limit = "body_size_limit: 1MB\nsample_limit: 0";
    let endless = vec![head(""), Step::Endless(b"other 1\n".repeat(1000))];
    check_with(
        limit,
        endless,
        expect![[r#"
        error: the body is larger than 1048576 bytes (body_size_limit)
    "#]],
    )
    .await;
    let line = vec![head(""), Step::Endless(vec![b'x'; 8000])];
    check(
        line,
        expect![[r#"
        error: line 1: longer than 1048576 bytes at `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`
    "#]],
    )
    .await;
    let comment = vec![
        head(""),
        Step::Endless([b"#", &[b'x'; 8000][..], b"\n"].concat()),
    ];
    check(
        comment,
        expect![[r#"
        error: the body is larger than 52428800 bytes (body_size_limit)
    "#]],
    )
    .await;
    let declared = vec![head("content-length: 99999999\r\n"), Step::Hang];
    check(
        declared,
        expect![[r#"
        error: the body is larger than 52428800 bytes (body_size_limit)
    "#]],
    )
    .await;
    let headers = Step::Endless(b"x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".to_vec());
    check(
        vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), headers],
        expect![[r#"
        error: the connection broke before the response began: message head is too large
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_bomb_goes_off_at_the_limit_of_decompressed_bytes() {
    let line = b"# ................................................................\n";
    let bomb = gzip(&line.repeat((2 << 20) / line.len())).repeat(100);
    assert!(bomb.len() < 4 << 20);
    let before = peak_resident_bytes();
    check(
        vec![response(&[TEXT, GZIP], &bomb)],
        expect![[r#"
        error: the body is larger than 52428800 bytes (body_size_limit)
    "#]],
    )
    .await;
    let grown = peak_resident_bytes().saturating_sub(before);
    assert!(grown < 150 << 20, "{grown} bytes");
}

#[tokio::test]
async fn a_million_series_end_at_the_limit_of_samples() {
    let body: String = (0..1_000_000)
        .map(|index| format!("process_open_fds{{i=\"{index}\"}} 1\n"))
        .collect();
    let body = gzip(body.as_bytes());
    let before = peak_resident_bytes();
    check_with(
        // A debug build on a busy machine takes its time; what is tested is the limit.
        "scrape_interval: 120s\nscrape_timeout: 120s",
        vec![response(&[TEXT, GZIP], &body)],
        expect![[r#"
        error: the body has more than 500000 samples (sample_limit)
    "#]],
    )
    .await;
    let grown = peak_resident_bytes().saturating_sub(before);
    assert!(grown < 150 << 20, "{grown} bytes");
}

/// The most memory that the process has held. Other tests run beside this one: the bounds leave them room, and are
/// still below what the body alone would take.
fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("VmHWM");
    let kilobytes: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kilobytes << 10
}

#[tokio::test]
async fn redirects_stay_with_the_target() {
    let redirect = |location: &str| {
        vec![Step::Send(
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
                .into_bytes(),
        )]
    };
    check(redirect("http://127.0.0.1:1/metrics"), expect![[r#"
        error: the target redirects to http://127.0.0.1:1/metrics, which is not followed: it leads to another host; if that is the target, configure it
    "#]]).await;
    check(redirect("https://127.0.0.1/metrics"), expect![[r#"
        error: the target redirects to https://127.0.0.1/metrics, which is not followed: it leads to another host; if that is the target, configure it
    "#]]).await;
    check(
        redirect("//user:secret@[::"),
        expect![[r#"
            error: the target redirects to something, which is not followed: it is not a URL
        "#]],
    )
    .await;
    check(redirect("//user:secret@127.0.0.1:1/"), expect![[r#"
        error: the target redirects to http://127.0.0.1:1/, which is not followed: it leads to another host; if that is the target, configure it
    "#]]).await;
    check(redirect("/again"), expect![[r#"
        error: the target redirects to http://HOST/again, which is not followed: it is the eleventh in a row
    "#]]).await;
    check_with(
        "follow_redirects: false",
        redirect("/x"),
        expect![[r#"
            error: the target redirects to http://HOST/x, which is not followed: `follow_redirects` is false
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_request_is_that_of_prometheus() {
    let server = Server::start(vec![response(&[TEXT], BODY)]).await;
    let settings = "metrics_path: /m\nparams: { b: [x y, z], a: [\"1\"] }\nscrape_timeout: 1500ms";
    scrape_once(&target(&server.address, settings)).await;
    let request = server
        .requests()
        .remove(0)
        .replace(&server.address, "HOST")
        .replace("\r\n", "\n");
    expect![[r#"
        GET /m?a=1&b=x+y&b=z HTTP/1.1
        accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1
        accept-encoding: gzip
        x-prometheus-scrape-timeout-seconds: 1.5
        user-agent: leak-agent/0.1.0
        host: HOST

    "#]].assert_eq(&request);

    scrape_once(&target(&server.address, "enable_compression: false")).await;
    assert!(server.requests()[1].contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn a_redirect_within_the_target_is_followed() {
    let redirect = "HTTP/1.1 307 Temporary Redirect\r\nlocation: other?a=b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let scripts = vec![
        vec![Step::Send(redirect.into())],
        vec![response(&[TEXT], BODY)],
    ];
    let server = Server::in_turn(scripts).await;
    let scrape = scrape_once(&target(&server.address, "metrics_path: /x/metrics")).await;
    assert!(scrape.result.is_ok(), "{}", told(&scrape));
    let requests = server.requests();
    let lines: Vec<&str> = requests
        .iter()
        .filter_map(|head| head.lines().next())
        .collect();
    assert_eq!(
        lines,
        ["GET /x/metrics HTTP/1.1", "GET /x/other?a=b HTTP/1.1"]
    );
    assert!(requests[1].contains("x-prometheus-scrape-timeout-seconds: 60\r\n"));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_failure() {
    let keep = head(&format!("content-length: {}\r\n", BODY.len()));
    let server = Server::start(vec![keep, Step::Send(BODY.into())]).await;
    let target = target(&server.address, "");
    let client = HttpClient::new(target.settings.http.clone(), 1);
    let mut watched = super::watched(&target);
    for _ in 0..20 {
        let scrape = super::scrape(&client, &target, &mut watched).await;
        assert!(scrape.result.is_ok(), "{}", told(&scrape));
    }
    assert_eq!(server.requests().len(), 20);
}
