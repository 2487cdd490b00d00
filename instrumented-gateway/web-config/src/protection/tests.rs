//! Real connections over loopback: a listener that answers one line, and clients with and without what is demanded.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;
use crate::certificates::Certificates;

/// A web configuration among certificates.
struct Stand {
    files: Certificates,
    ledger: Ledger,
}

impl Stand {
    fn new(configuration: &str) -> Self {
        let stand = Self {
            files: Certificates::new(),
            ledger: Ledger::default(),
        };
        stand.files.write("web.yml", configuration);
        stand
    }

    fn open(&self) -> Protection {
        let path = self.files.folder().join("web.yml");
        Protection::open(Some(&path), &self.ledger).unwrap()
    }

    fn client(&self, with_certificate: bool) -> ClientConfig {
        let read = |name: &str| std::fs::read(self.files.folder().join(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        if with_certificate {
            let chain = vec![CertificateDer::from_pem_slice(&read("cert.pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        }
    }
}

/// What a client hears that says `ask`, under `name` where it speaks TLS, and what the listener says of it.
async fn exchange(
    protection: &Protection,
    client: Option<(ClientConfig, &str)>,
    ask: &[u8],
) -> (Result<String, String>, Result<(), AcceptError>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = protection.accept(stream).await?;
        let mut asked = [0; 5];
        // A client that does not like what it sees leaves.
        if connection.read_exact(&mut asked).await.is_ok() {
            connection.write_all(b"hello").await.unwrap();
            connection.shutdown().await.unwrap();
        }
        Ok(())
    };
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut heard = String::new();
        match client {
            None => {
                stream.write_all(ask).await.unwrap();
                stream
                    .read_to_string(&mut heard)
                    .await
                    .map_err(|error| error.to_string())?;
            }
            Some((client, name)) => {
                let name = ServerName::try_from(name.to_owned()).unwrap();
                let connector = TlsConnector::from(Arc::new(client));
                let mut stream = connector
                    .connect(name, stream)
                    .await
                    .map_err(|error| error.to_string())?;
                // In TLS 1.3 a refusal comes only after the client's own last word.
                let _ = stream.write_all(ask).await;
                stream
                    .read_to_string(&mut heard)
                    .await
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(heard)
    };
    let (heard, served) = tokio::join!(talk, serve);
    (heard, served)
}

const TLS: &str = "tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n";
const MUTUAL: &str = "tls_server_config: { cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert }\n";

#[tokio::test]
async fn tls_is_spoken_and_plain_http_is_told_so() {
    let stand = Stand::new(TLS);
    let protection = stand.open();
    assert!(protection.is_tls());
    let client = Some((stand.client(false), "localhost"));
    let (heard, _) = exchange(&protection, client, b"hello").await;
    assert_eq!(heard.unwrap(), "hello");

    let (heard, served) = exchange(&protection, None, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(heard.unwrap().starts_with("HTTP/1.0 400 Bad Request"));
    assert!(matches!(served, Err(AcceptError::NotTls)));
}

#[tokio::test]
async fn only_a_certificate_of_the_clients_authority_comes_in() {
    let stand = Stand::new(MUTUAL);
    let protection = stand.open();
    let client = Some((stand.client(true), "localhost"));
    let (heard, _) = exchange(&protection, client, b"hello").await;
    assert_eq!(heard.unwrap(), "hello");

    let nobody = Some((stand.client(false), "localhost"));
    let (heard, served) = exchange(&protection, nobody, b"hello").await;
    assert!(heard.unwrap_err().contains("CertificateRequired"));
    assert!(matches!(served, Err(AcceptError::Handshake(_))));

    let stranger = Stand::new(MUTUAL);
    let mut client = stranger.client(true);
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read(stand.files.folder().join("ca.pem")).unwrap();
    roots
        .add(CertificateDer::from_pem_slice(&ca).unwrap())
        .unwrap();
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::new(rustls::crypto::ring::default_provider()),
    );
    client
        .dangerous()
        .set_certificate_verifier(verifier.build().unwrap());
    let (heard, _) = exchange(&protection, Some((client, "localhost")), b"hello").await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test]
async fn any_certificate_is_enough_where_none_is_verified() {
    let stand = Stand::new(
        &MUTUAL
            .replace("RequireAndVerifyClientCert", "RequireAnyClientCert")
            .replace("client_ca_file: ca.pem, ", ""),
    );
    let protection = stand.open();
    let client = Some((stand.client(true), "localhost"));
    assert!(exchange(&protection, client, b"hello").await.0.is_ok());
    let nobody = Some((stand.client(false), "localhost"));
    assert!(exchange(&protection, nobody, b"hello").await.0.is_err());
}

#[tokio::test]
async fn a_rotated_certificate_counts_from_the_next_connection_on() {
    let stand = Stand::new(TLS);
    let protection = stand.open();
    stand.files.issue("rotated.example");
    let client = Some((stand.client(false), "localhost"));
    let (heard, _) = exchange(&protection, client, b"hello").await;
    assert!(heard.unwrap_err().contains("not valid for name"));
    let client = Some((stand.client(false), "rotated.example"));
    let (heard, _) = exchange(&protection, client, b"hello").await;
    assert_eq!(heard.unwrap(), "hello");

    // A key that does not fit, as between the two writes of a rotation: the former pair goes on.
    stand
        .files
        .write("key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let client = Some((stand.client(false), "rotated.example"));
    assert_eq!(
        exchange(&protection, client, b"hello").await.0.unwrap(),
        "hello"
    );
    // Nor does a file that is caught half written open the listener.
    stand.files.write("web.yml", "");
    assert!(protection.is_tls());
}

/// The field of a name and a password.
fn login(name: &str, password: &str) -> HeaderMap {
    let encoded = BASE64_STANDARD.encode(format!("{name}:{password}"));
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Basic {encoded}").parse().unwrap());
    headers
}

fn users(pairs: &[(&str, &str)]) -> String {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    let lines = pairs
        .iter()
        .map(|(name, password)| format!("  {name}: {}\n", hash(password)));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn who_has_the_password_comes_in_and_nobody_else() {
    let stand = Stand::new(&users(&[("alice", "open: sesame"), ("bob", "xyzzy")]));
    let protection = stand.open();
    // Twice each: the second answer is the remembered one.
    for _ in 0..2 {
        for (name, password, expected) in [
            ("alice", "open: sesame", Ok(())),
            ("bob", "xyzzy", Ok(())),
            ("alice", "xyzzy", Err(Unauthorized)),
            ("carol", "xyzzy", Err(Unauthorized)),
            ("", "", Err(Unauthorized)),
        ] {
            let answer = protection.authorize(&login(name, password)).await;
            assert_eq!(answer, expected, "{name}");
        }
    }
    for value in ["", "Basic", "Basic !!!", "Bearer abc", "Basic YWxpY2U="] {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        assert_eq!(
            protection.authorize(&headers).await,
            Err(Unauthorized),
            "{value:?}"
        );
    }
    assert_eq!(
        protection.authorize(&HeaderMap::new()).await,
        Err(Unauthorized)
    );
    let snapshot = stand.ledger.snapshot();
    assert_eq!(snapshot.open("service_task"), 0, "no check is left behind");
}

#[tokio::test]
async fn a_changed_password_counts_at_once() {
    let stand = Stand::new(&users(&[("alice", "old")]));
    let protection = stand.open();
    assert_eq!(protection.authorize(&login("alice", "old")).await, Ok(()));
    stand.files.write("web.yml", &users(&[("alice", "new")]));
    assert_eq!(
        protection.authorize(&login("alice", "old")).await,
        Err(Unauthorized)
    );
    assert_eq!(protection.authorize(&login("alice", "new")).await, Ok(()));
    stand
        .files
        .write("web.yml", "basic_auth_users: { alice: new }\n");
    assert_eq!(
        protection.authorize(&login("alice", "new")).await,
        Ok(()),
        "broken: the former"
    );
    stand.files.write("web.yml", "");
    assert_eq!(
        protection.authorize(&HeaderMap::new()).await,
        Err(Unauthorized),
        "never lifted"
    );
}

#[tokio::test]
async fn a_hash_of_htpasswd_is_known() {
    // From the exporter-toolkit's own examples: `$2y$`, as Apache's htpasswd writes it.
    let stand = Stand::new(
        "basic_auth_users: { alice: $2y$12$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby }\n",
    );
    let protection = stand.open();
    assert_eq!(
        protection.authorize(&login("alice", "alice123")).await,
        Ok(())
    );
    assert_eq!(
        protection.authorize(&login("alice", "alice")).await,
        Err(Unauthorized)
    );
}

#[test]
fn configured_fields_replace_those_of_an_answer() {
    let stand = Stand::new("http_server_config: { headers: { X-Frame-Options: deny } }\n");
    let mut headers = HeaderMap::new();
    headers.insert("x-frame-options", HeaderValue::from_static("sameorigin"));
    stand.open().dress(&mut headers);
    assert_eq!(headers["x-frame-options"], "deny");
}

#[test]
fn the_mistakes_of_named_files_are_those_of_the_key_that_names_them() {
    let stand = Stand::new("tls_server_config:\n  cert_file: ca.pem\n  key_file: key.pem\n");
    let path = stand.files.folder().join("web.yml");
    let error = Protection::check(&path).unwrap_err().to_string();
    assert!(error.contains("tls_server_config"), "{error}");
    stand.files.write(
        "web.yml",
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: cert.pem\n",
    );
    let error = Protection::check(&path).unwrap_err().to_string();
    assert!(
        error.contains("line 3: tls_server_config.key_file: there is no private key in it"),
        "{error}"
    );
}
