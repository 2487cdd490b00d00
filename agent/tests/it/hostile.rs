//! Targets that do what no target should, and what comes of scraping them: health, samples and the exact message.
//!
//! Every row is a server that is told byte by byte what to do, the settings of its job, and the outcome. They are
//! scraped a dozen at a time, so that those that hang cost little. The same rows are given to Debian's
//! Prometheus by `peers::differential`.

mod encodings;
mod heads;
mod lines;
mod openmetrics;
mod settings;
mod statuses;
mod texts;
mod transport;
mod values;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use expect_test::Expect;
use leak_agent::catalogue::Catalogue;
use leak_agent::config::Config;
use leak_agent::discovery::Target;
use leak_agent::scrape::{self, Sample, Scrape};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::wire::certificates::{Authority, Identity};
use crate::wire::{Server, Step, response};

pub(crate) const TEXT: &str = "content-type: text/plain; version=0.0.4; charset=utf-8";
pub(crate) const OPEN_METRICS: &str =
    "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
const GZIP: &str = "content-encoding: gzip";
/// A body in order.
const BODY: &str = "# TYPE go_goroutines gauge\ngo_goroutines 12\nother 1\n";

/// Rows that are scraped at once: those that hang wait together, and those that work leave each other time.
const AT_ONCE: usize = 12;

/// One hostile target.
pub(crate) struct Case {
    /// What it does.
    pub(crate) name: &'static str,
    /// Keys of its job, one a line.
    pub(crate) settings: &'static str,
    server: Behaviour,
    /// What comes of it.
    expected: Expect,
    /// What may come of it instead, where two ends race.
    otherwise: &'static [&'static str],
    /// Whether Prometheus is given it too, or why not.
    pub(crate) compared: Result<(), &'static str>,
}

/// How a target behaves.
enum Behaviour {
    /// Nobody listens.
    Nobody,
    /// It plays a script, a new one for each connection as far as there are.
    Plain(Vec<Vec<Step>>),
    /// The same over TLS.
    Encrypted(Shows, Vec<Step>),
}

/// The certificate that a target shows; it is signed by the authority of the suite unless it says otherwise.
#[derive(Clone, Copy)]
enum Shows {
    Good,
    Expired,
    OtherName,
    SelfSigned,
    /// A good one, and it asks for one in return.
    AndAsks,
}

impl Case {
    fn set(mut self, settings: &'static str) -> Self {
        self.settings = settings;
        self
    }

    fn or(mut self, otherwise: &'static [&'static str]) -> Self {
        self.otherwise = otherwise;
        self
    }

    /// Prometheus is not given this row.
    fn alone(mut self, why: &'static str) -> Self {
        self.compared = Err(why);
        self
    }
}

fn case(name: &'static str, server: Behaviour, expected: Expect) -> Case {
    Case {
        name,
        settings: "",
        server,
        expected,
        otherwise: &[],
        compared: Ok(()),
    }
}

/// A target that plays these steps on every connection.
fn steps(name: &'static str, script: Vec<Step>, expected: Expect) -> Case {
    case(name, Behaviour::Plain(vec![script]), expected)
}

/// A target that reads the request and answers these bytes.
fn raw(name: &'static str, bytes: impl AsRef<[u8]>, expected: Expect) -> Case {
    let send = Step::Send(bytes.as_ref().to_vec());
    steps(name, vec![Step::Head, send], expected)
}

/// A target that answers in order, with these header lines and this body.
fn answer(name: &'static str, headers: &[&str], body: impl AsRef<[u8]>, expected: Expect) -> Case {
    raw(name, response("200 OK", headers, body), expected)
}

/// A body in Prometheus' text format.
fn text(name: &'static str, body: impl AsRef<[u8]>, expected: Expect) -> Case {
    answer(name, &[TEXT], body, expected)
}

/// A body in OpenMetrics.
fn open_metrics(name: &'static str, body: impl AsRef<[u8]>, expected: Expect) -> Case {
    answer(name, &[OPEN_METRICS], body, expected)
}

