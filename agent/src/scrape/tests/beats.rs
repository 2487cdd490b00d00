use std::collections::HashMap;
use std::time::Duration;

use super::server::{Server, Step, TEXT, response};
use super::*;
use crate::config::Config;

fn config(addresses: &[&str]) -> Config {
    Config::parse(&format!(
        "global: {{ scrape_interval: 100ms, scrape_timeout: 100ms }}\nscrape_configs:\n  - job_name: j\n    \
         static_configs: [{{ targets: [\"{}\"] }}]\n",
        addresses.join("\", \"")
    ))
    .expect("a configuration")
}

fn start(config: &Config, ledger: &Ledger) -> (Scraper, mpsc::Receiver<Scrape>) {
    let (sender, receiver) = mpsc::channel(16);
    let catalogue = Arc::new(config.catalogue());
    let mut scraper = Scraper::new(catalogue, Labels::empty(), sender, ledger);
    scraper.set_targets(&config.targets());
    (scraper, receiver)
}

#[tokio::test]
async fn every_target_is_scraped_on_its_own_beat() {
    let good = Server::start(vec![response(&[TEXT], "go_goroutines 1\n")]).await;
    let hung = Server::start(vec![Step::Hang]).await;
    let config = config(&[&good.address, &hung.address]);
    let ledger = Ledger::new(resource_ledger::Settings::default());
    let (scraper, mut receiver) = start(&config, &ledger);
    let mut beats: HashMap<Arc<str>, Vec<Scrape>> = HashMap::new();
    while beats.len() < 2 || beats.values().any(|scrapes| scrapes.len() < 4) {
        let scrape = receiver.recv().await.expect("the tasks live");
        beats
            .entry(Arc::clone(&scrape.target.instance))
            .or_default()
            .push(scrape);
    }
    for scrapes in beats.values() {
        let gaps: Vec<f64> = scrapes
            .windows(2)
            .map(|pair| pair[1].at - pair[0].at)
            .collect();
        // Never two at once, and no faster than the interval but to catch up one late beat.
        assert!(
            scrapes
                .windows(2)
                .all(|pair| pair[1].at >= pair[0].at + pair[0].duration - Duration::from_millis(2))
        );
        assert!(
            gaps.iter().sum::<f64>() >= 0.1 * (gaps.len() as f64 - 1.0),
            "{gaps:?}"
        );
    }
    assert!(
        beats[&*hung.address]
            .iter()
            .all(|scrape| scrape.result.is_err())
    );
    assert!(
        beats[&*good.address]
            .iter()
            .all(|scrape| scrape.result.is_ok())
    );
    drop(scraper);
    while receiver.recv().await.is_some() {}
}

#[tokio::test]
async fn tasks_are_counted_and_end_with_the_set_or_with_the_receiver() {
    let ledger = Ledger::new(resource_ledger::Settings::default());
    let config = config(&["127.0.0.1:1", "127.0.0.2:1"]);
    let open = || -> u64 {
        ledger
            .snapshot()
            .accounts
            .iter()
            .map(|account| account.open)
            .sum()
    };

    let (scraper, mut receiver) = start(&config, &ledger);
    assert_eq!(open(), 2);
    drop(scraper);
    // The last of them takes the channel's other end along.
    while receiver.recv().await.is_some() {}
    assert_eq!(open(), 0);

    let (scraper, receiver) = start(&config, &ledger);
    drop(receiver);
    scraper.ended().await;
    assert_eq!(open(), 0);
}

/// Targets of one job at these addresses, with this line of settings.
fn targets(addresses: &[&str], settings: &str) -> Vec<Arc<Target>> {
    let text = format!(
        "global: {{ scrape_interval: 100ms, scrape_timeout: 100ms }}\nscrape_configs:\n  - job_name: j\n    \
         static_configs: [{{ targets: [\"{}\"] }}]\n    {settings}\n",
        addresses.join("\", \"")
    );
    Config::parse(&text).expect("a configuration").targets()
}

#[tokio::test]
async fn a_new_list_leaves_alone_what_did_not_change() {
    let ledger = Ledger::new(resource_ledger::Settings::default());
    let counts = || {
        let snapshot = ledger.snapshot();
        let opened: u64 = snapshot.accounts.iter().map(|own| own.opened).sum();
        let open: u64 = snapshot.accounts.iter().map(|own| own.open).sum();
        (opened, open)
    };
    let (sender, mut receiver) = mpsc::channel(16);
    let catalogue = Arc::new(Catalogue::built_in());
    let mut scraper = Scraper::new(catalogue, Labels::empty(), sender, &ledger);
    let both = ["127.0.0.1:1", "127.0.0.2:1"];
    scraper.set_targets(&targets(&both, ""));
    assert_eq!(counts(), (2, 2));
    // The same, read again from the same text.
    scraper.set_targets(&targets(&both, ""));
    assert_eq!(counts().0, 2);
    // A target that is listed twice is scraped once.
    let twice = [targets(&both, ""), targets(&both, "")].concat();
    scraper.set_targets(&twice);
    assert_eq!(counts().0, 2);
    scraper.set_targets(&targets(&both, "bearer_token: x"));
    assert_eq!(counts().0, 4);
    assert_eq!(scraper.clients.len(), 1);
    scraper.set_targets(&targets(&both[..1], "bearer_token: x"));
    assert_eq!(counts().0, 4);
    scraper.set_targets(&[]);
    assert_eq!((counts().0, scraper.clients.len()), (4, 0));
    drop(scraper);
    while receiver.recv().await.is_some() {}
    assert_eq!(counts(), (4, 0));
}

#[tokio::test]
async fn a_job_with_too_many_targets_is_not_scraped_at_all() {
    let server = Server::start(vec![response(&[TEXT], "go_goroutines 1\n")]).await;
    let ledger = Ledger::new(resource_ledger::Settings::default());
    let (sender, mut receiver) = mpsc::channel(16);
    let catalogue = Arc::new(Catalogue::built_in());
    let mut scraper = Scraper::new(catalogue, Labels::empty(), sender, &ledger);
    let limit = "target_limit: 1";
    scraper.set_targets(&targets(&[&server.address, "127.0.0.2:1"], limit));
    for _ in 0..4 {
        let scrape = receiver.recv().await.expect("the tasks live");
        assert_eq!(scrape.result, Err(ScrapeError::TargetLimit(1)));
    }
    assert_eq!(server.requests().len(), 0);
    scraper.set_targets(&targets(&[&server.address], limit));
    while receiver
        .recv()
        .await
        .expect("the task lives")
        .result
        .is_err()
    {}
    assert!(!server.requests().is_empty());
}
