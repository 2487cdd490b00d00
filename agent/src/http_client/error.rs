//! Why there is no response, in one sentence, without a secret in it.

use std::error::Error;
use std::path::PathBuf;

use reqwest::Url;

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
        let cause = innermost(error);
        if error.is_connect() {
            Self::NoConnection(cause)
        } else {
            Self::Broken(cause)
        }
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