/// The head of an answer of 200 with these further lines.
fn head(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{TEXT}\r\n{lines}\r\n").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

/// Every row.
pub(crate) fn cases() -> Vec<Case> {
    [
        transport::cases(),
        heads::cases(),
        statuses::cases(),
        encodings::cases(),
        texts::cases(),
        lines::cases(),
        values::cases(),
        openmetrics::cases(),
        settings::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The servers of all rows, and the authority that signs for them.
pub(crate) struct Stage {
    /// Holds the authority's certificate.
    directory: TempDir,
    /// In the order of the rows; where nobody listens there is none.
    servers: Vec<Option<Server>>,
}

impl Stage {
    pub(crate) async fn of(cases: &[Case]) -> Self {
        let authority = Authority::new();
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), &authority.pem).expect("a file");
        let mut servers = Vec::new();
        for case in cases {
            servers.push(match &case.server {
                Behaviour::Nobody => None,
                Behaviour::Plain(scripts) => Some(Server::start(None, scripts.clone()).await),
                Behaviour::Encrypted(shows, script) => {
                    let identity = match shows {
                        Shows::Good | Shows::AndAsks => authority.identity("127.0.0.1"),
                        Shows::Expired => authority.expired("127.0.0.1"),
                        Shows::OtherName => authority.identity("elsewhere.example.org"),
                        Shows::SelfSigned => Identity::self_signed("127.0.0.1", false),
                    };
                    let clients = matches!(shows, Shows::AndAsks).then_some(&authority);
                    let tls = identity.server(&[], clients);
                    Some(Server::start(Some(tls), vec![script.clone()]).await)
                }
            });
        }
        Self { directory, servers }
    }

    fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Where the target of a row is.
    pub(crate) fn address(&self, index: usize) -> String {
        match &self.servers[index] {
            Some(server) => server.address.to_string(),
            // Port 1 is nobody's.
            None => "127.0.0.1:1".to_owned(),
        }
    }

    /// The job of a row, as YAML under `scrape_configs`.
    pub(crate) fn job(&self, index: usize, case: &Case) -> String {
        let mut job = format!(
            "  - job_name: 'case{index}'\n    static_configs: [{{ targets: ['{}'], labels: {{ instance: i }} }}]\n",
            self.address(index)
        );
        if let Behaviour::Encrypted(..) = case.server {
            let _ = writeln!(job, "    scheme: https");
            if !case.settings.contains("tls_config") {
                let _ = writeln!(
                    job,
                    "    tls_config: {{ ca_file: '{}' }}",
                    self.ca_file().display()
                );
            }
        }
        for line in case.settings.lines() {
            let _ = writeln!(job, "    {}", line.trim());
        }
        job
    }

    fn target(&self, index: usize, case: &Case) -> Arc<Target> {
        let text = format!(
            "global: {{ scrape_interval: 60s, scrape_timeout: 60s }}\nscrape_configs:\n{}",
            self.job(index, case)
        );
        let config = Config::parse(&text);
        let config = config.unwrap_or_else(|mistakes| panic!("{}: {mistakes}", case.name));
        Arc::clone(&config.targets()[0])
    }
}

/// The name and the labels of a sample, less those that it has from its target.
pub(crate) fn own_series(sample: &Sample) -> String {
    let own = sample
        .labels
        .retain(|name| name != "job" && name != "instance");
    match own.len() {
        0 => sample.name.to_string(),
        _ => format!("{}{own}", sample.name),
    }
}

/// What came of a scrape, as text on one line.
fn told(scrape: &Scrape) -> String {
    let mut told = String::new();
    match &scrape.result {
        Ok(samples) => {
            let _ = write!(told, "up");
            for sample in samples {
                let _ = write!(told, " | {} {}", own_series(sample), sample.value);
                if let Some(at) = sample.at {
                    let _ = write!(told, " @{}", at.millis());
                }
            }
        }
        Err(error) => {
            let _ = write!(told, "down: {error}");
        }
    }
    if scrape.notes.duplicates > 0 {
        let _ = write!(told, " | duplicates: {}", scrape.notes.duplicates);
    }
    if let Some(warning) = &scrape.notes.warning {
        let _ = write!(told, " | warning: {warning}");
    }
    let plain = |character: char| match character {
        '\u{202e}' => "\\u{202e}".to_owned(),
        _ if character.is_control() => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    told.chars().map(plain).collect()
}

/// What comes of every row, in their order.
pub(crate) async fn outcomes(cases: &[Case], stage: &Stage) -> Vec<Scrape> {
    let catalogue = Arc::new(Catalogue::built_in());
    let mut running = JoinSet::new();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    for (index, case) in cases.iter().enumerate() {
        let target = stage.target(index, case);
        let catalogue = Arc::clone(&catalogue);
        let turn = Arc::clone(&turns);
        #[expect(
            clippy::disallowed_methods,
            reason = "the rows of a test run side by side, and end with it"
        )]
        running.spawn(async move {
            let _turn = turn.acquire().await.expect("it is never closed");
            (index, scrape::once(&target, &catalogue).await)
        });
    }
    let mut outcomes = Vec::new();
    while let Some(joined) = running.join_next().await {
        outcomes.push(joined.expect("no scrape panics"));
    }
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, scrape)| scrape).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_target_is_read_or_told_apart() {
    let cases = cases();
    assert!(cases.len() >= 90, "{}", cases.len());
    let stage = Stage::of(&cases).await;
    for (index, (case, scrape)) in cases.iter().zip(outcomes(&cases, &stage).await).enumerate() {
        let told = told(&scrape)
            .replace(&stage.address(index), "HOST")
            .replace(&format!("job=\"case{index}\""), "job=\"j\"");
        if !case.otherwise.contains(&told.as_str()) {
            eprintln!("{}", case.name);
            case.expected.assert_eq(&told);
        }
    }
}

#[test]
fn no_two_rows_have_a_name() {
    let cases = cases();
    let mut names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
}
