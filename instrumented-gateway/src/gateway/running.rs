//! Start and stop: everything that runs is a task of [`Running`], and ends with it.
//!
//! All addresses are bound before anything runs, so that a start which fails leaves nothing behind. A shutdown stops
//! accepting, lets requests in flight end, cuts them at its deadline and says so; the metrics are served until the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Settings, Task};
use tokio_metrics::TaskMonitor;
use tokio_util::sync::CancellationToken;
use web_config::{Protection, WebConfigError};

use super::descriptors::{self, Reserve};
use super::guarded::Guarded;
use super::server::{BindError, Listener, Server};
use super::{Front, Gateway, Parts};
use crate::admin::Admin;
use crate::clock;
use crate::config::{Config, Limits};
use crate::console::Console;
use crate::drill::{Drill, Drills};
use crate::metrics::{
    DrillSwitch, ListenerMeters, MetricsListener, Page, SharedRecorder, UpstreamLevels,
    UpstreamMeters,
};
use crate::pool::SocketGate;
use crate::telemetry::Telemetry;
use crate::upstream::Upstream;

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
#[derive(Debug)]
pub struct Running {
    listen: SocketAddr,
    metrics: SocketAddr,
    admin: Option<SocketAddr>,
    ledger: Ledger,
    drills: Arc<Drills>,
    upstreams: Vec<Arc<Upstream>>,
    shutdown_timeout: Duration,
    clients: Stage,
    operators: Stage,
    main: Task<usize>,
    others: Vec<Task<usize>>,
    _upkeep: Vec<Task<()>>,
}

