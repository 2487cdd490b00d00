//! `tls_server_config`: whom the listener shows itself as, and whom it asks for a certificate.
//!
//! The keys, words and defaults are the exporters'; what rustls refuses for good reason (TLS below 1.2, suites without
//! forward secrecy) is a mistake that says so.

use std::path::Path;
use std::sync::Arc;

use checked_yaml::{Fields, Mistakes, Node};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CipherSuite, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::settings::text;
use crate::watched::Watched;

/// How TLS is spoken.
pub(crate) struct Tls {
    pub(crate) server: Arc<ServerConfig>,
    /// Whether nobody comes in without a certificate of a known authority.
    pub(crate) demands_certificate: bool,
}

/// `client_auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl ClientAuth {
    const WORDS: [(&str, Self); 6] = [
        ("NoClientCert", Self::None),
        ("RequestClientCert", Self::Request),
        ("RequireAnyClientCert", Self::RequireAny),
        // The same, in the documentation of the exporters.
        ("RequireClientCert", Self::RequireAny),
        ("VerifyClientCertIfGiven", Self::VerifyIfGiven),
        ("RequireAndVerifyClientCert", Self::RequireAndVerify),
    ];

    fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// Reads the section and what it names. `protocols` are offered, the preferred one first.
pub(crate) fn read(
    node: &Node,
    directory: &Path,
    protocols: &[Vec<u8>],
    watched: &mut Watched,
    mistakes: &mut Mistakes,
) -> Option<Tls> {
    let mut section = Section::begin(node, directory, watched, mistakes);
    let chain = section.pem("cert", "cert_file", true);
    let chain = chain.and_then(|pem| section.certificates(&pem));
    let key = section.pem("key", "key_file", true);
    let key = key.and_then(|pem| section.key(&pem));
    let authorities = section.pem("client_ca", "client_ca_file", false);
    let roots = authorities
        .as_ref()
        .and_then(|pem| section.authorities(pem));
    let client_auth = section.client_auth(authorities.is_some());
    let versions = section.versions();
    let provider = Arc::new(CryptoProvider {
        cipher_suites: section.cipher_suites(),
        kx_groups: section.curves(),
        ..ring::default_provider()
    });
    let prefers_own = section.fields.optional("prefer_server_cipher_suites");
    let prefers_own = prefers_own.is_none_or(|node| node.boolean(section.mistakes) != Some(false));
    section.fields.refuse(
        "client_allowed_sans",
        "is not supported here: every certificate of `client_ca_file` comes in; give those who may come in an authority of their own",
        section.mistakes,
    );
    let Section {
        fields, mistakes, ..
    } = section;
    fields.finish(mistakes);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions?)
        .map_err(|error| node.reject(mistakes, error.to_string()))
        .ok()?;
    let verifier = verifier(client_auth?, roots, &provider)
        .map_err(|error| node.reject(mistakes, format!("client_ca: {error}")))
        .ok()?;
    let mut server = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain?, key?)
        .map_err(|error| {
            node.reject(
                mistakes,
                format!("the certificate and the key cannot be used: {error}"),
            );
        })
        .ok()?;
    server.ignore_client_order = prefers_own;
    server.alpn_protocols = protocols.to_vec();
    Some(Tls {
        server: Arc::new(server),
        demands_certificate: client_auth == Some(ClientAuth::RequireAndVerify),
    })
}

/// PEM, and where it was named.
pub(crate) struct Pem<'a> {
    node: &'a Node,
    bytes: Vec<u8>,
}

/// A section as it is read: a listener's or a client's, which name their certificates alike.
pub(crate) struct Section<'a, 'b> {
    pub(crate) fields: Fields<'a>,
    directory: &'b Path,
    watched: &'b mut Watched,
    pub(crate) mistakes: &'b mut Mistakes,
}

impl Pem<'_> {
    /// Says what is wrong with it.
    pub(crate) fn reject(&self, mistakes: &mut Mistakes, message: String) {
        self.node.reject(mistakes, message);
    }
}

