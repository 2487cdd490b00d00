//! `tls_config`: whom a client trusts, and whom it shows itself as.
//!
//! The keys and defaults are Prometheus'. Without an authority of its own a client trusts whom the system trusts; nothing
//! is left unverified unless `insecure_skip_verify` says so.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use checked_yaml::{Mistakes, Node};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::settings::text;
use crate::tls::Section;
use crate::watched::Watched;

/// How TLS is spoken to a server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) config: Arc<ClientConfig>,
    /// Asked for and verified in place of the host's own name.
    pub(crate) name: Option<ServerName<'static>>,
}

/// Reads the section and what it names. `protocols` are offered, the preferred one first.
pub(crate) fn read(
    node: &Node,
    directory: &Path,
    protocols: &[Vec<u8>],
    watched: &mut Watched,
    mistakes: &mut Mistakes,
) -> Option<Client> {
    let mut section = Section::begin(node, directory, watched, mistakes);
    let skips = section.fields.optional("insecure_skip_verify");
    let skips = skips.and_then(|node| node.boolean(section.mistakes)) == Some(true);
    let authorities = section.pem("ca", "ca_file", false);
    let has_own = authorities.is_some();
    let roots = authorities.and_then(|pem| section.authorities(&pem));
    let name = name(&mut section);
    let identity = identity(&mut section);
    let versions = section.versions();
    let Section {
        fields, mistakes, ..
    } = section;
    fields.finish(mistakes);
    let roots = match (has_own, roots) {
        (true, None) => return None,
        (_, Some(roots)) => roots,
        (false, None) if skips => RootCertStore::empty(),
        (false, None) => system_roots(),
    };
    if roots.is_empty() && !skips {
        node.reject(
            mistakes,
            "nobody is trusted: install ca-certificates, or name authorities in `ca_file`",
        );
        return None;
    }
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions?)
        .map_err(|error| node.reject(mistakes, error.to_string()))
        .ok()?;
    let builder = if skips {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(algorithms)))
    } else {
        builder.with_root_certificates(roots)
    };
    let mut config = match identity? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| {
                let message = format!("the certificate and the key cannot be used: {error}");
                node.reject(mistakes, message);
            })
            .ok()?,
    };
    config.alpn_protocols = protocols.to_vec();
    Some(Client {
        config: Arc::new(config),
        name: name?,
    })
}

fn name(section: &mut Section<'_, '_>) -> Option<Option<ServerName<'static>>> {
    let Some((node, name)) = text(&mut section.fields, "server_name", section.mistakes) else {
        return Some(None);
    };
    match ServerName::try_from(name.to_owned()) {
        Ok(name) => Some(Some(name)),
        Err(_) => {
            node.reject(section.mistakes, format!("`{name}` is no name of a host"));
            None
        }
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(section: &mut Section<'_, '_>) -> Option<Option<Identity>> {
    let chain = section.pem("cert", "cert_file", false);
    let key = section.pem("key", "key_file", false);
    match (chain, key) {
        (None, None) => Some(None),
        (Some(chain), Some(key)) => {
            let chain = section.certificates(&chain);
            let key = section.key(&key);
            Some(Some((chain?, key?)))
        }
        (chain, _) => {
            let (has, lacks) = match chain {
                Some(_) => ("cert_file", "key_file"),
                None => ("key_file", "cert_file"),
            };
            let place = section.fields.place().clone();
            section
                .mistakes
                .add(place, format!("`{has}` needs `{lacks}`"));
            None
        }
    }
}

/// Whom the system trusts, read once.
fn system_roots() -> RootCertStore {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    SYSTEM.get_or_init(read).clone()
}

/// Takes any server for the one that was asked for, as long as it has the key of its certificate.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

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
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
