//! What counting costs: an open and a close together, alone and beside others.
//!
//! `cargo bench -p resource-ledger` measures, then holds the budget: 150 ns on one thread, owner and deadline included,
//! and two threads that do at least 1.4 times as much as one. The budget is judged by the shortest of many short
//! batches, so that what else runs on the machine cannot break it.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group};
use http::{Extensions, Request, Response};
use http_body::Body;
use http_body_util::Full;
use resource_ledger::{
    Account, BodyOutcome, CountingLayer, Exporter, Labels, Ledger, Owner, OwnerId,
};
use tower::{Layer, Service, service_fn};

fn bodies(ledger: &Ledger) -> Account<BodyOutcome> {
    ledger.account(Labels::new().upstream("content").route("/content/*"))
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one_thread");
    let ledger = Ledger::default();
    let account = bodies(&ledger);
    group.bench_function("open_close", |bencher| {
        bencher.iter(|| black_box(account.open()).close(BodyOutcome::Complete));
    });
    group.bench_function("open_drop", |bencher| {
        bencher.iter(|| drop(black_box(account.open())))
    });
    let owner = Owner::begin(&ledger.account(Labels::new()), OwnerId::default());
    let reference = owner.reference();
    let deadline = Some(ledger.now() + Duration::from_secs(60));
    group.bench_function("open_close_with_owner_and_deadline", |bencher| {
        bencher.iter(|| {
            black_box(account.open_for(Some(&reference), deadline)).close(BodyOutcome::Complete)
        });
    });
    let crowd: Vec<_> = (0..100_000).map(|_| account.open()).collect();
    group.bench_function("open_close_beside_100000_open", |bencher| {
        bencher.iter(|| black_box(account.open()).close(BodyOutcome::Complete));
    });
    drop(crowd);
    let entry = account.open();
    group.bench_function("transition", |bencher| {
        bencher.iter(|| entry.transition("in_use", Some(&reference), deadline));
    });
    group.finish();
}

fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("threads");
    let ledger = Ledger::default();
    let account = bodies(&ledger);
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads));
        group.bench_function(format!("open_close_on_{threads}"), |bencher| {
            bencher.iter_custom(|pairs| {
                let batches = on_threads(threads as usize, 1, || open_and_close(&account, pairs));
                batches.into_iter().sum()
            });
        });
    }
    group.finish();
}

fn open_and_close(account: &Account<BodyOutcome>, pairs: u64) {
    (0..pairs).for_each(|_| black_box(account.open()).close(BodyOutcome::Complete));
}

/// For each batch, the time from the first thread's start to the last one's end.
fn on_threads(threads: usize, batches: usize, work: impl Fn() + Sync) -> Vec<Duration> {
    let ready = Barrier::new(threads);
    let run = || {
        let batch = |_| {
            ready.wait();
            let started = now();
            work();
            (started, now())
        };
        (0..batches).map(batch).collect::<Vec<_>>()
    };
    let spans: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("the work does not panic"))
            .collect()
    });
    let batch = |batch: usize| {
        let started = spans.iter().map(|spans| spans[batch].0).min();
        let ended = spans.iter().map(|spans| spans[batch].1).max();
        ended
            .zip(started)
            .map_or(Duration::ZERO, |(ended, started)| ended - started)
    };
    (0..batches).map(batch).collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn scrape(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrape");
    let ledger = Ledger::default();
    let accounts: Vec<Account<BodyOutcome>> = (0..100)
        .map(|route| ledger.account(Labels::new().upstream("content").route(format!("/{route}"))))
        .collect();
    let exporter = Exporter::new(ledger.clone());
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    group.bench_function("publish_100_accounts", |bencher| {
        bencher.iter(|| exporter.publish(&recorder))
    });
    let _crowd: Vec<_> = (0..100_000)
        .map(|entry| accounts[entry % accounts.len()].open())
        .collect();
    group.bench_function("snapshot_of_100000_open", |bencher| {
        bencher.iter(|| ledger.snapshot())
    });
    group.bench_function("oldest_100_of_100000", |bencher| {
        bencher.iter(|| ledger.oldest(&Default::default(), 100))
    });
    group.finish();
}

/// A request through the tower layer, beside the same without it.
fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    let ledger = Ledger::default();
    let mut bare = service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(&b"news"[..]))))
    });
    group.bench_function("bare", |bencher| bencher.iter(|| serve(&mut bare)));
    let mut counted = CountingLayer::new(&ledger).layer(bare);
    group.bench_function("counted", |bencher| bencher.iter(|| serve(&mut counted)));
    let routed = |extensions: &Extensions| extensions.get::<&str>().copied();
    let mut routed = CountingLayer::new(&ledger).routed_by(routed).layer(bare);
    group.bench_function("counted_by_route", |bencher| {
        bencher.iter(|| serve(&mut routed))
    });
    group.finish();
}

/// One request, from its head to the end of its answer, as a server would drive it.
fn serve<S, B>(service: &mut S)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut request = Request::new(());
    request.extensions_mut().insert("/home/{id}");
    let mut call = pin!(service.call(black_box(request)));
    let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut context) else {
        return;
    };
    let mut body = pin!(response.into_body());
    let _ = black_box(body.as_mut().poll_frame(&mut context));
}

/// Nanoseconds of one open and close, in the shortest of the batches.
fn shortest(threads: usize, work: impl Fn() + Sync) -> f64 {
    const BATCHES: usize = 2_000;
    const PAIRS: u32 = 5_000;
    let batches = on_threads(threads, BATCHES, || (0..PAIRS).for_each(|_| work()));
    let shortest = batches.into_iter().min().unwrap_or_default();
    (shortest / PAIRS).as_nanos() as f64
}

fn hold_budget() {
    const BUDGET_NANOSECONDS: f64 = 150.0;
    const SCALING: f64 = 1.4;
    let ledger = Ledger::default();
    let account = bodies(&ledger);
    let owner = Owner::begin(&ledger.account(Labels::new()), OwnerId::default());
    let reference = owner.reference();
    let deadline = Some(ledger.now() + Duration::from_secs(60));
    let alone = shortest(1, || black_box(account.open()).close(BodyOutcome::Complete));
    let owned = shortest(1, || {
        black_box(account.open_for(Some(&reference), deadline)).close(BodyOutcome::Complete)
    });
    let beside = shortest(2, || black_box(account.open()).close(BodyOutcome::Complete));
    let scaling = 2.0 * alone / beside;
    println!(
        "shortest batch: open and close {alone} ns, with owner and deadline {owned} ns (budget {BUDGET_NANOSECONDS} ns)"
    );
    println!(
        "shortest batch on two threads: {beside} ns each, {scaling:.2} times the throughput of one"
    );
    assert!(alone.max(owned) <= BUDGET_NANOSECONDS, "over budget");
    let several_processors =
        std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
    assert!(
        !several_processors || scaling >= SCALING,
        "two threads wait for each other"
    );
}

criterion_group!(benches, one_thread, threads, scrape, layer);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // `cargo test --all-targets` runs this without optimisation, only to see that it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        hold_budget();
    }
}
