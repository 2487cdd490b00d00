//! Another configuration put in force while requests run, whole or not at all.
//!
//! What is new is built beside what is in force, and one pointer is swapped: a request runs to its end on the table that it
//! met. The accounts of the ledger and the meters are found by their labels, so that a route that stays goes on counting.

use std::path::Path;

use super::running::Running;
use crate::clock;
use crate::config::{Config, ConfigError, FixedKey};

/// Why a new configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read, or has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It changes what cannot change while the gateway runs.
    #[error("{}", sentences(.0))]
    Fixed(Vec<FixedKey>),
}

/// What a reload did to the upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// They kept their pools.
    pub upstreams_kept: usize,
    /// They are new, or have other settings than before.
    pub upstreams_new: usize,
    /// They vanished, or their settings did: their idle connections are closed.
    pub upstreams_retired: usize,
}

impl ReloadError {
    /// Every mistake, as a line each.
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Config(ConfigError::Mistakes { mistakes, .. }) => {
                mistakes.sorted().iter().map(ToString::to_string).collect()
            }
            Self::Config(error @ ConfigError::Read { source, .. }) => {
                vec![format!("{error}: {source}")]
            }
            Self::Fixed(keys) => keys.iter().map(ToString::to_string).collect(),
        }
    }
}

fn sentences(keys: &[FixedKey]) -> String {
    let lines: Vec<String> = keys.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl Running {
    /// Reads the file and puts it in force; says in the log and in the metrics what came of it. Returns whether it is in
    /// force: where it is not, nothing has changed.
    pub fn reload(&self, path: &Path) -> bool {
        let reloaded = Config::load(path)
            .map_err(ReloadError::from)
            .and_then(|config| self.replace(config));
        let file = path.display();
        match &reloaded {
            Ok(done) => {
                self.reload_meters().succeeded(clock::unix_seconds());
                tracing::info!(
                    %file,
                    upstreams_kept = done.upstreams_kept,
                    upstreams_new = done.upstreams_new,
                    upstreams_retired = done.upstreams_retired,
                    "configuration reloaded"
                );
            }
            Err(error) => {
                self.reload_meters().refused();
                for mistake in error.mistakes() {
                    tracing::error!(%file, mistake, "the new configuration has a mistake");
                }
                tracing::error!(%file, "the new configuration is refused, the one in force stays");
            }
        }
        reloaded.is_ok()
    }
}
