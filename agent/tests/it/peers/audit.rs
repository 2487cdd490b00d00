//! An audit of a fleet in a real Prometheus, backfilled with three days: it names the leaks that are there, the deaths
//! that they led to, and nothing else.

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::process::{Process, binary, free_port, wait_for_200};

const STEP: i64 = 60;
const HOUR: f64 = 3600.0;
const DAYS: f64 = 3.0;

/// What a service of the fleet does.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Healthy,
    /// Leaks descriptors until they are used up, and is restarted then.
    Descriptors,
    /// Leaks goroutines, and memory with them, until its container is killed.
    Memory,
    /// All its processes begin anew at once.
    Deployed,
    /// Its pods are replaced by others.
    Renamed,
}

struct Instance {
    job: String,
    pod: String,
    number: i64,
    kind: Kind,
}

impl Instance {
    /// How long a life lasts, in seconds, and how old the process is when the fleet is seen first.
    fn life(&self) -> (f64, f64) {
        let number = self.number as f64;
        match self.kind {
            Kind::Descriptors => (
                20.0 * HOUR + 900.0 * number,
                5.0 * HOUR + 7.0 * HOUR * number,
            ),
            Kind::Memory => (
                15.0 * HOUR + 1500.0 * number,
                2.0 * HOUR + 5.0 * HOUR * number,
            ),
            Kind::Deployed => (1e9, 40.0 * HOUR),
            Kind::Healthy | Kind::Renamed => (1e9, 30.0 * HOUR + 3.0 * HOUR * number),
        }
    }

    /// Seconds since its process began, and how often it has begun anew; `None` while it is not there.
    fn age(&self, at: f64) -> Option<(f64, f64)> {
        let (life, before) = self.life();
        let middle = DAYS * 12.0 * HOUR + 20.0 * self.number as f64;
        match self.kind {
            Kind::Deployed if at >= middle => Some((at - middle, 1.0)),
            Kind::Renamed if self.pod.ends_with("-new") => {
                (at >= middle).then_some((at - middle, 0.0))
            }
            Kind::Renamed => (at < middle).then_some((at + before, 0.0)),
            _ => {
                let lives = ((at + before) / life).floor();
                Some((at + before - lives * life, lives))
            }
        }
    }

