//! What counting costs: an open and a close together, alone and beside others.
//!
//! Budget: 150 ns on one thread, owner and deadline included, and two threads scale. `cargo bench -p resource-ledger`.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resource_ledger::{Account, BodyOutcome, Exporter, Labels, Ledger, Owner, OwnerId};

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
        // A time per element that falls as threads are added is a throughput that scales.
        group.throughput(Throughput::Elements(threads));
        group.bench_function(format!("open_close_on_{threads}"), |bencher| {
            bencher.iter_custom(|pairs| on_threads(threads, || open_and_close(&account, pairs)));
        });
    }
    group.finish();
}

fn open_and_close(account: &Account<BodyOutcome>, pairs: u64) {
    (0..pairs).for_each(|_| black_box(account.open()).close(BodyOutcome::Complete));
}

/// The time from the moment at which all threads are ready to the end of the last.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures time and needs threads of its own"
)]
fn on_threads(threads: u64, work: impl Fn() + Sync) -> Duration {
    let ready = Barrier::new(threads as usize + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    let started = Instant::now();
                    work();
                    (started, Instant::now())
                })
            })
            .collect();
        ready.wait();
        let spans: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().expect("the work does not panic"))
            .collect();
        let started = spans.iter().map(|(started, _)| *started).min();
        let ended = spans.iter().map(|(_, ended)| *ended).max();
        ended
            .zip(started)
            .map_or(Duration::ZERO, |(ended, started)| ended - started)
    })
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

criterion_group!(benches, one_thread, threads, scrape);
criterion_main!(benches);
