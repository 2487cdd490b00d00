//! TLS as the settings ask for it: whom to trust, under which name, and which certificate to show.
//!
//! Servers are verified as by the gateway ([`web_config::verifier`]): as Go does, and so Prometheus.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, SupportedProtocolVersion};
use web_config::verifier;

use super::HttpError;
use super::secret::{Secret, SecretSource, read_file};
use super::settings::{HttpSettings, Identity, TlsSettings, TlsVersion};

/// Bytes of a file with certificates: the system's own bundle has a quarter of a megabyte.
const CERTIFICATE_BYTES: u64 = 4 << 20;

/// The configuration of one client.
pub(super) fn configuration(settings: &HttpSettings) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(&settings.tls)?;
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

fn verifier(settings: &TlsSettings) -> Result<Arc<dyn ServerCertVerifier>, HttpError> {
    if settings.insecure_skip_verify {
        return Ok(verifier::anybody());
    }
    let authorities = settings.authorities.as_ref();
    let certificates = authorities.map(|source| certificates("ca", source));
    let name = match &settings.server_name {
        None => None,
        Some(name) => Some(
            ServerName::try_from(name.clone())
                .map_err(|_| HttpError::Tls(format!("server_name: `{name}` is not a name")))?,
        ),
    };
    verifier::of(certificates.transpose()?, name).map_err(|error| match authorities {
        Some(source) => broken("ca", source, &error),
        None => HttpError::Tls(error),
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
