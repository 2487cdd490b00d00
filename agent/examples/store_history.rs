//! How long an agent takes to read the history of a store at its start: 20,000 series over 14 days at 5-minute steps.
//!
//! `cargo run --release -p leak-agent --example store_history [SERIES [DAYS [URL]]]`. Without a URL the store is one of
//! our own on loopback, which makes up its answers and counts how many are asked for at once; with one, it is whatever
//! listens there. The agent is the real one, from its configuration to its first evaluation.

#[path = "store_history/store.rs"]
mod store;

use std::error::Error;
use std::time::{Duration, Instant};

use leak_agent::agent::Agent;
use leak_agent::config::Config;
use serde_json::Value;

use store::Store;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (series, days) = (number(20_000)?, number(14)?);
    let own = Store::start(series).await?;
    let url = arguments.next().unwrap_or_else(|| own.url());
    let directory = std::env::temp_dir().join(format!("store-history-{}", std::process::id()));
    let text = format!(
        "sources: [{{ url: \"{url}\", lookback: {days}d, step: 5m }}]\n\
         storage: {{ path: {directory:?} }}\nweb: {{ listen: \"127.0.0.1:0\" }}\n"
    );
    let begun_at = now();
    let agent = Agent::start(Config::parse(&text)?).await?;
    let api = format!("http://{}/api/v1/targets", agent.web_addr());
    let client = leak_agent::http_client::builder().no_proxy().build()?;
    let source = loop {
        let answer: Value = client.get(&api).send().await?.json().await?;
        let source = answer["data"]["sources"][0].clone();
        match source["health"].as_str() {
            Some("up") => break source,
            Some("down") => return Err(format!("{source}").into()),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let seconds = begun_at.elapsed().as_secs_f64();
    let samples = source["samples"].as_f64().unwrap_or(0.0);
    println!(
        "{series} series over {days} days at 5-minute steps: {samples} samples read and judged in {seconds:.1} s ({:.0} a second), {} questions, at most {} at once, {} MiB resident",
        samples / seconds,
        own.questions(),
        own.most(),
        resident_mebibytes(),
    );
    agent.shutdown().await;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example measures time by itself"
)]
fn now() -> Instant {
    Instant::now()
}

/// The most that this process has held.
fn resident_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}
