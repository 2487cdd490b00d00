//! TLS as the settings ask for it: whom to trust, under which name, and which certificate to show.
//!
//! The verification is webpki's, with two differences that make it Go's, and so Prometheus': `server_name` replaces the
//! host's name, and a server may show the very certificate that is configured as its authority, although webpki takes
//! no authority for a server (`openssl req -x509` makes such certificates).

use std::sync::{Arc, OnceLock};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use super::HttpError;
use super::secret::{Secret, SecretSource, read_file};
use super::settings::{HttpSettings, Identity, TlsSettings, TlsVersion};

/// Bytes of a file with certificates: the system's own bundle has a quarter of a megabyte.
const CERTIFICATE_BYTES: u64 = 4 << 20;

/// The configuration of one client.
pub(super) fn configuration(settings: &HttpSettings) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(&settings.tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&settings.tls))
        .map_err(|error| HttpError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut configuration = match &settings.tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = own_certificate(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                HttpError::Tls(format!("the client's certificate and key: {error}"))
            })?
        }
    };
    configuration.alpn_protocols = match settings.enable_http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(configuration)
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| (settings.min_version..=settings.max_version).contains(version))
    .map(|(_, protocol)| protocol)
    .collect()
}

fn verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, HttpError> {
    if settings.insecure_skip_verify {
        let schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        return Ok(Arc::new(Anybody(schemes)));
    }
    let (trusted, pinned) = match &settings.authorities {
        None => (Trusted::System, Vec::new()),
        Some(source) => {
            let certificates = certificates("ca", source)?;
            let mut roots = RootCertStore::empty();
            for certificate in &certificates {
                let added = roots.add(certificate.clone());
                added.map_err(|error| broken("ca", source, &error.to_string()))?;
            }
            let webpki = webpki(roots).map_err(|error| broken("ca", source, &error.to_string()))?;
            (Trusted::Configured(webpki), certificates)
        }
    };
    let name = match &settings.server_name {
        None => None,
        Some(name) => Some(
            ServerName::try_from(name.clone())
                .map_err(|_| HttpError::Tls(format!("server_name: `{name}` is not a name")))?,
        ),
    };
    Ok(Arc::new(Verifier {
        trusted,
        pinned,
        name,
        algorithms: provider.signature_verification_algorithms,
    }))
}

fn webpki(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    let provider = Arc::new(ring::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
}

/// Whoever the system trusts, read once and when the first server shows a certificate: most agents never meet one.
fn system() -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    static SYSTEM: OnceLock<Option<Arc<WebPkiServerVerifier>>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        webpki(roots).ok()
    };
    SYSTEM.get_or_init(read).clone().ok_or_else(|| {
        rustls::Error::General(
            "the system trusts nobody: install ca-certificates, or set tls_config.ca_file"
                .to_owned(),
        )
    })
}

fn pem(key: &'static str, source: &SecretSource) -> Result<Secret, HttpError> {
    match source {
        SecretSource::Inline(secret) => Ok(secret.clone()),
        SecretSource::File { key, path } => {
            let bytes = read_file(key, path, CERTIFICATE_BYTES)?;
            // Between the certificates of a bundle there may be anything.
            Ok(Secret::new(String::from_utf8_lossy(&bytes)))
        }
    }
    .and_then(|secret| match secret.expose().trim().is_empty() {
        false => Ok(secret),
        true => Err(broken(key, source, "it is empty")),
    })
}

fn certificates(
    key: &'static str,
    source: &SecretSource,
) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let text = pem(key, source)?;
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(text.expose().as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(broken(key, source, "there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(broken(key, source, &error.to_string())),
    }
}

type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own_certificate(identity: &Identity) -> Result<OwnCertificate, HttpError> {
    let chain = certificates("cert", &identity.certificate)?;
    let key = pem("key", &identity.key)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|error| broken("key", &identity.key, &error.to_string()))?;
    Ok((chain, key))
}

fn broken(key: &'static str, source: &SecretSource, reason: &str) -> HttpError {
    match source {
        SecretSource::Inline(_) => HttpError::Tls(format!("tls_config.{key}: {reason}")),
        SecretSource::File { key, path } => HttpError::File {
            key,
            path: path.clone(),
            reason: reason.to_owned(),
        },
    }
}

/// Whose signature counts.
#[derive(Debug)]
enum Trusted {
    System,
    Configured(Arc<WebPkiServerVerifier>),
}

/// Looks one host up, whatever it is asked for: the URL has the name that the server's certificate must carry.
#[derive(Debug)]
pub(super) struct Lookup(String);

impl Lookup {
    /// `host` as it stands in a URL.
    pub(super) fn of(host: &str) -> Arc<Self> {
        Arc::new(Self(host.trim_matches(['[', ']']).to_owned()))
    }
}

impl Resolve for Lookup {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // The port is the URL's.
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Box::new(found) as Addrs)
        })
    }
}

/// webpki, under the configured name, and with a server that shows its own authority.
#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
    algorithms: WebPkiSupportedAlgorithms,
    /// The configured authorities.
    pinned: Vec<CertificateDer<'static>>,
    /// Instead of the host's.
    name: Option<ServerName<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.name.as_ref().unwrap_or(server_name);
        let webpki = match &self.trusted {
            Trusted::System => system()?,
            Trusted::Configured(webpki) => Arc::clone(webpki),
        };
        let verified =
            webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verified {
            // webpki looks at the time before it looks at what a certificate is for.
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(error)))
                if error.to_string() == "CaUsedAsEndEntity" && self.pinned.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// `insecure_skip_verify`: whoever answers. A signature would prove nothing, and old certificates cannot even be read.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