    /// A number between -1 and 1 that looks like chance and is the same on each run.
    fn noise(&self, at: f64) -> f64 {
        let mut hash =
            (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (self.pod.len() as u64) << 32;
        for byte in self.pod.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 29;
        (hash % 20_001) as f64 / 10_000.0 - 1.0
    }

    fn descriptors(&self, at: f64, age: f64) -> f64 {
        let busy = 60.0 + 40.0 * day(at) + 6.0 * self.noise(at);
        let leaked = if self.kind == Kind::Descriptors {
            1024.0 * age / self.life().0
        } else {
            0.0
        };
        (busy + leaked).min(1024.0).round()
    }

    fn memory(&self, at: f64, age: f64) -> f64 {
        let busy = 2e8 + 2e7 * day(at) + 6e6 * self.noise(at + 7.0);
        let leaked = if self.kind == Kind::Memory {
            1.2e9 * age / self.life().0
        } else {
            0.0
        };
        (busy + leaked).round()
    }

    /// What leaks memory does so by tasks that wait for ever, as most do.
    fn goroutines(&self, at: f64, age: f64) -> f64 {
        let busy = 150.0 + 80.0 * day(at) + 10.0 * self.noise(at + 13.0);
        let leaked = if self.kind == Kind::Memory {
            9000.0 * age / self.life().0
        } else {
            0.0
        };
        (busy + leaked).round()
    }

    fn labels(&self) -> String {
        format!(
            r#"job="{}",namespace="shop",pod="{}",instance="{}:8080""#,
            self.job, self.pod, self.pod
        )
    }
}

/// The load of a day: 0 to 1.
fn day(at: f64) -> f64 {
    0.5 + 0.5 * (at / 86_400.0 * TAU).sin()
}

fn fleet() -> Vec<Instance> {
    let mut fleet = Vec::new();
    let mut add = |job: &str, pods: &[&str], kind: Kind| {
        for (number, pod) in pods.iter().enumerate() {
            fleet.push(Instance {
                job: job.to_owned(),
                pod: format!("{job}-{pod}"),
                number: number as i64 % 2,
                kind,
            });
        }
    };
    for job in ["cart", "mail", "news", "price", "search", "stock"] {
        add(job, &["0", "1"], Kind::Healthy);
    }
    add("gateway", &["0", "1"], Kind::Descriptors);
    add("render", &["0", "1"], Kind::Memory);
    add("login", &["0", "1", "2"], Kind::Deployed);
    add(
        "front",
        &["0-old", "1-old", "0-new", "1-new"],
        Kind::Renamed,
    );
    fleet
}

/// The fleet from `begin` on, in unix seconds, as OpenMetrics.
fn exposition(fleet: &[Instance], begin: i64) -> String {
    type Value = fn(&Instance, f64, f64, f64) -> f64;
    let families: [(&str, &str, Value); 7] = [
        ("process_open_fds", "gauge", |own, at, age, _| {
            own.descriptors(at, age)
        }),
        ("process_max_fds", "gauge", |_, _, _, _| 1024.0),
        (
            "process_resident_memory_bytes",
            "gauge",
            |own, at, age, _| own.memory(at, age),
        ),
        ("go_goroutines", "gauge", |own, at, age, _| {
            own.goroutines(at, age)
        }),
        ("http_requests", "counter", |_, at, age, _| {
            let done = |at: f64| 20.0 * at - 10.0 * 86_400.0 / TAU * (at / 86_400.0 * TAU).cos();
            (done(at) - done(at - age)).max(0.0).round()
        }),
        ("process_start_time_seconds", "gauge", |_, at, age, _| {
            (at - age).round()
        }),
        ("up", "gauge", |_, _, _, _| 1.0),
    ];
    let mut text = String::new();
    let end = (DAYS * 86_400.0) as i64;
    for (family, kind, value) in families {
        let _ = writeln!(text, "# TYPE {family} {kind}");
        let name = if kind == "counter" {
            format!("{family}_total")
        } else {
            family.to_owned()
        };
        for own in fleet {
            for at in (own.number * 7..end).step_by(STEP as usize) {
                let Some((age, lives)) = own.age(at as f64) else {
                    continue;
                };
                let mut value = value(own, at as f64, age, lives);
                if family == "process_start_time_seconds" {
                    value += begin as f64;
                }
                let _ = writeln!(text, "{name}{{{}}} {value} {}", own.labels(), begin + at);
            }
        }
    }
    containers(fleet, begin, end, &mut text);
    text + "# EOF\n"
}

/// What Kubernetes says of the containers that are killed.
fn containers(fleet: &[Instance], begin: i64, end: i64, text: &mut String) {
    let killed: Vec<&Instance> = fleet
        .iter()
        .filter(|own| own.kind == Kind::Memory)
        .collect();
    let labels = |own: &Instance| {
        format!(
            r#"job="kube-state-metrics",instance="ksm:8080",namespace="shop",pod="{}",container="app""#,
            own.pod
        )
    };
    for (family, kind) in [
        ("kube_pod_container_status_last_terminated_reason", "gauge"),
        ("kube_pod_container_status_restarts", "counter"),
    ] {
        let _ = writeln!(text, "# TYPE {family} {kind}");
        for own in &killed {
            for at in (30..end).step_by(STEP as usize) {
                let lives = own.age(at as f64).map_or(0.0, |(_, lives)| lives);
                let at = begin + at;
                let _ = match kind {
                    "gauge" if lives == 0.0 => Ok(()),
                    "gauge" => writeln!(
                        text,
                        "{family}{{{},reason=\"OOMKilled\"}} 1 {at}",
                        labels(own)
                    ),
                    _ => writeln!(text, "{family}_total{{{}}} {lives} {at}", labels(own)),
                };
            }
        }
    }
}

/// A Prometheus that has stored the fleet.
async fn start_prometheus(directory: &Path, begin: i64) -> (Process, String) {
    let file = directory.join("fleet.om");
    let data = directory.join("prometheus");
    std::fs::write(&file, exposition(&fleet(), begin)).expect("the fleet is written");
    let filled = Command::new("promtool")
        // A flag that promtool's help hides: one pass over the file for each block.
        .args([
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "--quiet",
            "--max-block-duration=24h",
        ])
        .args([&file, &data])
        .output()
        .expect("promtool runs");
    assert!(
        filled.status.success(),
        "{}",
        String::from_utf8_lossy(&filled.stderr)
    );
    let port = free_port();
    let process = Process::prometheus(directory, "scrape_configs: []\n", port);
    let url = format!("http://127.0.0.1:{port}");
    wait_for_200(&format!("{url}/-/ready")).await;
    (process, url)
}

fn audit(url: &str, begin: i64, more: &[&str]) -> Output {
    let (from, to) = (
        begin.to_string(),
        (begin + (DAYS * 86_400.0) as i64).to_string(),
    );
    Command::new(binary("leak-agent"))
        .args(["audit", "--prometheus", url, "--from", &from, "--to", &to])
        .args(more)
        .output()
        .expect("the audit runs")
}

/// The workloads of the suspected leaks, or of the likely false alerts.
fn named<'t>(summary: &'t str, section: &str) -> Vec<&'t str> {
    let lines = summary.lines().skip_while(|line| *line != section).skip(1);
    let own = lines
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("    "));
    own.map(str::trim).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's prometheus and promtool: .ci/run runs it"]
async fn an_audit_names_the_leaks_of_a_fleet_and_nothing_else() {
    let directory = TempDir::new().expect("a temporary directory");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    // Whole days that are over.
    let begin = (now.as_secs() as i64 / 86_400 - DAYS as i64) * 86_400;
    let (_prometheus, url) = start_prometheus(directory.path(), begin).await;
    let report = directory.path().join("report.html");
    let output = audit(&url, begin, &["--html", &report.display().to_string()]);
    let summary = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success(),
        "{summary}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{summary}");

    let mut suspects = named(&summary, "Suspected leaks");
    suspects.sort_unstable();
    assert_eq!(
        suspects,
        [
            "gateway (namespace shop): file descriptors",
            "render (namespace shop): threads or goroutines"
        ],
        "{summary}"
    );
    assert_eq!(named(&summary, "Likely false alerts"), [""; 0], "{summary}");
    let page = std::fs::read_to_string(&report).expect("a report");
    for expected in [
        "gateway (namespace shop): file descriptors",
        "killed for memory",
        "out of descriptors",
        "data:image/svg+xml",
        "login",
    ] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    for foreign in ["<script", "<link", "http-equiv=\"refresh\"", "url(http"] {
        assert!(
            !page.contains(foreign),
            "{foreign} is in a report that needs nothing else"
        );
    }
    let line = |name: &str| {
        summary
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
    };
    assert!(
        line("Deaths").ends_with("9 killed for memory, 7 out of descriptors"),
        "{summary}"
    );
    assert!(
        line("Rollouts").contains("2, which are no deaths"),
        "{summary}"
    );
}
