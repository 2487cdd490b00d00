//! Start and stop: everything that runs is a task of [`Running`], and ends with it.
//!
//! All addresses are bound before anything runs, so that a start which fails leaves nothing behind. A shutdown stops
//! accepting, lets requests in flight end, cuts them at its deadline and says so; the metrics are served until the last.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use resource_ledger::{Ledger, Settings, Task};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use web_config::{Protection, ServerTls, WebConfigError};

use super::builder::Builder;
use super::descriptors::{self, Reserve};
use super::fleet::Fleet;
use super::guarded::Guarded;
use super::reload::{ReloadError, Reloaded};
use super::server::{BindError, Listener, Server};
use super::{Front, Gateway, cut};
use crate::admin::Admin;
use crate::clock;
use crate::config::{BodyLimits, Config, Limits};
use crate::drill::Drills;
use crate::metrics::{MetricsListener, Page, ReloadMeters};
use crate::telemetry::Telemetry;

/// How often the histograms are folded and the reserve of descriptors is filled up.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
/// How long what was cut may take to end.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);
/// What an operator's listener allows. A scraper's connection may be idle for a scrape interval.
const OPERATOR_LIMITS: Limits = Limits {
    max_connections: 64,
    header_read_timeout: Duration::from_secs(90),
    max_header_bytes: 16 * 1024,
    max_headers: 100,
    max_concurrent_streams: 1,
    max_resets: 1,
    max_uri_bytes: 8 * 1024,
    request_body: BodyLimits {
        max_bytes: None,
        read_timeout: None,
        min_bytes_per_second: 0,
    },
    descriptor_reserve: None,
};

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be had.
    #[error("the gateway did not start")]
    Bind(#[from] BindError),
    /// What the metrics and admin listeners are to demand cannot be read.
    #[error("the metrics and admin listeners have no protection to stand behind")]
    WebConfig(#[from] WebConfigError),
    /// The console's server did not start.
    #[error("tokio-console's server cannot listen on {address}")]
    Console {
        /// The configured address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A gateway at work. Dropping it cuts every client at once, and leaves idle connections to upstreams to their idle limit;
/// [`Running::shutdown`] ends all of it, gracefully.
pub struct Running {
    listen: SocketAddr,
    metrics: SocketAddr,
    admin: Option<SocketAddr>,
    builder: Builder,
    front: Front,
    page: Arc<Page>,
    /// The configuration in force.
    config: Mutex<Config>,
    limits: watch::Sender<Limits>,
    reload_meters: ReloadMeters,
    clients: Stage,
    operators: Stage,
    main: Task<usize>,
    others: Vec<Task<usize>>,
    _upkeep: Vec<Task<()>>,
}

/// The two steps in which a server ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
}

impl Gateway {
    /// Starts a gateway on the current runtime. Raises the soft descriptor limit of the process to the hard one.
    ///
    /// # Errors
    /// Where an address cannot be had, or the web configuration cannot be used; nothing is left bound then.
    pub async fn start(config: Config, telemetry: Telemetry) -> Result<Running, StartError> {
        let ledger = Ledger::new(Settings {
            grace: config.grace,
            max_accounts: config.max_accounts,
            ..Settings::default()
        });
        Self::start_with(config, telemetry, ledger).await
    }

    /// Starts a gateway that counts in a ledger of the caller's, whose settings stand in place of the configuration's.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_with(
        config: Config,
        telemetry: Telemetry,
        ledger: Ledger,
    ) -> Result<Running, StartError> {
        let listen = Listener::bind("listen", config.listen)?;
        let metrics = Listener::bind("metrics", config.metrics)?;
        let admin = config
            .admin
            .map(|address| Listener::bind("admin", address))
            .transpose()?;
        let descriptor_limit = raise_descriptor_limit();
        let builder = Builder::new(&config, ledger);
        let protection = Protection::open(config.web_config_file.as_deref(), &builder.ledger)?;
        let console = builder.console(config.console, telemetry.console)?;
        let addresses = [Some(&listen), Some(&metrics), admin.as_ref()]
            .map(|listener| listener.map(|listener| listener.address));
        let page = Arc::new(builder.page());
        let upstreams = builder.fleet.current();
        let front = Front::new(&config, &builder.parts(&upstreams, &config));
        let (clients, operators) = (Stage::default(), Stage::default());
        let (limits, limits_in_force) = watch::channel(config.limits.clone());
        let server = Server {
            tls: config.tls.clone(),
            http2: config.http2,
            descriptor_limit,
            ..builder.server(&listen, limits_in_force, &clients, None)
        };
        let main = builder.run(server.serve(listen, front.clone()));
        let reserve = Arc::new(Reserve::new());
        let operated = |listener: &Listener| {
            let reserve = Some(Arc::clone(&reserve));
            let (_, limits) = watch::channel(OPERATOR_LIMITS);
            Server {
                protection: protection.clone(),
                ..builder.server(listener, limits, &operators, reserve)
            }
        };
        let server = operated(&metrics);
        let handler = MetricsListener::new(&page, &builder.gate, &clients.drain);
        let handler = Guarded::new(&protection, handler);
        let mut others = vec![builder.run(server.serve(metrics, handler))];
        if let Some(admin) = admin {
            let server = operated(&admin);
            let drills = config.admin_drills.then(|| Arc::clone(&builder.drills));
            let handler = Admin::new(&builder.ledger, &telemetry.tasks, drills);
            let handler = Guarded::new(&protection, handler);
            others.push(builder.run(server.serve(admin, handler)));
        }
        let fleet = Arc::clone(&builder.fleet);
        let upkeep = std::iter::once(builder.run(keep_up(Arc::clone(&page), reserve, fleet)));
        let upkeep = upkeep.chain(console).collect();
        let [listen, metrics, admin] = addresses;
        let running = Running {
            listen: listen.unwrap_or(config.listen),
            metrics: metrics.unwrap_or(config.metrics),
            admin,
            reload_meters: ReloadMeters::new(&builder.recorder, clock::unix_seconds()),
            builder,
            front,
            page,
            config: Mutex::new(config),
            limits,
            clients,
            operators,
            main,
            others,
            _upkeep: upkeep,
        };
        tracing::info!(
            listen = %running.listen,
            metrics = %running.metrics,
            admin = running.admin.map(tracing::field::display),
            "gateway started"
        );
        Ok(running)
    }
}

impl Running {
    /// Where clients connect; the port is the real one.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where `/metrics` is served; the port is the real one.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// Where `/debug/*` is served, if anywhere; the port is the real one.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What the gateway holds.
    pub fn ledger(&self) -> &Ledger {
        &self.builder.ledger
    }

    /// Its drills.
    pub fn drills(&self) -> &Arc<Drills> {
        &self.builder.drills
    }

    /// Puts another configuration in force, without dropping or delaying a request: those under way end by the one that
    /// they met. An upstream whose settings did not change keeps its pool; another one's idle connections are closed, and
    /// its others when their exchanges have ended. Limits of heads hold for connections accepted from now on.
    ///
    /// # Errors
    /// Where it changes what cannot change while the gateway runs; nothing has changed then.
    pub fn replace(&self, mut next: Config) -> Result<Reloaded, ReloadError> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed = config.fixed_keys_changed(&next);
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        let builder = &self.builder;
        let known = builder.fleet.current();
        let mut upstreams_kept = 0;
        let upstreams: Vec<_> = next
            .upstreams
            .iter()
            .map(
                |upstream| match known.iter().find(|known| known.config() == upstream) {
                    Some(known) => {
                        upstreams_kept += 1;
                        Arc::clone(known)
                    }
                    None => builder.upstream(upstream),
                },
            )
            .collect();
        self.front.replace(&next, &builder.parts(&upstreams, &next));
        let upstreams_new = upstreams.len() - upstreams_kept;
        // The lists that are only compared must not look like users.
        drop(known);
        let upstreams_retired = builder.fleet.replace(upstreams);
        for upstream in &next.upstreams {
            self.page.publish_also(builder.levels(&upstream.name));
        }
        self.limits.send_if_modified(|limits| {
            let modified = *limits != next.limits;
            limits.clone_from(&next.limits);
            modified
        });
        if let (Some(tls), Some(other)) = (&config.tls, &next.tls) {
            tls.adopt(other);
            // The listener knows this one.
            next.tls.clone_from(&config.tls);
        }
        *config = next;
        Ok(Reloaded {
            upstreams_kept,
            upstreams_new,
            upstreams_retired,
        })
    }

    pub(super) fn reload_meters(&self) -> &ReloadMeters {
        &self.reload_meters
    }

    /// Reads the certificates of the listener and those for upstreams again, whether they look changed or not; `false`
    /// where some cannot be used: the log says which and why, and the former stay in force.
    pub fn reread_certificates(&self) -> bool {
        let listener = {
            let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
            config.tls.as_ref().is_none_or(ServerTls::reread)
        };
        let upstreams = self.builder.fleet.current();
        upstreams.iter().fold(listener, |good, upstream| {
            upstream.reread_certificates() && good
        })
    }

    /// Stops accepting, waits for the requests in flight until the configured deadline, cuts the rest, and closes
    /// everything. Returns how many client connections were cut. Dropping this future cuts at once.
    pub async fn shutdown(self) -> usize {
        let Self {
            builder,
            config,
            front,
            clients,
            operators,
            mut main,
            others,
            ..
        } = self;
        let Builder {
            ledger,
            drills,
            fleet,
            access_log,
            ..
        } = builder;
        let config = config.into_inner().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(
            requests = ledger.snapshot().open("request"),
            "gateway draining"
        );
        let deadline = clock::now() + config.shutdown_timeout;
        clients.drain.cancel();
        // What a drill holds would never end by itself.
        drills.stop_all();
        let cut = match clock::timeout_at(deadline, &mut main).await {
            Ok(ended) => ended.unwrap_or_default(),
            Err(_) => {
                cut::report(&ledger, config.shutdown_timeout);
                clients.cut.cancel();
                main.await.unwrap_or_default()
            }
        };
        let deadline = clock::now() + CUT_TIMEOUT;
        for upstream in fleet.all() {
            // What is left then ends with the tasks of the runtime.
            let _ = clock::timeout_at(deadline, upstream.shutdown()).await;
        }
        if let Ok(Some((log, written))) = access_log.into_inner() {
            // The writer ends when nobody can give it another line.
            drop((front, log));
            let _ = clock::timeout_at(deadline, written).await;
        }
        operators.drain.cancel();
        operators.cut.cancel();
        for server in others {
            let _ = clock::timeout_at(deadline, server).await;
        }
        tracing::info!(cut, "gateway stopped");
        cut
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Running")
            .field("listen", &self.listen)
            .field("metrics", &self.metrics)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// How many descriptors the process may have now, where that is known.
fn raise_descriptor_limit() -> Option<u64> {
    match descriptors::raise_limit() {
        Ok(limit) => Some(limit),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the descriptor limit stays as it is"
            );
            descriptors::limit()
        }
    }
}

async fn keep_up(page: Arc<Page>, reserve: Arc<Reserve>, fleet: Arc<Fleet>) {
    loop {
        tokio::time::sleep(UPKEEP_PERIOD).await;
        page.upkeep();
        reserve.refill();
        fleet.prune();
    }
}
