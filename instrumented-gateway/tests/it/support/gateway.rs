//! A gateway of the test's own, and the questions that most tests ask its ledger.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use instrumented_gateway::SocketGate;
use instrumented_gateway::config::{Action, Config};
use instrumented_gateway::drill::Drills;
use instrumented_gateway::fan_out::FanOut;
use instrumented_gateway::forward::{Inbound, Proxy};
use instrumented_gateway::hop::{Hop, Origin};
use instrumented_gateway::metrics::UpstreamMeters;
use instrumented_gateway::route::{Lookup, RouteTable};
use instrumented_gateway::upstream::Upstream;
use resource_ledger::{
    Account, Filter, Labels, Ledger, OpenEntry, Owner, OwnerId, RequestOutcome, Settings, Snapshot,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{eventually, now, spawn};

/// A field of a request whose handler panics after so many milliseconds, wherever it is then.
pub(crate) const PANICS_AFTER: &str = "x-test-panics-after";

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    routes: RouteTable,
    handlers: Vec<Handler>,
    requests: Account<RequestOutcome>,
    ledger: Ledger,
    gate: SocketGate,
    upstreams: Vec<Arc<Upstream>>,
    drills: Arc<Drills>,
    recorder: metrics_exporter_prometheus::PrometheusRecorder,
    stop: AtomicBool,
}

enum Handler {
    Proxy(Proxy),
    FanOut(FanOut),
}

impl Gateway {
    /// Starts a gateway, as by [`configuration`].
    pub(crate) async fn start(config: &str, upstreams: &[SocketAddr]) -> Self {
        let text = configuration(config, upstreams);
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let listener = TcpListener::bind(config.listen).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Inner::new(config));
        spawn({
            let inner = Arc::clone(&inner);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if inner.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    spawn(Arc::clone(&inner).serve(stream));
                }
            }
        });
        Self { address, inner }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    pub(crate) fn drills(&self) -> &Drills {
        &self.inner.drills
    }

    pub(crate) fn upstream(&self, index: usize) -> &Arc<Upstream> {
        &self.inner.upstreams[index]
    }

    /// A snapshot in which no socket is half-way opened or closed.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let _still = self.inner.gate.still();
        self.inner.ledger.snapshot()
    }

    pub(crate) fn open(&self, resource: &str) -> u64 {
        self.snapshot().open(resource)
    }

    /// Pool connections in a state, over all upstreams.
    pub(crate) fn pooled(&self, state: &str) -> u64 {
        let snapshot = self.snapshot();
        snapshot
            .of("pool_connection")
            .map(|account| account.open_in_state(state))
            .sum()
    }

    /// How often a resource ended as `outcome`.
    pub(crate) fn closed(&self, resource: &str, outcome: &str) -> u64 {
        let snapshot = self.snapshot();
        snapshot
            .of(resource)
            .map(|account| account.closed_as(outcome))
            .sum()
    }

    /// The value of a counter, given as in the exposition.
    #[track_caller]
    pub(crate) fn counter(&self, series: &str) -> u64 {
        let text = self.inner.recorder.handle().render();
        text.lines()
            .find_map(|line| line.strip_prefix(series))
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("no {series} in {text}"))
    }

    /// The open entries of a resource.
    pub(crate) fn listing(&self, resource: &str) -> Vec<OpenEntry> {
        let filter = Filter {
            resource: Some(resource.to_owned()),
            ..Filter::default()
        };
        self.inner.ledger.oldest(&filter, 100_000).entries
    }

    /// Waits until nothing is held but idle connections, and checks that nothing is late.
    #[track_caller]
    pub(crate) fn quiet(&self) -> impl Future<Output = ()> + '_ {
        let caller = std::panic::Location::caller();
        let quiet = eventually("nothing is held but idle connections", || {
            let snapshot = self.snapshot();
            let held = |resource| snapshot.open(resource);
            held("request") == 0
                && held("response_body") == 0
                && held("fan_out_task") == 0
                && held("pool_connection")
                    == snapshot
                        .of("pool_connection")
                        .map(|account| account.open_in_state("idle"))
                        .sum::<u64>()
        });
        async move {
            quiet.await;
            let late = late(&self.snapshot());
            assert!(late.is_empty(), "{caller}: late: {late:?}");
            for index in 0..self.inner.upstreams.len() {
                let upstream = self.upstream(index);
                assert_eq!(
                    (upstream.waiters(), upstream.in_flight()),
                    (0, 0),
                    "{caller}"
                );
            }
        }
    }
}