impl<'a, 'b> Section<'a, 'b> {
    pub(crate) fn begin(
        node: &'a Node,
        directory: &'b Path,
        watched: &'b mut Watched,
        mistakes: &'b mut Mistakes,
    ) -> Self {
        Self {
            fields: node.fields(mistakes),
            directory,
            watched,
            mistakes,
        }
    }

    /// PEM that stands in the file itself, or in one that it names.
    pub(crate) fn pem(
        &mut self,
        inline: &'static str,
        file: &'static str,
        is_needed: bool,
    ) -> Option<Pem<'a>> {
        let written = text(&mut self.fields, inline, self.mistakes);
        let named = text(&mut self.fields, file, self.mistakes);
        match (written, named) {
            (Some((node, _)), Some(_)) => {
                let message = format!("`{inline}` and `{file}` exclude each other; keep one");
                node.reject(self.mistakes, message);
                None
            }
            (Some((node, text)), None) => Some(Pem {
                node,
                bytes: text.as_bytes().to_vec(),
            }),
            (None, Some((node, path))) => match self.watched.read(&self.directory.join(path)) {
                Ok(bytes) => Some(Pem { node, bytes }),
                Err(error) => {
                    node.reject(self.mistakes, format!("{path} cannot be read: {error}"));
                    None
                }
            },
            (None, None) => {
                if is_needed {
                    let place = self.fields.place().clone();
                    self.mistakes.add(place, format!("`{file}` is missing"));
                }
                None
            }
        }
    }

    pub(crate) fn certificates(&mut self, pem: &Pem<'_>) -> Option<Vec<CertificateDer<'static>>> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
        match found {
            Ok(found) if found.is_empty() => {
                pem.node
                    .reject(self.mistakes, "there is no certificate in it");
                None
            }
            Ok(found) => Some(found),
            Err(error) => {
                pem.node
                    .reject(self.mistakes, format!("is no PEM: {error}"));
                None
            }
        }
    }

    pub(crate) fn key(&mut self, pem: &Pem<'_>) -> Option<PrivateKeyDer<'static>> {
        let key = PrivateKeyDer::from_pem_slice(&pem.bytes);
        key.map_err(|error| {
            pem.node.reject(
                self.mistakes,
                format!("there is no private key in it: {error}"),
            );
        })
        .ok()
    }

    fn authorities(&mut self, pem: &Pem<'_>) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(pem)? {
            if let Err(error) = roots.add(certificate) {
                pem.node.reject(
                    self.mistakes,
                    format!("is no authority's certificate: {error}"),
                );
                return None;
            }
        }
        Some(roots)
    }

    fn client_auth(&mut self, has_authority: bool) -> Option<ClientAuth> {
        let given = text(&mut self.fields, "client_auth_type", self.mistakes);
        let Some((node, word)) = given else {
            if has_authority {
                let place = self.fields.place().clone();
                self.mistakes.add(
                    place,
                    "an authority of clients does nothing without `client_auth_type: RequireAndVerifyClientCert`",
                );
            }
            return Some(ClientAuth::None);
        };
        let Some((_, chosen)) = ClientAuth::WORDS.iter().find(|(own, _)| *own == word) else {
            let words = ClientAuth::WORDS.map(|(word, _)| word).join(", ");
            node.reject(self.mistakes, format!("`{word}` is none of {words}"));
            return None;
        };
        if chosen.verifies() && !has_authority {
            node.reject(self.mistakes, "needs `client_ca_file`");
            return None;
        }
        if *chosen == ClientAuth::None && has_authority {
            node.reject(self.mistakes, "leaves the authority of clients without use");
            return None;
        }
        Some(*chosen)
    }

    pub(crate) fn versions(&mut self) -> Option<Vec<&'static SupportedProtocolVersion>> {
        let least = self.version("min_version", 12);
        let most = self.version("max_version", 13);
        let (least, most) = (least?, most?);
        if least > most {
            let place = self.fields.place().clone();
            self.mistakes
                .add(place, "`min_version` is above `max_version`");
            return None;
        }
        let all = [(13, &rustls::version::TLS13), (12, &rustls::version::TLS12)];
        let chosen = all
            .into_iter()
            .filter(|(number, _)| (least..=most).contains(number));
        Some(chosen.map(|(_, version)| version).collect())
    }

    fn version(&mut self, key: &'static str, default: u8) -> Option<u8> {
        let Some((node, word)) = text(&mut self.fields, key, self.mistakes) else {
            return Some(default);
        };
        match word {
            "TLS13" => Some(13),
            "TLS12" => Some(12),
            "TLS11" | "TLS10" => {
                let message = format!("{word} is broken and not spoken; TLS12 or TLS13");
                node.reject(self.mistakes, message);
                None
            }
            other => {
                node.reject(
                    self.mistakes,
                    format!("`{other}` is neither TLS12 nor TLS13"),
                );
                None
            }
        }
    }

    /// As in Go, a choice concerns TLS 1.2; the suites of 1.3 are all good.
    fn cipher_suites(&mut self) -> Vec<SupportedCipherSuite> {
        let all = ring::ALL_CIPHER_SUITES;
        let Some(list) = self.fields.optional("cipher_suites") else {
            return all.to_vec();
        };
        let mut chosen: Vec<SupportedCipherSuite> = all
            .iter()
            .filter(|suite| suite.tls13().is_some())
            .copied()
            .collect();
        for item in list.items(self.mistakes) {
            let Some(word) = item.text(self.mistakes) else {
                continue;
            };
            match all.iter().find(|suite| suite_name(suite.suite()) == word) {
                Some(suite) if suite.tls13().is_none() => chosen.push(*suite),
                Some(_) => {}
                None => {
                    let known: Vec<String> =
                        all.iter().map(|suite| suite_name(suite.suite())).collect();
                    let known = known.join(", ");
                    item.reject(self.mistakes, format!("`{word}` is not one of {known}"));
                }
            }
        }
        chosen
    }

    fn curves(&mut self) -> Vec<&'static dyn SupportedKxGroup> {
        let Some(list) = self.fields.optional("curve_preferences") else {
            return ring::ALL_KX_GROUPS.to_vec();
        };
        let mut chosen = Vec::new();
        for item in list.items(self.mistakes) {
            match item.text(self.mistakes) {
                Some("X25519") => chosen.push(ring::kx_group::X25519),
                Some("CurveP256") => chosen.push(ring::kx_group::SECP256R1),
                Some("CurveP384") => chosen.push(ring::kx_group::SECP384R1),
                Some(word) => item.reject(
                    self.mistakes,
                    format!("`{word}` is not one of X25519, CurveP256, CurveP384"),
                ),
                None => {}
            }
        }
        if chosen.is_empty() {
            return ring::ALL_KX_GROUPS.to_vec();
        }
        chosen
    }
}

/// As IANA and Go write it: `TLS_AES_128_GCM_SHA256`.
fn suite_name(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

fn verifier(
    client_auth: ClientAuth,
    roots: Option<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
    let anybody = |is_mandatory| -> Arc<dyn ClientCertVerifier> {
        Arc::new(Anybody {
            is_mandatory,
            provider: Arc::clone(provider),
        })
    };
    let verified = || {
        let roots = Arc::new(roots.unwrap_or_else(RootCertStore::empty));
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
    };
    match client_auth {
        ClientAuth::None => Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Request => Ok(anybody(false)),
        ClientAuth::RequireAny => Ok(anybody(true)),
        ClientAuth::VerifyIfGiven => verified().allow_unauthenticated().build(),
        ClientAuth::RequireAndVerify => verified().build(),
    }
}

/// Takes any certificate, as long as its owner has the key.
#[derive(Debug)]
struct Anybody {
    is_mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
