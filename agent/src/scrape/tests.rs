//! Real sockets on loopback, with servers that do what no server should.

mod beats;
mod hostile;
mod series;
mod server;

use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::config::Config;

/// A target at `address` whose job has these further settings, as YAML lines.
fn target(address: &str, settings: &str) -> Arc<Target> {
    let settings: String = settings
        .lines()
        .map(|line| format!("    {}\n", line.trim()))
        .collect();
    let text = format!(
        "global: {{ scrape_interval: 60s, scrape_timeout: 60s }}\nscrape_configs:\n  - job_name: j\n    \
         static_configs: [{{ targets: [\"{address}\"], labels: {{ instance: i }} }}]\n{settings}"
    );
    let config = Config::parse(&text).expect("a configuration");
    Arc::clone(&config.targets()[0])
}

fn watched(target: &Arc<Target>) -> Watched {
    Watched::new(Arc::clone(target), Arc::new(Catalogue::built_in()))
}

async fn scrape_once(target: &Arc<Target>) -> Scrape {
    let client = HttpClient::new(target.settings.http.clone(), 1);
    scrape(&client, target, &mut watched(target)).await
}

/// What came of a scrape, as text.
fn told(scrape: &Scrape) -> String {
    let mut told = String::new();
    match &scrape.result {
        Ok(samples) => {
            for sample in samples {
                let at = sample
                    .at
                    .map_or(String::new(), |at| format!(" @{}", at.millis()));
                let _ = writeln!(
                    told,
                    "{}{} {}{at}",
                    sample.name, sample.labels, sample.value
                );
            }
        }
        Err(error) => {
            let _ = writeln!(told, "error: {error}");
        }
    }
    if let Some(warning) = &scrape.notes.warning {
        let _ = writeln!(told, "warning: {warning}");
    }
    told
}
