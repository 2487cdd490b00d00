//! Reading the configuration again: a good one is taken over by the event loop, a bad one changes nothing.
//!
//! The file is read and checked by whoever asks (a signal, a request), not by the event loop, which only ever sees a
//! configuration without a mistake. What cannot change while the agent runs stays as it was and is named.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use leak_detect::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::config::{Config, ConfigError};

/// Why the configuration is what it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no file to read again.
    #[error("the configuration was not read from a file")]
    NoFile,
    /// The file cannot be read or has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that the configuration names cannot be made.
    #[error("{0}")]
    Refused(String),
    /// The event loop did not answer, or is gone.
    #[error("the agent is busy or ending")]
    Busy,
}

/// What a reload has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys whose new values count only after a restart.
    pub needs_restart: Vec<&'static str>,
}

/// A configuration for the event loop, and where it says what came of it.
pub(super) struct Request {
    pub(super) config: Box<Config>,
    pub(super) reply: oneshot::Sender<Result<Reloaded, ReloadError>>,
}

/// Asks for reloads. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Reloader {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Shared {
    config: RwLock<Arc<Config>>,
    /// One reload at a time, so that the last to read the file is the last to be taken over.
    turn: tokio::sync::Mutex<()>,
    is_successful: AtomicBool,
    succeeded_at: AtomicI64,
}

/// How the last reload went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Status {
    /// Whether the configuration in use is that of the file, as it was when it was read last.
    pub(crate) is_successful: bool,
    /// When a configuration was taken over last.
    pub(crate) succeeded_at: Timestamp,
}

/// A reloader for an agent that has begun with this configuration, and the requests that it makes.
pub(super) fn channel(config: Arc<Config>) -> (Reloader, mpsc::Receiver<Request>) {
    let (requests, receiver) = mpsc::channel(1);
    let shared = Shared {
        config: RwLock::new(config),
        turn: tokio::sync::Mutex::new(()),
        is_successful: AtomicBool::new(true),
        succeeded_at: AtomicI64::new(clock::now().millis()),
    };
    let shared = Arc::new(shared);
    (Reloader { shared, requests }, receiver)
}

impl Reloader {
    /// Reads the file again and goes on by it.
    ///
    /// # Errors
    /// Why it goes on as before.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _turn = self.shared.turn.lock().await;
        let done = self.try_reload().await;
        self.shared
            .is_successful
            .store(done.is_ok(), Ordering::Relaxed);
        match &done {
            Ok(reloaded) => {
                let now = clock::now().millis();
                self.shared.succeeded_at.store(now, Ordering::Relaxed);
                tracing::info!("the configuration was read again and is in use");
                if !reloaded.needs_restart.is_empty() {
                    let keys = reloaded.needs_restart.join(", ");
                    tracing::warn!(
                        keys,
                        "some of the configuration counts only after a restart"
                    );
                }
            }
            Err(error) => {
                tracing::error!(%error, "the new configuration is not used; the old one stays whole")
            }
        }
        done
    }

    async fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let current = self.config();
        let file = current.file.as_ref().ok_or(ReloadError::NoFile)?;
        let mut config = Config::load(file)?;
        let needs_restart = keep_fixed(&current, &mut config);
        let kept = Arc::new(config.clone());
        let (reply, answer) = oneshot::channel();
        let request = Request {
            config: Box::new(config),
            reply,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| ReloadError::Busy)?;
        answer.await.map_err(|_| ReloadError::Busy)??;
        *self
            .shared
            .config
            .write()
            .unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(Reloaded { needs_restart })
    }

    /// The configuration in use.
    pub(crate) fn config(&self) -> Arc<Config> {
        let config = self.shared.config.read();
        Arc::clone(&config.unwrap_or_else(PoisonError::into_inner))
    }

    /// How the last reload went.
    pub(crate) fn status(&self) -> Status {
        Status {
            is_successful: self.shared.is_successful.load(Ordering::Relaxed),
            succeeded_at: Timestamp::from_millis(self.shared.succeeded_at.load(Ordering::Relaxed)),
        }
    }
}

/// Gives the new configuration the current values of what cannot change while the agent runs; the keys whose values
/// differ.
fn keep_fixed(current: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    // Port 0 is any port: the one that was chosen.
    let asks_any = new.web.listen.port() == 0 && new.web.listen.ip() == current.web.listen.ip();
    if new.web.listen != current.web.listen && !asks_any {
        keys.push("web.listen");
    }
    new.web.listen = current.web.listen;
    if new.web.config_file != current.web.config_file {
        keys.push("web.config_file");
        new.web.config_file.clone_from(&current.web.config_file);
    }
    // Where the listener speaks TLS, its own address was filled in.
    let own_url = format!("https://{}", current.web.listen);
    if new.web.external_url.is_none() && current.web.external_url.as_deref() == Some(&*own_url) {
        new.web.external_url.clone_from(&current.web.external_url);
    }
    if new.storage != current.storage {
        keys.push("storage.path");
        new.storage.clone_from(&current.storage);
    }
    if new.signals != current.signals {
        keys.push("signals");
        new.signals.clone_from(&current.signals);
    }
    new.shard = current.shard;
    if new.pair != current.pair {
        keys.push("pair");
        new.pair.clone_from(&current.pair);
    }
    if new.sources != current.sources {
        keys.push("sources");
        new.sources.clone_from(&current.sources);
    }
    if new.workload_by != current.workload_by {
        keys.push("workload_by");
        new.workload_by.clone_from(&current.workload_by);
    }
    keys
}
