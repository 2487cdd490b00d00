//! A small fleet, and what each of its instances exposes at any time: a function of the time and nothing else.

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// One process of the fleet.
pub(crate) struct Instance {
    pub(crate) job: String,
    pub(crate) name: String,
    part: Part,
    /// A number of its own, for its noise.
    seed: u64,
}

/// What it does.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// A gateway; one of them has begun to leave tasks behind, minutes ago.
    Gateway { leaks: bool },
    /// A Go service whose goroutines have grown since its last rollout.
    Checkout { leaks: bool },
    /// A service whose memory grows slowly, beside one of the same kind that does not.
    Search { leaks: bool },
    /// Its descriptors grow towards their limit, without load.
    Uploads,
    /// It left tasks behind yesterday, and let go of them.
    Billing,
    /// It does nothing wrong.
    Healthy,
    /// It does not answer.
    Down,
    /// One of many that leave tasks behind, each at its own pace.
    Crowd(u32),
}

/// The fleet.
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Instance>,
    /// The moment at which the page is looked at first, in unix seconds.
    pub(crate) now: f64,
}

/// One sample: name, labels, value.
pub(crate) type Exposed = (&'static str, Vec<(&'static str, String)>, f64);

impl Fleet {
    pub(crate) fn new(crowd: usize, quiet: bool, now: f64) -> Self {
        let mut instances = Vec::new();
        let mut add = |job: &str, name: String, part: Part| {
            let seed = instances.len() as u64 + 1;
            instances.push(Instance {
                job: job.to_owned(),
                name,
                part: if quiet { Part::Healthy } else { part },
                seed,
            });
        };
        for index in 0..3 {
            add(
                "gateway",
                format!("gateway-{index}:9901"),
                Part::Gateway { leaks: index == 1 },
            );
        }
        for index in 0..4 {
            add(
                "checkout",
                format!("checkout-{index}:9102"),
                Part::Checkout { leaks: index != 3 },
            );
        }
        for index in 0..2 {
            add(
                "search",
                format!("search-{index}:9103"),
                Part::Search { leaks: index == 0 },
            );
        }
        add("uploads", "uploads-0:9107".to_owned(), Part::Uploads);
        add("billing", "billing-0:9104".to_owned(), Part::Billing);
        for index in 0..3 {
            add(
                "catalogue",
                format!("catalogue-{index}:9105"),
                Part::Healthy,
            );
        }
        if !quiet {
            add("reports", "reports-0:9106".to_owned(), Part::Down);
        }
        for index in 0..crowd {
            let part = Part::Crowd(index as u32);
            add(
                &format!("crowd-{index}"),
                format!("crowd-{index}:9200"),
                part,
            );
        }
        Self { instances, now }
    }

    /// A configuration that scrapes it all at `address`.
    pub(crate) fn configuration(
        &self,
        address: SocketAddr,
        state: &Path,
        external_url: Option<&str>,
    ) -> String {
        let mut text = format!(
            "global: {{ scrape_interval: 5s, scrape_timeout: 4s, external_labels: {{ cluster: eu-1 }} }}\n\
             storage: {{ path: {state:?} }}\n\
             alerting:\n  dry_run: true\n  runbook_url: \"https://runbooks.example.org/{{alertname}}#{{cause}}\"\n  \
             dashboard_url: \"https://grafana.example.org/d/leaks?var-job={{job}}\"\n  \
             alertmanagers: [{{ static_configs: [{{ targets: [\"127.0.0.1:9093\"] }}] }}]\n\
             web:\n  listen: 127.0.0.1:0\n"
        );
        if let Some(url) = external_url {
            let _ = writeln!(text, "  external_url: {url}");
        }
        text.push_str("scrape_configs:\n");
        for group in self.instances.chunk_by(|left, right| left.job == right.job) {
            let job = &group[0].job;
            let _ = writeln!(
                text,
                "  - job_name: {job}\n    evidence: [ledger, tasks]\n    static_configs:"
            );
            for own in group {
                let name = &own.name;
                let _ = writeln!(
                    text,
                    "      - {{ targets: [\"{address}\"], labels: {{ instance: \"{name}\", namespace: shop, __metrics_path__: \"/{name}\" }} }}"
                );
            }
        }
        text
    }

