use std::path::Path;

use super::super::*;

fn read(text: &str) -> Result<HttpSettings, String> {
    let root = checked_yaml::parse(text).map_err(|mistakes| mistakes.to_string())?;
    let mut mistakes = checked_yaml::Mistakes::new();
    let mut fields = root.fields(&mut mistakes);
    let settings = HttpSettings::read(&mut fields, Path::new("/etc/agent"), &mut mistakes);
    fields.finish(&mut mistakes);
    mistakes
        .into_result(settings)
        .map_err(|mistakes| mistakes.to_string())
}

/// What the settings look like where they are printed: never a secret.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let settings = read(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes}"));
    let shown = format!("{settings:?}");
    for part in expected {
        assert!(shown.contains(part), "{text}: {shown}");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
}

/// The mistakes, one a line, each with its line and key.
#[track_caller]
fn check_refused(text: &str, expected: &[&str]) {
    let told = read(text).expect_err(text);
    assert!(!told.contains("s3cret"), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}: {told}");
    for part in expected {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{text}: {told}"
        );
    }
}

#[test]
fn without_a_key_there_is_nothing_special() {
    assert_eq!(read("{}"), Ok(HttpSettings::default()));
}

#[test]
fn every_way_to_say_who_asks_is_read() {
    check(
        "basic_auth: { username: me, password: s3cret }",
        &["Basic", "<secret>"],
    );
    check(
        "basic_auth: { username_file: u, password_file: /run/p }",
        &["\"/etc/agent/u\"", "\"/run/p\""],
    );
    check(
        "authorization: { credentials: s3cret }",
        &["scheme: \"Bearer\"", "<secret>"],
    );
    check(
        "authorization: { type: ' Token ', credentials_file: t }",
        &["scheme: \"Token\"", "\"/etc/agent/t\""],
    );
    check("bearer_token: s3cret", &["scheme: \"Bearer\"", "<secret>"]);
    check("bearer_token_file: t", &["key: \"bearer_token_file\""]);
    check(
        "oauth2: { client_id: me, client_secret: s3cret, token_url: 'https://t/', scopes: [a, b], \
         endpoint_params: { audience: x }, tls_config: { insecure_skip_verify: true }, proxy_url: 'http://p:1' }",
        &[
            "client_id: \"me\"",
            "[\"a\", \"b\"]",
            "(\"audience\", \"x\")",
            "insecure_skip_verify: true",
        ],
    );
}

#[test]
fn tls_proxies_and_headers_are_read() {
    check(
        "tls_config: { ca_file: ca.pem, cert_file: c.pem, key_file: k.pem, server_name: s, min_version: TLS13 }",
        &[
            "\"/etc/agent/ca.pem\"",
            "\"/etc/agent/k.pem\"",
            "Some(\"s\")",
            "min_version: Tls13",
        ],
    );
    check(
        "tls_config: { ca: s3cret, cert: s3cret, key: s3cret, min_version: TLS10, max_version: TLS12 }",
        &["min_version: Tls12", "max_version: Tls12"],
    );
    check(
        "{ proxy_url: 'http://me:s3cret@p:3128', no_proxy: 'a,b', proxy_connect_header: { X-A: [s3cret] } }",
        &["except: Some(\"a,b\")", "\"x-a\"", "credentials: Some("],
    );
    check("proxy_from_environment: true", &["Environment"]);
    check(
        "http_headers: { X-Scope-OrgID: { values: [a, b], secrets: [s3cret], files: [f] } }",
        &["\"x-scope-orgid\"", "\"/etc/agent/f\""],
    );
    check(
        "{ follow_redirects: false, enable_http2: false }",
        &["follow_redirects: false", "enable_http2: false"],
    );
}

#[test]
fn contradictions_are_told_at_their_lines() {
    check_refused(
        "basic_auth: { username: me }\nauthorization: { credentials: s3cret }\nbearer_token: s3cret\n",
        &[
            "line 2: authorization: contradicts `basic_auth`",
            "line 3: bearer_token: contradicts `basic_auth`",
        ],
    );
    check_refused(
        "oauth2: { client_id: a, token_url: 'http://t' }\nbearer_token_file: x\n",
        &["line 2: bearer_token_file: contradicts `oauth2`"],
    );
    check_refused(
        "basic_auth:\n  username: me\n  username_file: u\n  password: s3cret\n  password_file: p\n",
        &[
            "line 3: basic_auth.username_file: contradicts `username`",
            "line 5: basic_auth.password_file: contradicts `password`",
        ],
    );
    check_refused(
        "authorization: { type: Basic, credentials: s3cret, credentials_file: f }",
        &["use `basic_auth`", "contradicts `credentials`"],
    );
    check_refused(
        "oauth2:\n  client_secret: s3cret\n  client_secret_file: f\n",
        &[
            "`client_id` is missing",
            "`token_url` is missing",
            "contradicts `client_secret`",
        ],
    );
    check_refused(
        "oauth2: { client_id: a, token_url: 'http://u:s3cret@t/', grant_type: jwt }",
        &["client credentials", "do not belong into this URL"],
    );
    check_refused(
        "tls_config:\n  ca: a\n  ca_file: b\n  cert: c\n  min_version: TLS13\n  max_version: TLS12\n",
        &[
            "without its key",
            "contradicts `ca`",
            "is below `min_version`",
        ],
    );
    check_refused(
        "tls_config: { key_file: k, max_version: TLS11, min_version: SSL3, ca_ref: x }",
        &[
            "secret manager",
            "only TLS12 and TLS13",
            "SSL3",
            "without its certificate",
        ],
    );
    check_refused(
        "proxy_from_environment: true\nproxy_url: http://p\nno_proxy: a\n",
        &[
            "line 2: proxy_url: contradicts",
            "line 3: no_proxy: contradicts",
        ],
    );
    check_refused(
        "no_proxy: a\nproxy_connect_header: { X-A: [b] }\n",
        &["without `proxy_url`", "without `proxy_url`"],
    );
    check_refused(
        "proxy_url: 'socks5://u:s3cret@p:1'",
        &["is not the URL of a proxy"],
    );
    check_refused(
        "http_headers:\n  Authorization: { values: [s3cret] }\n  X-A: { values: [a], vals: [] }\n  x-a: {}\n",
        &[
            "line 2: http_headers.Authorization: is set by",
            "line 3: ",
            "line 4: ",
        ],
    );
    check_refused(
        "http_headers: { 'a b': {} }",
        &["`a b` is not a header's name"],
    );
    check_refused("basic_auth: { password_ref: x, user: y }", &["", ""]);
    check_refused("bearer_token_file: ''", &["is empty"]);
}
