//! What there is before the servers are, and what outlives every configuration: the ledger, the meters, the fleet.
//!
//! A start and a reload make upstreams, tables and the access log from here, so that both count in the same places.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Task};
use tokio::sync::watch;
use tokio_metrics::TaskMonitor;
use web_config::Protection;

use super::descriptors::Reserve;
use super::fleet::Fleet;
use super::running::{Stage, StartError};
use super::server::{Listener, Server};
use super::table::Parts;
use crate::access_log::{AccessLog, Logger};
use crate::config::{AccessLogSettings, Config, Http2, Limits, UpstreamConfig};
use crate::console::Console;
use crate::drill::{Drill, Drills};
use crate::metrics::{
    AccessLogMeters, DrillSwitch, ListenerMeters, Page, SharedRecorder, UpstreamLevels,
    UpstreamMeters,
};
use crate::pool::SocketGate;
use crate::upstream::Upstream;

/// What is there before the servers are, and outlives every configuration.
pub(super) struct Builder {
    pub(super) ledger: Ledger,
    pub(super) recorder: SharedRecorder,
    pub(super) drills: Arc<Drills>,
    pub(super) gate: SocketGate,
    pub(super) fan_out_tasks: TaskMonitor,
    pub(super) fleet: Arc<Fleet>,
    pub(super) access_log: Mutex<Option<(AccessLog, Task<()>)>>,
}

impl Builder {
    pub(super) fn new(config: &Config, ledger: Ledger) -> Self {
        let mut builder = Self {
            drills: Drills::new(&ledger),
            ledger,
            recorder: Page::recorder(),
            gate: SocketGate::default(),
            fan_out_tasks: TaskMonitor::new(),
            fleet: Arc::new(Fleet::new(Vec::new())),
            access_log: Mutex::new(None),
        };
        let upstreams = config.upstreams.iter();
        let upstreams = upstreams
            .map(|upstream| builder.upstream(upstream))
            .collect();
        builder.fleet = Arc::new(Fleet::new(upstreams));
        builder
    }

    /// An upstream; its meters go on where one of its name has counted before.
    pub(super) fn upstream(&self, config: &UpstreamConfig) -> Arc<Upstream> {
        let meters = UpstreamMeters::new(&*self.recorder, &config.name);
        Upstream::new(config, &self.ledger, meters, &self.gate)
    }

    pub(super) fn parts<'a>(
        &'a self,
        upstreams: &'a [Arc<Upstream>],
        config: &Config,
    ) -> Parts<'a> {
        Parts {
            logger: self.logger(config.access_log),
            ledger: &self.ledger,
            recorder: &self.recorder,
            upstreams,
            drills: &self.drills,
            fan_out_tasks: &self.fan_out_tasks,
        }
    }

    /// The access log that a configuration asks for; its writer runs from the first time that one does.
    pub(super) fn logger(&self, settings: AccessLogSettings) -> Option<Logger> {
        settings.format?;
        let mut access_log = self
            .access_log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (log, _) = access_log.get_or_insert_with(|| {
            let meters = AccessLogMeters::new(&self.recorder);
            AccessLog::start(&self.ledger, meters, io::stdout())
        });
        log.logger(settings)
    }

    /// What is published of the upstreams of one name, whichever configuration they are of.
    pub(super) fn levels(&self, name: &Arc<str>) -> UpstreamLevels {
        let (limited, limit_name) = (Arc::clone(&self.fleet), Arc::clone(name));
        let (waited, waiters_name) = (Arc::clone(&self.fleet), Arc::clone(name));
        let limit = move || limited.limit(&limit_name);
        let waiters = move || waited.waiters(&waiters_name);
        UpstreamLevels::new(&self.recorder, name, limit, waiters)
    }

    pub(super) fn page(&self) -> Page {
        let upstreams = self.fleet.current();
        let upstreams = upstreams
            .iter()
            .map(|upstream| self.levels(upstream.name()));
        let drills = Drill::ALL.map(|drill| {
            let drills = Arc::clone(&self.drills);
            let is_active = move || drills.share(drill).is_some();
            DrillSwitch::new(&self.recorder, drill.name(), is_active)
        });
        Page::new(
            self.recorder.clone(),
            self.ledger.clone(),
            self.fan_out_tasks.clone(),
            upstreams.collect(),
            drills.into(),
        )
    }

    pub(super) fn server(
        &self,
        listener: &Listener,
        limits: watch::Receiver<Limits>,
        stage: &Stage,
        reserve: Option<Arc<Reserve>>,
    ) -> Server {
        Server {
            meters: ListenerMeters::new(&self.recorder, listener.name),
            descriptor_limit: None,
            limits,
            ledger: self.ledger.clone(),
            reserve,
            protection: Protection::none(),
            tls: None,
            http2: Http2::Off,
            drain: stage.drain.clone(),
            cut: stage.cut.clone(),
        }
    }

    /// Serves tokio-console where it is configured and the process' log feeds it.
    pub(super) fn console(
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
    pub(super) fn run<T: Send + 'static>(
        &self,
        service: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let tasks = self.ledger.account::<ServiceTaskOutcome>(Labels::new());
        self.ledger.spawn(tasks.open(), service)
    }
}
