//! Why there is no response, in one sentence, without a secret in it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use reqwest::Url;
use rustls::{AlertDescription, CertificateError};

use crate::excerpt::excerpt;

/// Characters of another's text that a message shows.
const EXCERPT_CHARACTERS: usize = 120;

/// Why a request brought no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// A file of the settings cannot be used.
    #[error("{key} {}: {reason}", path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A secret that cannot be sent.
    #[error("{0}: there are characters in it that no header may hold")]
    HeaderValue(&'static str),
    /// A variable that names no proxy. It may hold credentials and is not repeated.
    #[error("the variable {0} holds no URL of a proxy (http or https)")]
    Environment(&'static str),
    /// The settings for TLS come to nothing.
    #[error("tls_config: {0}")]
    Tls(String),
    /// No token to ask with.
    #[error("no token from {url}: {reason}")]
    Token {
        /// Where it was asked for.
        url: String,
        /// What came of it.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("it redirects to {location}, which is not followed: {reason}")]
    Redirect {
        /// Where to, escaped and bounded, without credentials and query.
        location: String,
        /// Why not.
        reason: &'static str,
    },
    /// Nobody there, or nobody who can be talked to.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// There was a connection, and then none.
    #[error("the connection broke before the response began: {0}")]
    Broken(String),
}

impl HttpError {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let tls = chain(error).find_map(tls_error).map(tls_reason);
        let cause = tls.unwrap_or_else(|| innermost(error));
        if error.is_connect() {
            Self::NoConnection(cause)
        } else {
            Self::Broken(cause)
        }
    }
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// What rustls says, which an error of IO holds without being caused by it.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => inner.downcast_ref().or_else(|| tls_error(inner)),
        None => error.downcast_ref(),
    }
}

/// What went wrong with TLS, and which key puts it right.
fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            // The latter where two authorities have the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "nobody who is trusted here signed the server's certificate (tls_config.ca_file)"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, .. } => format!(
                "the server's certificate is not for {} (tls_config.server_name)",
                excerpt(&expected.to_str(), EXCERPT_CHARACTERS)
            ),
            other => excerpt(
                &format!("the server's certificate cannot be trusted: {other}"),
                EXCERPT_CHARACTERS,
            ),
        },
        rustls::Error::InvalidMessage(_) => {
            "the other side does not speak TLS; is `scheme` right?".to_owned()
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        ) => "the server wants another certificate of ours (tls_config.cert_file)".to_owned(),
        other => excerpt(&format!("TLS: {other}"), EXCERPT_CHARACTERS),
    }
}

/// The cause at the bottom, which says what happened; those above it say what was being done, and hold the URL.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, error) {
        // Its own text would show the URL.
        return "the request could not be made".to_owned();
    }
    excerpt(&cause.to_string(), EXCERPT_CHARACTERS)
}

/// A URL without what may be secret.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    excerpt(url.as_str(), EXCERPT_CHARACTERS)
}