/// The two steps in which a server ends.
#[derive(Debug, Clone, Default)]
struct Stage {
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Gateway {
    /// Starts a gateway on the current runtime. Raises the soft descriptor limit of the process to the hard one.
    ///
    /// # Errors
    /// Where an address cannot be had, or the web configuration cannot be used; nothing is left bound then.
    pub async fn start(config: Config, telemetry: Telemetry) -> Result<Running, StartError> {
        let listen = Listener::bind("listen", config.listen)?;
        let metrics = Listener::bind("metrics", config.metrics)?;
        let admin = config
            .admin
            .map(|address| Listener::bind("admin", address))
            .transpose()?;
        raise_descriptor_limit();
        let builder = Builder::new(&config);
        let protection = Protection::open(config.web_config_file.as_deref(), &builder.ledger)?;
        let console = builder.console(config.console, telemetry.console)?;
        let addresses = [Some(&listen), Some(&metrics), admin.as_ref()]
            .map(|listener| listener.map(|listener| listener.address));
        let fan_out_tasks = TaskMonitor::new();
        let page = Arc::new(builder.page(&fan_out_tasks));
        let front = Front::new(&config, &builder.parts(&fan_out_tasks));
        let (clients, operators) = (Stage::default(), Stage::default());
        let server = builder.server(&listen, config.limits, &clients, None);
        let main = builder.run(server.serve(listen, front));
        let reserve = Arc::new(Reserve::new());
        let operated = |listener: &Listener| {
            let reserve = Some(Arc::clone(&reserve));
            Server {
                protection: protection.clone(),
                ..builder.server(listener, OPERATOR_LIMITS, &operators, reserve)
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
        let upkeep = std::iter::once(builder.run(keep_up(page, reserve)));
        let upkeep = upkeep.chain(console).collect();
        let [listen, metrics, admin] = addresses;
        let running = Running {
            listen: listen.unwrap_or(config.listen),
            metrics: metrics.unwrap_or(config.metrics),
            admin,
            ledger: builder.ledger,
            drills: builder.drills,
            upstreams: builder.upstreams,
            shutdown_timeout: config.shutdown_timeout,
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
        &self.ledger
    }

    /// Its drills.
    pub fn drills(&self) -> &Arc<Drills> {
        &self.drills
    }

    /// Stops accepting, waits for the requests in flight until the configured deadline, cuts the rest, and closes
    /// everything. Returns how many client connections were cut. Dropping this future cuts at once.
    pub async fn shutdown(self) -> usize {
        let Self {
            ledger,
            drills,
            upstreams,
            clients,
            operators,
            mut main,
            others,
            ..
        } = self;
        tracing::info!(
            requests = ledger.snapshot().open("request"),
            "gateway draining"
        );
        let deadline = clock::now() + self.shutdown_timeout;
        clients.drain.cancel();
        // What a drill holds would never end by itself.
        drills.stop_all();
        let cut = match clock::timeout_at(deadline, &mut main).await {
            Ok(ended) => ended.unwrap_or_default(),
            Err(_) => {
                warn_of_cut(&ledger);
                clients.cut.cancel();
                main.await.unwrap_or_default()
            }
        };
        let deadline = clock::now() + CUT_TIMEOUT;
        for upstream in &upstreams {
            // What is left then ends with the tasks of the runtime.
            let _ = clock::timeout_at(deadline, upstream.shutdown()).await;
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

/// What is there before the servers are.
struct Builder {
    ledger: Ledger,
    recorder: SharedRecorder,
    drills: Arc<Drills>,
    gate: SocketGate,
    upstreams: Vec<Arc<Upstream>>,
}

impl Builder {
    fn new(config: &Config) -> Self {
        let ledger = Ledger::new(Settings {
            grace: config.grace,
            max_accounts: config.max_accounts,
            ..Settings::default()
        });
        let recorder = Page::recorder();
        let gate = SocketGate::default();
        let upstreams = config.upstreams.iter().map(|upstream| {
            let meters = UpstreamMeters::new(&*recorder, &upstream.name);
            Upstream::new(upstream, &ledger, meters, &gate)
        });
        Self {
            upstreams: upstreams.collect(),
            drills: Drills::new(&ledger),
            ledger,
            recorder,
            gate,
        }
    }

    fn parts<'a>(&'a self, fan_out_tasks: &'a TaskMonitor) -> Parts<'a> {
        Parts {
            ledger: &self.ledger,
            recorder: &self.recorder,
            upstreams: &self.upstreams,
            drills: &self.drills,
            fan_out_tasks,
        }
    }

    fn page(&self, fan_out_tasks: &TaskMonitor) -> Page {
        let upstreams = self.upstreams.iter().map(|upstream| {
            let waiting = Arc::clone(upstream);
            let waiters = move || waiting.waiters();
            UpstreamLevels::new(&self.recorder, upstream.name(), upstream.limit(), waiters)
        });
        let drills = Drill::ALL.map(|drill| {
            let drills = Arc::clone(&self.drills);
            let is_active = move || drills.share(drill).is_some();
            DrillSwitch::new(&self.recorder, drill.name(), is_active)
        });
        Page::new(
            self.recorder.clone(),
            self.ledger.clone(),
            fan_out_tasks.clone(),
            upstreams.collect(),
            drills.into(),
        )
    }

    fn server(
        &self,
        listener: &Listener,
        limits: Limits,
        stage: &Stage,
        reserve: Option<Arc<Reserve>>,
    ) -> Server {
        Server {
            meters: ListenerMeters::new(&self.recorder, listener.name, limits.max_connections),
            limits,
            ledger: self.ledger.clone(),
            reserve,
            protection: Protection::none(),
            drain: stage.drain.clone(),
            cut: stage.cut.clone(),
        }
    }

    /// Serves tokio-console where it is configured and the process' log feeds it.
    fn console(
        &self,
        address: Option<SocketAddr>,
        console: Option<Console>,
    ) -> Result<Option<Task<()>>, StartError> {
        let Some(address) = address else {
            return Ok(None);
        };
        let Some(console) = console else {
            tracing::warn!("tokio-console is configured, but this process' log does not feed it");
            return Ok(None);
        };
        let (address, serve) = console
            .bind(address)
            .map_err(|source| StartError::Console { address, source })?;
        tracing::warn!(%address, "tokio-console is served: every task costs more");
        Ok(Some(self.run(serve)))
    }

    #[track_caller]
    fn run<T: Send + 'static>(&self, service: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let tasks = self.ledger.account::<ServiceTaskOutcome>(Labels::new());
        self.ledger.spawn(tasks.open(), service)
    }
}

fn raise_descriptor_limit() {
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the descriptor limit stays as it is"
        );
    }
}

async fn keep_up(page: Arc<Page>, reserve: Arc<Reserve>) {
    loop {
        tokio::time::sleep(UPKEEP_PERIOD).await;
        page.upkeep();
        reserve.refill();
    }
}

/// Says which requests are about to be cut.
fn warn_of_cut(ledger: &Ledger) {
    for account in ledger.snapshot().of("request") {
        if account.open > 0 {
            tracing::warn!(
                route = account.route.as_deref(),
                requests = account.open,
                oldest_seconds = account.oldest_age.unwrap_or_default().as_secs_f64(),
                "requests in flight are cut at the shutdown deadline"
            );
        }
    }
}
