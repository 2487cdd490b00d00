//! What a web configuration file says, read whole: every mistake with its key and line, those in the files that it
//! names included.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use checked_yaml::{Fields, Mistakes, Node};
use http::{HeaderName, HeaderValue};
use rustls::ServerConfig;

use crate::tls;
use crate::users::{Users, cost};
use crate::watched::Watched;

/// A check at this cost takes seconds; at 31 it would take days.
const HIGHEST_COST: u32 = 16;
/// The fields that a file may set, as in the exporters; a value where only some are sensible.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// What is in force on a listener.
#[derive(Debug)]
pub(crate) struct Settings {
    /// How TLS is spoken; without it, it is not.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Whether nobody comes in without a certificate of a known authority.
    demands_certificate: bool,
    /// Who may come in; everybody where empty.
    pub(crate) users: Users,
    /// Fields of every answer.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a web configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file, or one that it names, is wrong.
    #[error("{} has {}:\n{mistakes}", path.display(), if mistakes.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", mistakes.len()) })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        mistakes: Mistakes,
    },
}

impl WebConfigError {
    /// The whole of it: what cannot be read, and why.
    pub fn told(&self) -> String {
        match self {
            Self::Read { source, .. } => format!("{self}: {source}"),
            Self::Invalid { .. } => self.to_string(),
        }
    }
}

impl Settings {
    /// Reads a file and those that it names; `watched` learns which they are.
    ///
    /// # Errors
    /// Where it cannot be read, or every mistake.
    pub(crate) fn load(path: &Path, watched: &mut Watched) -> Result<Self, WebConfigError> {
        let read = watched.read(path).map_err(|source| WebConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let text = String::from_utf8_lossy(&read);
        Self::parse(&text, directory, watched).map_err(|mistakes| WebConfigError::Invalid {
            path: path.to_owned(),
            mistakes,
        })
    }

    fn parse(text: &str, directory: &Path, watched: &mut Watched) -> Result<Self, Mistakes> {
        let root = checked_yaml::parse(text)?;
        let mut mistakes = Mistakes::new();
        let mut fields = root.fields(&mut mistakes);
        let protocols = [b"http/1.1".to_vec()];
        let tls = fields
            .optional("tls_server_config")
            .and_then(|node| tls::read(node, directory, &protocols, watched, &mut mistakes));
        let users = fields
            .optional("basic_auth_users")
            .map(|node| users(node, &mut mistakes))
            .unwrap_or_default();
        let headers = fields
            .optional("http_server_config")
            .map(|node| http_server(node, &mut mistakes))
            .unwrap_or_default();
        for key in ["rate_limit", "auth_excluded_paths"] {
            fields.refuse(key, "is not supported here; take it out", &mut mistakes);
        }
        fields.finish(&mut mistakes);
        mistakes.into_result(Self {
            demands_certificate: tls.as_ref().is_some_and(|own| own.demands_certificate),
            tls: tls.map(|own| own.server),
            users,
            headers,
        })
    }

    /// Whether `other` would let in somebody for want of a protection: a file that is caught half written must not
    /// open a listener.
    pub(crate) fn is_lifted_by(&self, other: &Self) -> bool {
        self.tls.is_some() && other.tls.is_none()
            || self.demands_certificate && !other.demands_certificate
            || !self.users.is_empty() && other.users.is_empty()
    }
}

fn users(node: &Node, mistakes: &mut Mistakes) -> Users {
    let mut users = Users::new();
    for (name, node) in node.entries(mistakes) {
        let Some(hash) = node.text(mistakes) else {
            continue;
        };
        // What stands there may be the password itself: it is not repeated.
        match cost(hash) {
            Some(4..=HIGHEST_COST) => {
                users.insert(name.clone(), Arc::from(hash));
            }
            Some(cost) => node.reject(
                mistakes,
                format!("a bcrypt hash of cost {cost}; the cost is from 4 to {HIGHEST_COST}"),
            ),
            None => node.reject(
                mistakes,
                "is not a bcrypt hash; `htpasswd -nBC 10 \"\"` makes one",
            ),
        }
        if name.is_empty() || name.contains(':') {
            node.reject(mistakes, "a name is not empty and has no colon");
        }
    }
    users
}

fn http_server(node: &Node, mistakes: &mut Mistakes) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = node.fields(mistakes);
    // HTTP/2 is offered by the protocol negotiation of TLS, or not: a client takes what there is, HTTP/1.1 here.
    if let Some(node) = fields.optional("http2") {
        node.boolean(mistakes);
    }
    let headers = fields.optional("headers");
    let headers = headers.map(|node| headers_of(node, mistakes));
    fields.finish(mistakes);
    headers.unwrap_or_default()
}

fn headers_of(node: &Node, mistakes: &mut Mistakes) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, node) in node.entries(mistakes) {
        let Some(text) = node.text(mistakes) else {
            continue;
        };
        let Some((_, values)) = HEADERS.iter().find(|(own, _)| own == name) else {
            let known = HEADERS.map(|(name, _)| name).join(", ");
            node.reject(mistakes, format!("cannot be set; these can: {known}"));
            continue;
        };
        if !text.is_empty() && !values.is_empty() && !values.contains(&text) {
            node.reject(mistakes, format!("must be {}", values.join(" or ")));
            continue;
        }
        match (name.parse::<HeaderName>(), text.parse::<HeaderValue>()) {
            // As in the exporters, an empty value sets nothing.
            (Ok(_), Ok(_)) if text.is_empty() => {}
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => node.reject(mistakes, "is not a value of a header field"),
        }
    }
    headers
}

/// The text of an optional key, where it is not empty.
pub(crate) fn text<'a>(
    fields: &mut Fields<'a>,
    key: &'static str,
    mistakes: &mut Mistakes,
) -> Option<(&'a Node, &'a str)> {
    let node = fields.optional(key)?;
    let text = node.text(mistakes)?;
    (!text.is_empty()).then_some((node, text))
}

#[cfg(test)]
mod tests;
