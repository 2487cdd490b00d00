//! The agent: what it is made of, how it starts and how it ends. Everything it does then is in `event_loop`.
//!
//! It starts and stops in-process, any number of times, on ports that may be chosen by the system; dropping
//! [`Running`] ends every task it has. Nothing is bound or opened before the whole configuration is known to be in
//! order, and the end loses nothing: what was scraped is judged into the stored state, what is queued is sent, and no
//! alert is resolved because the agent went away.

mod alert_limit;
mod event_loop;
mod parts;
mod reader;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;

use leak_detect::Timestamp;
use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Settings, Task};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use web_config::{Protection, WebConfigError};

use crate::clock;
use crate::config::Config;
use crate::discovery::TargetManager;
use crate::engine::{Engine, Saved};
use crate::notify::Notifier;
use crate::pair::{Asker, Peers};
use crate::scrape::Scraper;
use crate::source::{SourceError, Sources};
use crate::state::{SetAside, StateError, Store};
use crate::web;
use crate::witness::Witness;
use event_loop::EventLoop;
use parts::Parts;
pub(crate) use reader::{Reader, Seen};
pub(crate) use reload::Reloader;
pub use reload::{ReloadError, Reloaded};

/// Scrapes that may wait to be judged; beyond them the scraping waits.
const SCRAPES_WAITING: usize = 256;
/// Answers of the pair's other member that may wait to be taken in.
const ANSWERS_WAITING: usize = 8;
/// Readers that may wait for their copy; beyond them a reader waits before it may ask.
const READERS_WAITING: usize = 64;

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The web listener's address is taken, or not ours.
    #[error("the web interface cannot listen on {address}")]
    Listen {
        /// `web.listen`.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// What the web interface is to demand cannot be read.
    #[error("the web interface has no protection to stand behind")]
    WebConfig(#[from] WebConfigError),
    /// The state cannot be used.
    #[error("the agent's state cannot be used")]
    State(#[from] StateError),
    /// A source cannot be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Starts agents.
#[derive(Debug)]
pub struct Agent;

/// A running agent.
#[derive(Debug)]
pub struct Running {
    web: SocketAddr,
    reloader: Reloader,
    shutdown: CancellationToken,
    ended: CancellationToken,
    event_loop: Task<()>,
    interface: Task<()>,
}

impl Agent {
    /// Opens the state, binds the web listener and begins to watch.
    ///
    /// # Errors
    /// Why it could not: nothing is left running then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(mut config: Config) -> Result<Running, StartError> {
        let address = config.web.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| StartError::Listen { address, source })?;
        let web = listener
            .local_addr()
            .map_err(|source| StartError::Listen { address, source })?;
        // Links in alerts name the port that the system has chosen.
        config.web.listen = web;
        let ledger = Ledger::new(Settings::default());
        let protection = Protection::open(config.web.config_file.as_deref(), &ledger)?;
        if protection.is_tls() && config.web.external_url.is_none() {
            config.web.external_url = Some(Arc::from(format!("https://{web}")));
        }
        let config = Arc::new(config);
        let started_at = clock::now();
        let (store, saved) = open_state(&config, started_at)?;
        let targets = TargetManager::start(&config.jobs, &ledger);
        let listed = config.share_of(&targets.roll().targets);
        let engine = Engine::new(&config, listed.clone(), saved, started_at);
        let (scraped, scrapes) = mpsc::channel(SCRAPES_WAITING);
        let catalogue = Arc::new(config.catalogue());
        let external_labels = config.global.external_labels.clone();
        let mut scraper = Scraper::new(catalogue, external_labels, scraped, &ledger);
        scraper.set_targets(&listed);
        let sources = Sources::start(&config, &engine, &ledger, started_at)?;
        let notifier = Notifier::start(&config.alerting, &ledger);
        let asker = Asker {
            run: fastrand::u64(..),
            shard: config.shard.map(|shard| shard.to_string()),
        };
        let (say, said) = mpsc::channel(ANSWERS_WAITING);
        let peers = Peers::start(&config.pair.peers, &asker, &say, &ledger);
        let (reader, readers) = reader::channel(READERS_WAITING);
        let (reloader, reloads) = reload::channel(Arc::clone(&config));
        let shutdown = CancellationToken::new();
        let account = ledger.account::<ServiceTaskOutcome>(Labels::new());
        let event_loop = EventLoop {
            witness: Witness::new(),
            asked: resource_ledger::TaskSet::new(),
            asking: account.clone(),
            known_alerts: Default::default(),
            alert_limit: Default::default(),
            engine,
            store,
            notifier,
            asker,
            peers,
            said,
            judged: started_at,
            judged_at: started_at,
            judged_for_peers: Timestamp::default(),
            scrapes,
            scraper,
            parts: Parts::new(&config),
            sources,
            targets,
            reloader: reloader.clone(),
            reloads,
            readers,
            started_at,
            ledger: ledger.clone(),
            config: Arc::clone(&config),
            shutdown: shutdown.clone(),
        };
        let interface = web::Server {
            router: web::router(reader, reloader.clone(), &protection),
            protection,
            limits: web::Limits::default(),
            ledger: ledger.clone(),
            shutdown: shutdown.clone(),
        };
        let interface = interface.serve(listener);
        tracing::info!(%web, targets = listed.len(), sources = config.sources.len(), dry_run = config.alerting.dry_run, "the agent watches");
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let event_loop = async move {
            event_loop.run().await;
            drop(guard);
        };
        Ok(Running {
            web,
            reloader,
            shutdown,
            ended,
            event_loop: ledger.spawn(account.open(), event_loop),
            interface: ledger.spawn(account.open(), interface),
        })
    }
}

/// The state as it was left, or a new one; what is damaged is set aside and told.
fn open_state(config: &Config, now: Timestamp) -> Result<(Store, Option<Saved>), StateError> {
    let opened = Store::open(&config.storage.path, now)?;
    if let Some(SetAside {
        to,
        reason,
        is_whole,
    }) = opened.set_aside
    {
        tracing::error!(to = %to.display(), reason, is_whole, "the state was damaged and is set aside");
    }
    Ok((opened.store, opened.saved))
}

impl Running {
    /// Where the web interface listens.
    pub fn web_addr(&self) -> SocketAddr {
        self.web
    }

    /// Reads the configuration's file again and goes on by it, without losing any state; a bad file changes nothing. What
    /// came of it is also logged.
    ///
    /// # Errors
    /// Why the agent goes on as before.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloader.reload().await
    }

    /// Ends the agent: stores everything, sends what is queued within a bound, answers the requests under way. No
    /// alert is resolved by it.
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        for (task, name) in [
            (self.event_loop, "event loop"),
            (self.interface, "web interface"),
        ] {
            if let Err(error) = task.join().await {
                tracing::error!(%error, name, "a task of the agent ended badly");
            }
        }
        tracing::info!("the agent has ended");
    }

    /// Ends when the agent has ended by itself, which it does only through a defect.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
