//! `tls_config`: whom a client trusts, and whom it shows itself as.
//!
//! The keys and defaults are Prometheus'. Without an authority of its own a client trusts whom the system trusts; nothing
//! is left unverified unless `insecure_skip_verify` says so.

use std::path::Path;
use std::sync::Arc;

use checked_yaml::{Mistakes, Node};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::settings::text;
use crate::tls::Section;
use crate::verifier;
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
    let authorities = authorities.and_then(|pem| {
        let certificates = section.certificates(&pem)?;
        Some((pem, certificates))
    });
    let name = name(&mut section);
    let identity = identity(&mut section);
    let versions = section.versions();
    let Section {
        fields, mistakes, ..
    } = section;
    fields.finish(mistakes);
    let verifier = match authorities {
        _ if skips => verifier::anybody(),
        Some((pem, certificates)) => verifier::of(Some(certificates), None)
            .map_err(|error| pem.reject(mistakes, format!("is no authority's: {error}")))
            .ok()?,
        None if has_own => return None,
        None => verifier::system()
            .map_err(|error| error.to_string())
            .and_then(|_| verifier::of(None, None))
            .map_err(|error| node.reject(mistakes, error))
            .ok()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions?)
        .map_err(|error| node.reject(mistakes, error.to_string()))
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
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
