use expect_test::{Expect, expect};

use super::*;

fn mistakes_of(text: &str) -> String {
    match Settings::parse(text, Path::new(""), &mut Watched::default()) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&mistakes_of(text));
}

const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

#[test]
fn an_empty_file_demands_nothing() {
    check("", expect![""]);
    check("http_server_config: { http2: true }", expect![""]);
}

#[test]
fn every_mistake_has_its_key_and_line() {
    check(
        "tls_server_config:\n  cert_file: /nowhere/cert.pem\n  client_auth_type: Sometimes\n  min_version: TLS10\n  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n  curve_preferences: [CurveP521]\n  client_allowed_sans: [a]\n  colour: red\nbasic_auth_user: {}\n",
        expect![[r#"
            line 1: tls_server_config: `key_file` is missing
            line 2: tls_server_config.cert_file: /nowhere/cert.pem cannot be read: No such file or directory (os error 2)
            line 3: tls_server_config.client_auth_type: `Sometimes` is none of NoClientCert, RequestClientCert, RequireAnyClientCert, RequireClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert
            line 4: tls_server_config.min_version: TLS10 is broken and not spoken; TLS12 or TLS13
            line 5: tls_server_config.cipher_suites[0]: `TLS_RSA_WITH_RC4_128_SHA` is not one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
            line 6: tls_server_config.curve_preferences[0]: `CurveP521` is not one of X25519, CurveP256, CurveP384
            line 7: tls_server_config.client_allowed_sans: is not supported here: every certificate of `client_ca_file` comes in; give those who may come in an authority of their own
            line 8: tls_server_config.colour: unknown key; known here: cert, cert_file, key, key_file, client_ca, client_ca_file, client_auth_type, min_version, max_version, cipher_suites, curve_preferences, prefer_server_cipher_suites
            line 9: basic_auth_user: unknown key; did you mean `basic_auth_users`?"#]],
    );
}

#[test]
fn a_password_in_the_place_of_its_hash_is_not_repeated() {
    check(
        "basic_auth_users: { alice: 'open sesame' }",
        expect![[
            r#"line 1: basic_auth_users.alice: is not a bcrypt hash; `htpasswd -nBC 10 ""` makes one"#
        ]],
    );
    check(
        &format!(
            "basic_auth_users: {{ alice: {} }}",
            HASH.replace("$10$", "$31$")
        ),
        expect![
            "line 1: basic_auth_users.alice: a bcrypt hash of cost 31; the cost is from 4 to 16"
        ],
    );
}

#[test]
fn clients_are_verified_by_somebody_or_not_at_all() {
    check(
        "tls_server_config: { cert: x, key: y, client_auth_type: RequireAndVerifyClientCert }",
        expect![[r#"
            line 1: tls_server_config.cert: there is no certificate in it
            line 1: tls_server_config.client_auth_type: needs `client_ca_file`
            line 1: tls_server_config.key: there is no private key in it: no items found"#]],
    );
    check(
        "tls_server_config: { cert: x, cert_file: z, key: y, client_ca: x }",
        expect![[r#"
            line 1: tls_server_config: an authority of clients does nothing without `client_auth_type: RequireAndVerifyClientCert`
            line 1: tls_server_config.cert: `cert` and `cert_file` exclude each other; keep one
            line 1: tls_server_config.client_ca: there is no certificate in it
            line 1: tls_server_config.key: there is no private key in it: no items found"#]],
    );
}

#[test]
fn only_the_known_fields_can_be_set() {
    check(
        "http_server_config: { headers: { X-Frame-Options: allow, Server: mine, Content-Security-Policy: \"default-src 'self'\" } }",
        expect![[r#"
            line 1: http_server_config.headers.Server: cannot be set; these can: Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection
            line 1: http_server_config.headers.X-Frame-Options: must be deny or sameorigin"#]],
    );
}

#[test]
fn a_reload_lifts_no_protection() {
    let read = |text: &str| Settings::parse(text, Path::new(""), &mut Watched::default()).unwrap();
    let (open, closed) = (
        read(""),
        read(&format!("basic_auth_users: {{ alice: {HASH} }}")),
    );
    assert!(closed.is_lifted_by(&open));
    assert!(!open.is_lifted_by(&closed));
    assert!(!closed.is_lifted_by(&closed));
}
