//! The storm of the article: each request fans out to three upstreams, and one of them stops answering for a minute.
//!
//! `cargo build --release -p instrumented-gateway --bins --example article_storm`, then
//! `target/release/examples/article_storm [--rate 5000] [--calm 15] [--storm 60]`. It runs the gateway beside it as a
//! process of its own, with policy `partial`, drives it in an open loop (what is late counts as late, from the moment at
//! which it was due), and prints what the gateway promises beside what was measured. Without `--rate` it takes the highest
//! that this machine holds in the calm, up to 5,000 requests a second. It ends with 1 where an aim is missed.

mod figures;
mod gateway;
mod load;
mod report;
mod upstream;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use figures::Answer;
use gateway::Gateway;
use load::{Load, Route};
use report::Report;
use upstream::Upstream;

/// The fan-out's deadline.
const DEADLINE: Duration = Duration::from_millis(500);
/// Requests a second on the other route, beside the fan-out's.
const OTHER_RATE: u32 = 200;
const RATES: [u32; 7] = [5000, 4000, 3000, 2000, 1500, 1000, 500];
const TRIAL: Duration = Duration::from_secs(4);
/// A rate is held where, in the calm, so many of 1,000 answers are whole and 99 of 100 come within this.
const HELD_PER_MILLE: usize = 999;
const HELD_P99: Duration = Duration::from_millis(50);
const RECOVERY: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run(&arguments))?;
    print!("{report}");
    if report.misses() > 0 {
        std::process::exit(1);
    }
    Ok(())
}

struct Arguments {
    rate: Option<u32>,
    calm: Duration,
    storm: Duration,
}

impl Arguments {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut read = Self {
            rate: None,
            calm: Duration::from_secs(15),
            storm: Duration::from_secs(60),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} needs a number"))?;
            let value: u32 = value.parse()?;
            match name.as_str() {
                "--rate" => read.rate = Some(value),
                "--calm" => read.calm = Duration::from_secs(value.into()),
                "--storm" => read.storm = Duration::from_secs(value.into()),
                _ => return Err(format!("{name}: there are --rate, --calm and --storm").into()),
            }
        }
        Ok(read)
    }
}

async fn run(arguments: &Arguments) -> Result<Report, Box<dyn Error>> {
    let upstreams = [
        Upstream::start().await?,
        Upstream::start().await?,
        Upstream::start().await?,
    ];
    let mut gateway = Gateway::start(&upstreams.each_ref().map(Upstream::address), DEADLINE)?;
    let load = Arc::new(Load::new(gateway.listen()));
    let rate = match arguments.rate {
        Some(rate) => rate,
        None => held_rate(&load).await,
    };
    eprintln!(
        "{rate} requests a second, each asking three upstreams; {OTHER_RATE} on another route"
    );
    load.run(rate, OTHER_RATE, TRIAL).await;
    load.settled().await;

    eprintln!("calm for {:?}", arguments.calm);
    load.run(rate, OTHER_RATE, arguments.calm).await;
    let calm = load.settled().await;

    eprintln!("one upstream stops answering for {:?}", arguments.storm);
    upstreams[2].stop_answering();
    let watched = gateway.watch_memory(arguments.storm);
    let (memory, ()) = tokio::join!(watched, load.run(rate, OTHER_RATE, arguments.storm));
    let stormed = now();
    upstreams[2].answer_again();

    eprintln!("it answers again");
    load.run(rate, OTHER_RATE, RECOVERY).await;
    let (storm, recovery) = load.settled().await.split(stormed);
    drop(load);
    let left = gateway.left_open().await?;
    gateway.stop()?;
    Ok(Report {
        rate,
        deadline: DEADLINE,
        calm,
        storm,
        recovered_after: recovery.recovered_after(stormed, DEADLINE),
        memory,
        left,
    })
}

/// The highest rate that comes back whole and in time while all upstreams are well.
async fn held_rate(load: &Arc<Load>) -> u32 {
    for rate in RATES {
        load.run(rate, OTHER_RATE, TRIAL).await;
        let figures = load.settled().await;
        let whole = figures.count(Route::FanOut, |answer| matches!(answer, Answer::Whole));
        let all = figures.count(Route::FanOut, |_| true);
        let p99 = figures.percentile(Route::FanOut, 0.99);
        eprintln!("trial at {rate}/s: {whole} of {all} whole, p99 {p99:?}");
        if whole * 1000 >= all * HELD_PER_MILLE && p99 <= HELD_P99 {
            return rate;
        }
    }
    RATES[RATES.len() - 1]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what drives the gateway is not the gateway's to count"
)]
fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    tokio::spawn(task)
}
