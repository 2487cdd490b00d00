//! Whether a server is the one that was asked for.
//!
//! The verification is webpki's, with two differences that make it Go's, and so Prometheus': a configured name replaces the
//! host's, and a server may show the very certificate that is configured as its authority, although webpki takes no
//! authority for a server (`openssl req -x509` makes such certificates).

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Verifies by `authorities`, or by those of the system, under `name`, or under the host's own.
///
/// # Errors
/// Why the authorities are none.
pub fn of(
    authorities: Option<Vec<CertificateDer<'static>>>,
    name: Option<ServerName<'static>>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let (trusted, pinned) = match authorities {
        None => (Trusted::System, Vec::new()),
        Some(pinned) => {
            let mut roots = RootCertStore::empty();
            for certificate in &pinned {
                let added = roots.add(certificate.clone());
                added.map_err(|error| error.to_string())?;
            }
            (Trusted::Configured(webpki(roots)?), pinned)
        }
    };
    Ok(Arc::new(Verifier {
        trusted,
        pinned,
        name,
        algorithms: ring::default_provider().signature_verification_algorithms,
    }))
}

/// `insecure_skip_verify`: verifies nothing.
pub fn anybody() -> Arc<dyn ServerCertVerifier> {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    Arc::new(Anybody(algorithms.supported_schemes()))
}

fn webpki(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    let provider = Arc::new(ring::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())
}

/// Whoever the system trusts, read once and when it is first needed: most programs never meet a server with TLS.
pub(crate) fn system() -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    static SYSTEM: OnceLock<Option<Arc<WebPkiServerVerifier>>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        webpki(roots).ok()
    };
    SYSTEM.get_or_init(read).clone().ok_or_else(|| {
        rustls::Error::General(
            "the system trusts nobody: install ca-certificates, or name authorities in `ca_file`"
                .to_owned(),
        )
    })
}

/// Whose signature counts.
#[derive(Debug)]
enum Trusted {
    System,
    Configured(Arc<WebPkiServerVerifier>),
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
