//! Both sides of real handshakes over loopback, with certificates that change in between.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::certificates::Certificates;

impl Certificates {
    fn server(&self, section: &str) -> Result<ServerTls, String> {
        self.read(section, |node, directory, mistakes| {
            ServerTls::read(node, directory, &["h2", "http/1.1"], mistakes)
        })
    }

    fn client(&self, section: &str) -> Result<ClientTls, String> {
        self.read(section, |node, directory, mistakes| {
            ClientTls::read(node, directory, &["h2"], mistakes)
        })
    }

    fn read<T>(
        &self,
        section: &str,
        read: impl FnOnce(&Node, &Path, &mut Mistakes) -> Option<T>,
    ) -> Result<T, String> {
        let node = checked_yaml::parse(section).unwrap();
        let mut mistakes = Mistakes::new();
        let read = read(&node, self.folder(), &mut mistakes);
        match mistakes.into_result(read) {
            Ok(read) => Ok(read.expect("a mistake, or a value")),
            Err(mistakes) => Err(mistakes.to_string()),
        }
    }
}

const SERVER: &str = "{ cert_file: cert.pem, key_file: key.pem }";
const CLIENT: &str = "{ ca_file: ca.pem }";

/// The protocol that both agree on, or why not.
async fn shake(server: &ServerTls, client: &ClientTls, host: &str) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server
            .accept(stream)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let protocol = connection.protocol().unwrap_or_default().to_vec();
        // TLS 1.3 refuses a client's certificate after the client's handshake is over.
        connection.write_all(b"x").await.unwrap();
        connection.shutdown().await.unwrap();
        Ok::<_, String>(String::from_utf8(protocol).unwrap())
    };
    let talk = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = client
            .connect(host, stream, None)
            .await
            .map_err(|error| error.to_string())?;
        stream.read_u8().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(())
    };
    let (served, talked) = tokio::join!(serve, talk);
    talked?;
    served
}

#[tokio::test]
async fn both_agree_on_a_protocol_and_the_name_is_verified() {
    let files = Certificates::new();
    let server = files.server(SERVER).unwrap();
    let client = files.client(CLIENT).unwrap();
    assert_eq!(shake(&server, &client, "localhost").await.unwrap(), "h2");
    let error = shake(&server, &client, "elsewhere").await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    let named = files
        .client("{ ca_file: ca.pem, server_name: localhost }")
        .unwrap();
    assert_eq!(shake(&server, &named, "elsewhere").await.unwrap(), "h2");
    let blind = files.client("{ insecure_skip_verify: true }").unwrap();
    assert_eq!(shake(&server, &blind, "elsewhere").await.unwrap(), "h2");
    // Their authority is none of the system's.
    if let Ok(system) = files.client("{}") {
        let error = shake(&server, &system, "localhost").await.unwrap_err();
        assert!(error.contains("UnknownIssuer"), "{error}");
    }
}

#[tokio::test]
async fn a_server_may_show_the_very_certificate_that_is_its_authority() {
    let files = Certificates::new();
    // As `openssl req -x509` makes them.
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = parameters.self_signed(&key).unwrap();
    files.write("key.pem", &key.serialize_pem());
    files.write("cert.pem", &own.pem());
    let server = files.server(SERVER).unwrap();
    let client = files.client("{ ca_file: cert.pem }").unwrap();
    assert_eq!(shake(&server, &client, "localhost").await.unwrap(), "h2");
    shake(&server, &client, "elsewhere").await.unwrap_err();
    let other = files.client(CLIENT).unwrap();
    shake(&server, &other, "localhost").await.unwrap_err();
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_is_demanded() {
    let files = Certificates::new();
    let demanding = "{ cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert }";
    let server = files.server(demanding).unwrap();
    let without = files.client(CLIENT).unwrap();
    shake(&server, &without, "localhost").await.unwrap_err();
    let with = "{ ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem }";
    let with = files.client(with).unwrap();
    assert_eq!(shake(&server, &with, "localhost").await.unwrap(), "h2");
}

#[tokio::test]
async fn changed_certificates_count_from_the_next_connection_on_unless_they_are_broken() {
    let files = Certificates::new();
    let server = files.server(SERVER).unwrap();
    let client = files.client(CLIENT).unwrap();
    shake(&server, &client, "localhost").await.unwrap();
    assert_eq!(server.renewals(), Renewals::default());

    files.issue("elsewhere");
    shake(&server, &client, "localhost").await.unwrap_err();
    shake(&server, &client, "elsewhere").await.unwrap();
    let renewed = |renewed, refused| Renewals { renewed, refused };
    assert_eq!(server.renewals(), renewed(1, 0));

    files.write("key.pem", "nonsense");
    shake(&server, &client, "elsewhere").await.unwrap();
    shake(&server, &client, "elsewhere").await.unwrap();
    assert_eq!(server.renewals(), renewed(1, 1), "tried once, told once");
    assert!(!server.reread());
    assert_eq!(server.renewals(), renewed(1, 2));

    files.issue("localhost");
    assert!(server.reread());
    shake(&server, &client, "localhost").await.unwrap();
    assert_eq!(server.renewals(), renewed(2, 2));
}

#[tokio::test]
async fn another_section_is_put_in_force_for_those_who_share_the_first() {
    let files = Certificates::new();
    let server = files.server(SERVER).unwrap();
    let same = server.clone();
    let client = files.client(CLIENT).unwrap();
    let demanding =
        "{ cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAnyClientCert }";
    let other = files.server(demanding).unwrap();
    assert_ne!(server, other);
    server.adopt(&other);
    assert_eq!(same, other);
    shake(&same, &client, "localhost").await.unwrap_err();
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let files = Certificates::new();
    files.write("bad.pem", "nonsense");
    let told = files
        .client("{ ca_file: gone.pem, cert_file: cert.pem, server_name: a b, min_version: TLS10, ca_fil: x }")
        .unwrap_err();
    for part in [
        "ca_file: gone.pem cannot be read",
        "`cert_file` needs `key_file`",
        "server_name: `a b` is no name of a host",
        "min_version: TLS10 is broken and not spoken",
        "ca_fil: unknown key; did you mean `ca_file`?",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let told = files.server("{ cert_file: bad.pem }").unwrap_err();
    for part in ["there is no certificate in it", "`key_file` is missing"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