/// A configuration with its listeners. `{0}`, `{1}` ... stand for the addresses of the upstreams.
pub(crate) fn configuration(rest: &str, upstreams: &[SocketAddr]) -> String {
    let mut text = format!("listen: 127.0.0.1:0\nmetrics: 127.0.0.1:0\n{rest}");
    for (index, address) in upstreams.iter().enumerate() {
        text = text.replace(&format!("{{{index}}}"), &format!("http://{address}"));
    }
    text
}

/// What is orphaned or overdue in a snapshot, as `(resource, overdue, orphaned)`.
pub(crate) fn late(snapshot: &Snapshot) -> Vec<(&'static str, u64, u64)> {
    let late = |account: &&resource_ledger::AccountSnapshot| account.overdue + account.orphaned > 0;
    let accounts = snapshot.accounts.iter().filter(late);
    accounts
        .map(|account| (account.resource, account.overdue, account.orphaned))
        .collect()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::SeqCst);
    }
}

impl Inner {
    fn new(config: Config) -> Self {
        let ledger = Ledger::new(Settings {
            grace: config.grace,
            ..Settings::default()
        });
        let gate = SocketGate::default();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let upstreams: Vec<_> = config
            .upstreams
            .iter()
            .map(|upstream| {
                let meters = UpstreamMeters::new(&recorder, &upstream.name);
                Upstream::new(upstream, &ledger, meters, &gate)
            })
            .collect();
        let drills = Drills::new(&ledger);
        let monitor = tokio_metrics::TaskMonitor::new();
        let hop = Arc::new(Hop::new(&config.hop));
        let handler = |route: &instrumented_gateway::config::RouteConfig| match &route.action {
            Action::Proxy { upstream, rewrite } => Handler::Proxy(Proxy::new(
                route,
                rewrite.clone(),
                &upstreams[*upstream],
                &drills,
                &hop,
            )),
            Action::FanOut { policy, calls } => Handler::FanOut(FanOut::new(
                route, *policy, calls, &upstreams, &drills, &monitor, &hop,
            )),
        };
        let handlers = config.routes.iter().map(handler).collect();
        Self {
            routes: RouteTable::new(config.routes.iter().map(|route| route.path.clone())),
            handlers,
            requests: ledger.account(Labels::new()),
            ledger,
            gate,
            upstreams,
            drills,
            recorder,
            stop: AtomicBool::new(false),
            config,
        }
    }

    async fn serve(self: Arc<Self>, stream: tokio::net::TcpStream) {
        let cut = CancellationToken::new();
        let service = service_fn(|request: Request<Incoming>| {
            let (inner, cut) = (Arc::clone(&self), cut.clone());
            async move { Ok::<_, Infallible>(inner.handle(request, cut).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            () = cut.cancelled() => {}
        }
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        cut: CancellationToken,
    ) -> http::Response<instrumented_gateway::body::GatewayBody> {
        let Lookup::Found { route, captures } = self.routes.find(request.uri().path()) else {
            panic!("no route for {}", request.uri());
        };
        let owner = Owner::begin(&self.requests, OwnerId::default());
        let inbound = Inbound {
            request,
            upload: None,
            cut,
            captures,
            owner: owner.reference(),
            deadline: now() + self.config.routes[route].deadline,
            origin: Origin::default(),
        };
        let panics_after = inbound.request.headers().get(PANICS_AFTER).cloned();
        let answer = async {
            match &self.handlers[route] {
                Handler::Proxy(proxy) => proxy.handle(inbound).await,
                Handler::FanOut(fan_out) => fan_out.handle(inbound).await,
            }
        };
        let response = match panics_after {
            None => answer.await,
            Some(milliseconds) => {
                let milliseconds = milliseconds.to_str().expect("text").parse();
                let pause = Duration::from_millis(milliseconds.expect("a number"));
                tokio::select! {
                    response = answer => response,
                    () = tokio::time::sleep(pause) => {
                        // Unlike `panic!`, it prints nothing: it is meant.
                        std::panic::resume_unwind(Box::new("as the test asked"))
                    }
                }
            }
        };
        response.map(|body| body.owned_by(owner))
    }
}
