//! A labelled corpus as leakbench writes it: OpenMetrics text with the labels `job` and `instance`, a line of labels for
//! each job.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use crate::it::simulator::Scrape;

/// One job of the corpus.
#[derive(Default)]
pub(crate) struct Job {
    /// The metric under test.
    metric: String,
    pub(crate) bytes: bool,
    /// Seconds after the first sample.
    pub(crate) onset: Option<f64>,
    pub(crate) seconds: f64,
    /// By time: one instance at a time.
    pub(crate) scrapes: Vec<(f64, Scrape)>,
}

/// The columns of one instance.
#[derive(Default)]
struct Columns {
    level: Vec<(f64, f64)>,
    requests: Vec<f64>,
    starts: Vec<f64>,
}

/// Reads `corpus.om` and `labels.jsonl` of a folder.
pub(crate) fn read(folder: &str) -> Option<Vec<Job>> {
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    for line in lines(&format!("{folder}/labels.jsonl"))? {
        let first: f64 = field(&line, "first")?.parse().ok()?;
        let last: f64 = field(&line, "last")?.parse().ok()?;
        let job = Job {
            metric: field(&line, "metric")?.to_owned(),
            bytes: field(&line, "metric")?.contains("bytes"),
            onset: field(&line, "onset")?
                .parse()
                .ok()
                .map(|onset: f64| onset - first),
            seconds: last - first,
            scrapes: Vec::new(),
        };
        jobs.insert(field(&line, "job")?.to_owned(), job);
    }
    let mut instances: BTreeMap<(String, String), Columns> = BTreeMap::new();
    for line in lines(&format!("{folder}/corpus.om"))? {
        let Some((head, tail)) = line.split_once("\"} ") else {
            continue;
        };
        let (name, labels) = head.split_once("{job=\"")?;
        let (job, instance) = labels.split_once("\",instance=\"")?;
        let (value, at) = tail.split_once(' ')?;
        let value: f64 = value.parse().ok()?;
        let columns = instances
            .entry((job.to_owned(), instance.to_owned()))
            .or_default();
        match name {
            "http_requests_total" => columns.requests.push(value),
            "process_start_time_seconds" => columns.starts.push(value),
            _ if jobs.get(job)?.metric != name => {}
            _ => columns.level.push((at.parse().ok()?, value)),
        }
    }
    const EPOCH: f64 = 1_700_000_000.0;
    for (number, ((job, _), columns)) in (0..).zip(instances) {
        let job = jobs.get_mut(&job)?;
        for (index, (at, level)) in columns.level.into_iter().enumerate() {
            let scrape = Scrape {
                instance: number,
                started: columns.starts.get(index).copied().unwrap_or(EPOCH) - EPOCH,
                level,
                load: columns.requests.get(index).copied(),
            };
            job.scrapes.push((at - EPOCH, scrape));
        }
    }
    let mut jobs: Vec<Job> = jobs.into_values().collect();
    for job in &mut jobs {
        job.scrapes.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }
    Some(jobs)
}

fn lines(path: &str) -> Option<impl Iterator<Item = String>> {
    #[expect(
        clippy::disallowed_types,
        reason = "an example reads its input; the library does no IO"
    )]
    let file = std::fs::File::open(path).ok()?;
    Some(BufReader::new(file).lines().map_while(Result::ok))
}

/// A field of a line of JSON that holds no nested object, as text without quotes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\": "))?;
    let end = rest.find([',', '}'])?;
    Some(rest[..end].trim_matches('"'))
}
