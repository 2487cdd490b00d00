//! The web interface behind a web configuration file, against real clients over loopback.

use std::path::Path;
use std::sync::Arc;

use leak_agent::agent::Agent;
use leak_agent::config::Config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::wire::certificates::Authority;

/// `alice123`, as in the exporters' own example.
const USERS: &str =
    "basic_auth_users: { alice: $2y$12$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby }\n";
const MUTUAL: &str = "tls_server_config: { cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert }\n";

/// Writes an authority, a certificate of it and its key, and a web configuration.
fn write(folder: &Path, configuration: &str) {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    for (name, text) in [
        ("ca.pem", authority.pem),
        ("cert.pem", identity.certificate),
        ("key.pem", identity.key),
        ("web.yml", configuration.to_owned()),
        (
            "agent.yml",
            format!(
                "scrape_configs: [{{ job_name: shop, static_configs: [{{ targets: ['127.0.0.1:9'] }}] }}]\n\
                 storage: {{ path: {:?} }}\nweb: {{ listen: '127.0.0.1:0', config_file: web.yml }}\n",
                folder.join("data")
            ),
        ),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// A client that trusts the folder's authority, with the folder's certificate or without one.
fn client(folder: &Path, with_certificate: bool) -> reqwest::Client {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(&read("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let tls = if with_certificate {
        let chain = vec![CertificateDer::from_pem_slice(&read("cert.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    leak_agent::http_client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_is_behind_certificate_and_password() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &format!("{MUTUAL}{USERS}"));
    let config = Config::load(&folder.join("agent.yml")).unwrap();
    let running = Agent::start(config).await.unwrap();
    let address = running.web_addr();
    let known = client(folder, true);
    for path in [
        "/",
        "/metrics",
        "/api/v1/leaks",
        "/-/healthy",
        "/style.css",
        "/nowhere",
    ] {
        let url = format!("https://{address}{path}");
        let answer = known.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert!(
            answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic realm=")
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let wrong = known.get(&url).basic_auth("alice", Some("guess"));
        assert_eq!(wrong.send().await.unwrap().status(), 401, "{path}");
        let right = known.get(&url).basic_auth("alice", Some("alice123"));
        let expected = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(right.send().await.unwrap().status(), expected, "{path}");
    }
    let url = format!("https://{address}/");
    let nobody = client(folder, false).get(&url).send().await;
    assert!(nobody.is_err(), "no certificate, no answer: {nobody:?}");
    let plain = known
        .get(format!("http://{address}/"))
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 400);
    assert!(plain.text().await.unwrap().contains("speaks HTTPS"));
    // Links lead to where the interface is.
    let targets = known.get(format!("https://{address}/api/v1/targets"));
    let targets = targets
        .basic_auth("alice", Some("alice123"))
        .send()
        .await
        .unwrap();
    assert!(!targets.text().await.unwrap().contains("alice123"));
    running.shutdown().await;
}

#[test]
fn mistakes_of_the_web_configuration_are_those_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "basic_auth_users: { alice: alice123 }\n");
    let error = Config::load(&folder.join("agent.yml"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 3: web.config_file: "), "{error}");
    assert!(
        error.contains("line 1: basic_auth_users.alice: is not a bcrypt hash"),
        "{error}"
    );
    assert!(!error.contains("alice123"), "{error}");
}
