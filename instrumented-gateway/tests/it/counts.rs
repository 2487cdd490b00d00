//! Counts are true: under any mix of requests that end badly nothing is ever late, afterwards nothing is held, and at each
//! moment the pool's states add up to the sockets that the kernel lists.
//!
//! `LEAKWATCH_STORM_REQUESTS` says how many requests, `LEAKWATCH_SEED` which ones; both are printed.

mod shared;
mod storm;
mod upstream;
mod visit;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use instrumented_gateway::config::Config;
use instrumented_gateway::telemetry::Telemetry;

use crate::support::{
    Gateway, Kernel, Scrape, Scraper, Upstream, configuration, eventually, get, late, soon,
};
use storm::{HELD, Signs, rage};
use upstream::behave;

const CONFIG: &str = "
upstreams:
  - { name: one, endpoints: [\"{0}\"], max_connections: 16, max_idle: 8, max_waiters: 6, idle_timeout: 150ms }
  - { name: two, endpoints: [\"{1}\"], max_connections: 16, max_idle: 8, max_in_flight: 18, max_requests: 5 }
  - { name: held, endpoints: [\"{0}\"] }
routes:
  - { path: /held/*, proxy: held }
  - { path: /calm/*, proxy: one }
  - { path: /one/*, proxy: one, deadline: 150ms, body_idle_timeout: 150ms }
  - { path: /two/*, proxy: two, deadline: 150ms, body_idle_timeout: 150ms }
  - path: /partial/{a}/{b}
    deadline: 150ms
    fan_out: { policy: partial, calls: [
      { name: a, upstream: one, path: \"/x/{a}\" }, { name: b, upstream: two, path: \"/x/{b}\" }] }
  - path: /error/{a}/{b}
    deadline: 150ms
    fan_out: { policy: error, calls: [
      { name: a, upstream: one, path: \"/x/{a}\" }, { name: b, upstream: two, path: \"/x/{b}\" }] }
";

/// What one look at the gateway shows.
#[derive(Debug)]
struct Seen {
    /// Connections opened and closed so far: what tells one moment from another.
    totals: (u64, u64),
    /// The sum of the pool's states.
    states: u64,
    /// What is orphaned or overdue.
    late: Vec<String>,
}

#[derive(Debug, Default)]
struct Judged {
    equal: usize,
    again: usize,
    most: u64,
}

impl Seen {
    /// By a snapshot of the ledger.
    fn of(gateway: &Gateway) -> Self {
        let snapshot = gateway.snapshot();
        let pooled = || snapshot.of("pool_connection");
        let in_state = |state| -> u64 {
            let accounts = pooled().map(|account| account.open_in_state(state));
            accounts.sum()
        };
        Self {
            totals: (
                pooled().map(|account| account.opened).sum(),
                pooled().map(|account| account.closed_total()).sum(),
            ),
            states: ["connecting", "idle", "in_use", "draining"]
                .map(in_state)
                .iter()
                .sum(),
            late: late(&snapshot)
                .iter()
                .map(|late| format!("{late:?}"))
                .collect(),
        }
    }

    /// As the operators see it.
    fn on(scrape: &Scrape) -> Self {
        let pooled = [("resource", "pool_connection")];
        let whole = |value: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts are whole and small"
            )]
            let whole = value as u64;
            whole
        };
        Self {
            totals: (
                whole(scrape.sum("resource_ledger_opened_total", &pooled)),
                whole(scrape.sum("resource_ledger_closed_total", &pooled)),
            ),
            states: whole(scrape.sum("gateway_pool_connections", &[])),
            late: ["resource_ledger_orphaned", "resource_ledger_overdue"]
                .into_iter()
                .flat_map(|name| scrape.above_zero(name))
                .collect(),
        }
    }
}

/// Holds gateway against kernel against gateway, as long as the storm rages.
fn judge(mut look: impl FnMut() -> Seen, mut kernel: Kernel, signs: &Signs) -> Judged {
    let mut judged = Judged::default();
    while !signs.over.load(Ordering::SeqCst) {
        let before = look();
        let sockets = kernel.sockets();
        let after = look();
        assert!(
            before.late.is_empty() && after.late.is_empty(),
            "{before:?} {after:?}"
        );
        match sockets {
            Some(sockets) if before.totals == after.totals => {
                assert_eq!(before.states, sockets, "{before:?} {after:?}");
                judged.equal += 1;
                judged.most = judged.most.max(sockets);
                signs.compared.fetch_add(1, Ordering::SeqCst);
            }
            _ => judged.again += 1,
        }
    }
    judged
}

/// Says what was seen; a storm in which nothing was ever open would prove nothing.
fn told((judged, (requests, waves)): (Judged, (usize, usize)), least_open: u64) {
    println!("{requests} requests in {waves} waves; {judged:?}");
    assert!(
        judged.equal >= waves && judged.most >= least_open,
        "{judged:?}"
    );
}

/// A thread that looks on while the runtime works.
#[expect(clippy::disallowed_methods, reason = "the test's own onlooker")]
async fn looking_on<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(look)
        .await
        .expect("no contradiction")
}

/// A storm over handlers and a ledger that are looked at all the while.
async fn storm_over(gateway: &Arc<Gateway>, kernel: Kernel) -> (Judged, (usize, usize)) {
    let signs = Arc::new(Signs::default());
    let judged = {
        let (gateway, signs) = (Arc::clone(gateway), Arc::clone(&signs));
        looking_on(move || judge(|| Seen::of(&gateway), kernel, &signs))
    };
    let raging = rage(gateway.address, &signs, async |_| ());
    tokio::join!(judged, raging)
}

/// Waits until nothing is held, and for an idle connection's end: in a storm hardly any is idle for long enough.
async fn calm_down(gateway: &Gateway) {
    gateway.quiet().await;
    // By a route with time enough for a handshake on a busy machine.
    assert_eq!(get(gateway.address, "/calm/ok").await.status, 200);
    let expired = || gateway.closed("pool_connection", "idle_timeout") > 0;
    eventually("an idle connection expires", expired).await;
}

/// Each resource has ended in each of these ways.
#[track_caller]
fn happened<const N: usize>(gateway: &Gateway, outcomes: [(&str, [&str; N]); 4]) {
    for (resource, outcomes) in outcomes {
        for outcome in outcomes {
            let count = gateway.closed(resource, outcome);
            assert!(count > 0, "no {resource} {outcome}");
        }
    }
}

/// The handlers and the ledger by themselves: every look is a snapshot, and handlers panic too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_storm() {
    let (one, two) = (Upstream::start(behave).await, Upstream::start(behave).await);
    let kernel = Kernel::new(&[one.address, two.address]);
    let gateway = Arc::new(Gateway::start(CONFIG, &[one.address, two.address]).await);
    told(storm_over(&gateway, kernel).await, HELD as u64);
    calm_down(&gateway).await;
    happened(
        &gateway,
        [
            (
                "pool_connection",
                ["client_gone", "error", "peer_closed", "idle_timeout"],
            ),
            (
                "request",
                ["completed", "client_gone", "timed_out", "failed"],
            ),
            (
                "response_body",
                ["complete", "drained", "abandoned", "failed"],
            ),
            (
                "fan_out_task",
                ["completed", "failed", "timed_out", "cancelled"],
            ),
        ],
    );
}

/// The whole gateway, looked at as its operators do: every look is a scrape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_storm_at_every_scrape() {
    let (one, two) = (Upstream::start(behave).await, Upstream::start(behave).await);
    let kernel = Kernel::new(&[one.address, two.address]);
    // Two configurations that take turns: of the second upstream's pool one lets go what the other holds.
    let addresses = [one.address, two.address];
    let configs = [
        CONFIG,
        &CONFIG.replace("max_requests: 5", "max_requests: 50"),
    ]
    .map(|text| {
        let text = configuration(text, &addresses);
        Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    });
    let telemetry = Telemetry::default();
    let gateway = instrumented_gateway::gateway::Gateway::start(configs[0].clone(), telemetry)
        .await
        .expect("started");
    let metrics = gateway.metrics_addr();
    let signs = Arc::new(Signs::default());
    let judged = {
        let signs = Arc::clone(&signs);
        looking_on(move || {
            let mut scraper = Scraper::connect(metrics);
            judge(|| Seen::on(&scraper.scrape()), kernel, &signs)
        })
    };
    let reloads = async |wave: usize| {
        let next = configs[(wave + 1) % 2].clone();
        let reloaded = gateway.replace(next).expect("nothing fixed has changed");
        assert_eq!((reloaded.upstreams_kept, reloaded.upstreams_new), (2, 1));
    };
    let raging = rage(gateway.listen_addr(), &signs, reloads);
    told(tokio::join!(judged, raging), HELD as u64);

    let mut scraper = Scraper::connect(metrics);
    eventually("nothing is held but idle connections", || {
        let scrape = scraper.scrape();
        let held = |resource| scrape.sum("resource_ledger_open", &[("resource", resource)]);
        let idle = scrape.sum("gateway_pool_connections", &[("state", "idle")]);
        assert_eq!(Seen::on(&scrape).late, Vec::<String>::new());
        held("request") + held("response_body") + held("fan_out_task") == 0.0
            && held("pool_connection") == idle
    })
    .await;
    soon("the shutdown", gateway.shutdown()).await;
}
