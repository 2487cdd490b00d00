//! What cannot change while the gateway runs: addresses that are bound, and what the ledger was made with.

use std::fmt;

use super::Config;

/// A key that a reload would have to change and cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedKey {
    /// Its name in the file.
    pub key: &'static str,
    /// What is in force.
    pub running: String,
    /// What the new file says.
    pub asked: String,
}

impl fmt::Display for FixedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            running,
            asked,
        } = self;
        write!(
            f,
            "{key}: cannot change from {running} to {asked} while the gateway runs; restart it, or put the old value back"
        )
    }
}

impl Config {
    /// The keys in which `next` differs although they are fixed at the start.
    pub fn fixed_keys_changed(&self, next: &Self) -> Vec<FixedKey> {
        let path = |config: &Self| {
            config
                .web_config_file
                .as_ref()
                .map(|path| path.display().to_string())
        };
        let pairs = [
            ("listen", self.listen.to_string(), next.listen.to_string()),
            (
                "metrics",
                self.metrics.to_string(),
                next.metrics.to_string(),
            ),
            ("admin", shown(self.admin), shown(next.admin)),
            (
                "admin_drills",
                self.admin_drills.to_string(),
                next.admin_drills.to_string(),
            ),
            ("web_config_file", shown(path(self)), shown(path(next))),
            ("console", shown(self.console), shown(next.console)),
            ("tls", spoken(self), spoken(next)),
            (
                "http2",
                format!("{:?}", self.http2),
                format!("{:?}", next.http2),
            ),
            (
                "grace",
                format!("{:?}", self.grace),
                format!("{:?}", next.grace),
            ),
            (
                "max_accounts",
                self.max_accounts.to_string(),
                next.max_accounts.to_string(),
            ),
            (
                "worker_threads",
                shown(self.worker_threads),
                shown(next.worker_threads),
            ),
        ];
        let changed = pairs
            .into_iter()
            .filter(|(_, running, asked)| running != asked);
        changed
            .map(|(key, running, asked)| FixedKey {
                key,
                running,
                asked,
            })
            .collect()
    }
}

/// What a `tls` section says can change, and not whether there is one.
fn spoken(config: &Config) -> String {
    let spoken = if config.tls.is_some() {
        "a section"
    } else {
        "none"
    };
    spoken.to_owned()
}

fn shown(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
