//! A folder with certificates of an authority of the test's own, which change as in operation.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority (`ca.pem`) and a certificate of it (`cert.pem`, `key.pem`).
pub(crate) struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// The certificate is localhost's.
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(parameters, key).unwrap();
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            authority,
        };
        this.write("ca.pem", &this.authority.pem());
        this.issue("localhost");
        this
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// By another file in its place, as secrets are rotated.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.folder().join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder().join(name)).unwrap();
    }

    /// Another certificate, for this name, and its key.
    pub(crate) fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.authority).unwrap();
        self.write("key.pem", &key.serialize_pem());
        self.write("cert.pem", &certificate.pem());
    }
}
