//! What is in force on a listener: every connection and every request passes through it.
//!
//! Files are looked at whenever one comes: a look costs microseconds, and a rotated certificate counts from the next
//! connection on, a changed password from the next request on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use resource_ledger::Ledger;
use tokio::net::TcpStream;

use crate::connection::{AcceptError, Connection};
use crate::settings::{Settings, WebConfigError};
use crate::users::Logins;
use crate::watched::Watched;

/// RFC 7617 §2.
const CHALLENGE: &str = "Basic realm=\"leakwatch\", charset=\"UTF-8\"";

/// What a listener demands and tells. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Protection(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    logins: Logins,
}

#[derive(Debug)]
struct State {
    /// What is in force.
    settings: Arc<Settings>,
    /// The files as they were when they were read last, with or without success.
    watched: Watched,
}

/// The request names nobody who may come in, or not with the right password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name and a password are needed")]
pub struct Unauthorized;

impl Unauthorized {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        StatusCode::UNAUTHORIZED
    }

    /// The field that tells a client what is needed.
    pub fn challenge(self) -> (HeaderName, HeaderValue) {
        (WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE))
    }
}

impl Protection {
    /// Everybody may come in, without TLS.
    pub fn none() -> Self {
        Self(None)
    }

    /// What a web configuration file says; everybody may come in where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read, or every mistake in it and in the files that it names.
    pub fn open(path: Option<&Path>, ledger: &Ledger) -> Result<Self, WebConfigError> {
        let Some(path) = path else {
            return Ok(Self::none());
        };
        let mut watched = Watched::default();
        let settings = Settings::load(path, &mut watched)?;
        Ok(Self(Some(Arc::new(Shared {
            path: path.to_owned(),
            state: Mutex::new(State {
                settings: Arc::new(settings),
                watched,
            }),
            logins: Logins::new(ledger),
        }))))
    }

    /// Whether a file is good, without putting it in force.
    ///
    /// # Errors
    /// As [`Protection::open`].
    pub fn check(path: &Path) -> Result<(), WebConfigError> {
        Settings::load(path, &mut Watched::default()).map(|_| ())
    }

    /// Takes a connection in: shakes hands where TLS is demanded, within ten seconds.
    ///
    /// # Errors
    /// Why there is nobody to serve.
    pub async fn accept(&self, stream: TcpStream) -> Result<Connection, AcceptError> {
        let tls = self.current().and_then(|settings| settings.tls.clone());
        Connection::accept(stream, tls).await
    }

    /// Whether whoever sent this head may come in.
    ///
    /// # Errors
    /// [`Unauthorized`] where not.
    pub async fn authorize(&self, headers: &HeaderMap) -> Result<(), Unauthorized> {
        let (Some(shared), Some(settings)) = (&self.0, self.current()) else {
            return Ok(());
        };
        if settings.users.is_empty() || shared.logins.are_right(&settings.users, headers).await {
            Ok(())
        } else {
            Err(Unauthorized)
        }
    }

    /// Puts the configured fields into an answer, over those that are there.
    pub fn dress(&self, headers: &mut HeaderMap) {
        if let Some(settings) = self.current() {
            for (name, value) in &settings.headers {
                headers.insert(name.clone(), value.clone());
            }
        }
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.current()
            .is_some_and(|settings| settings.tls.is_some())
    }

    /// What is in force, read again where a file has changed.
    fn current(&self) -> Option<Arc<Settings>> {
        let shared = self.0.as_ref()?;
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.watched.has_changed() {
            shared.renew(&mut state);
        }
        Some(Arc::clone(&state.settings))
    }
}

impl Shared {
    fn renew(&self, state: &mut State) {
        let mut watched = Watched::default();
        let read = Settings::load(&self.path, &mut watched);
        state.watched = watched;
        let path = self.path.display();
        match read {
            Ok(settings) if state.settings.is_lifted_by(&settings) => tracing::error!(
                %path,
                "the changed web configuration lifts a protection, which takes a restart; the former one stays in force"
            ),
            Ok(settings) => {
                state.settings = Arc::new(settings);
                tracing::info!(%path, "the web configuration was read again");
            }
            Err(error) => tracing::error!(
                %path,
                error = &error as &dyn std::error::Error,
                "the changed web configuration cannot be used; the former one stays in force"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