    /// What an instance exposes at a moment; `None` where it does not answer.
    pub(crate) fn exposed(&self, own: &Instance, at: f64) -> Option<Vec<Exposed>> {
        let age = self.now - at;
        // Everybody has been started anew yesterday, and the checkout by a rollout ten hours ago.
        let started = match own.part {
            Part::Checkout { .. } => self.now - 10.0 * 3600.0 + 120.0 * own.seed as f64,
            _ => self.now - 40.0 * 3600.0,
        };
        let running = (at - started).max(0.0);
        let load = daily(at - self.now) * (1.0 + 0.05 * own.noise(at, 1));
        let mut list = vec![
            (
                "process_start_time_seconds",
                vec![],
                if at < started {
                    started - 86_400.0 * 3.0
                } else {
                    started
                },
            ),
            (
                "process_open_fds",
                vec![],
                (40.0 + 60.0 * load + 6.0 * own.noise(at, 2)).round(),
            ),
            ("process_max_fds", vec![], 65_536.0),
        ];
        let memory =
            |grown: f64| (180.0 + 60.0 * load + 4.0 * own.noise(at, 3) + grown) * 1_048_576.0;
        match own.part {
            Part::Down => return None,
            Part::Gateway { leaks } => {
                let orphaned = if leaks {
                    (2_400.0 - age).max(0.0) * 10.4
                } else {
                    0.0
                };
                list[1].2 += orphaned.round();
                list.extend(ledger(orphaned.round(), "social", "/home/{id}", at));
            }
            Part::Checkout { leaks } => {
                let since = (running - 1_800.0).max(0.0);
                let leaked = if leaks { since * 0.06 } else { 0.0 };
                let goroutines = 240.0 + 160.0 * load + 12.0 * own.noise(at, 4) + leaked;
                list.push(("go_goroutines", vec![], goroutines.round()));
                list.push((
                    "process_resident_memory_bytes",
                    vec![],
                    memory(leaked * 0.01),
                ));
            }
            Part::Search { leaks } => {
                let grown = if leaks {
                    (running - 7_200.0).max(0.0) / 3600.0 * 19.0
                } else {
                    0.0
                };
                list.push(("process_resident_memory_bytes", vec![], memory(grown)));
            }
            Part::Uploads => {
                let leaked = (6.0 * 3600.0 - age).max(0.0) * 2.1;
                list[1].2 = (60.0 + 6.0 * own.noise(at, 5) + leaked).round();
            }
            Part::Billing => {
                let held = if (60_000.0..80_000.0).contains(&age) {
                    (80_000.0 - age) * 0.5
                } else {
                    0.0
                };
                list.extend(ledger(held.round(), "ledger-db", "/invoices/{id}", at));
            }
            Part::Healthy => list.push(("process_resident_memory_bytes", vec![], memory(0.0))),
            Part::Crowd(number) => {
                let pace = 0.05 + f64::from(number % 97) * 0.11;
                let held = (1_500.0 - age).max(0.0) * pace;
                list[1].2 += held.round();
                list.extend(ledger(held.round(), "content", "/content/*", at));
            }
        }
        Some(list)
    }
}

impl Instance {
    /// Between -1 and 1, the same for the same moment.
    fn noise(&self, at: f64, of: u64) -> f64 {
        let mut bits = (at as u64 / 5)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(self.seed * 1_000 + of);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits >> 40) as f64 / f64::from(1 << 23)) - 1.0
    }
}

/// Load through a day, 0.2 at night to 1; the page is looked at in a late evening, whatever the time is.
fn daily(since_now: f64) -> f64 {
    0.6 + 0.4 * ((since_now / 86_400.0 - 0.09) * TAU).sin()
}

/// What a ledger exposes that holds so many orphaned fan-out tasks.
fn ledger(orphaned: f64, upstream: &str, route: &str, at: f64) -> Vec<Exposed> {
    let labels = || {
        vec![
            ("resource", "fan_out_task".to_owned()),
            ("upstream", upstream.to_owned()),
            ("route", route.to_owned()),
            ("site", "gateway/src/fan_out.rs".to_owned()),
        ]
    };
    let opened = (at * 50.0).floor();
    vec![
        ("resource_ledger_orphaned", labels(), orphaned),
        ("resource_ledger_overdue", labels(), 0.0),
        ("resource_ledger_opened_total", labels(), opened),
        ("resource_ledger_open", labels(), orphaned + 12.0),
    ]
}
