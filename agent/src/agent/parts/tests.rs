use std::time::Duration;

use super::*;
use crate::scrape::{Notes, ScrapeError};

const START: f64 = 1_800_000_000.0;
const STEP: f64 = 60.0;
const MIB: f64 = 1_048_576.0;

const CONFIG: &str = r#"
global: { scrape_interval: 60s, evaluation_interval: 60s, external_labels: { cluster: eu-1 } }
scrape_configs:
  - job_name: kubelet
    static_configs: [{ targets: ["10.0.0.4:10250"], labels: { node: n4 } }]
  - job_name: kube-state-metrics
    static_configs: [{ targets: ["10.0.0.9:8080"], labels: { namespace: monitoring } }]
"#;

/// A node, its containers and who tells of them.
struct Cluster {
    engine: Engine,
    parts: Parts,
    exporters: Vec<Arc<Target>>,
    now: f64,
}

/// One container: its pod, when it was started, and what it holds.
struct Container {
    pod: &'static str,
    run: u32,
    began: f64,
    bytes: f64,
}

impl Cluster {
    fn new() -> Self {
        let config = Config::parse(CONFIG).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let exporters = config.targets();
        Self {
            engine: Engine::new(
                &config,
                exporters.clone(),
                None,
                Timestamp::from_seconds(START),
            ),
            parts: Parts::new(&config),
            exporters,
            now: START,
        }
    }

    /// One interval: both exporters are scraped, and everything is judged.
    fn step(&mut self, containers: &[Container], kubelet_answers: bool) {
        self.now += STEP;
        let at = Timestamp::from_seconds(self.now);
        for exporter in self.exporters.clone() {
            let result = match &*exporter.job {
                "kubelet" if !kubelet_answers => Err(ScrapeError::Status(503)),
                "kubelet" => Ok(self.cadvisor(&exporter, containers)),
                _ => Ok(limits(&exporter, containers)),
            };
            let mut scrape = Scrape {
                target: exporter,
                at,
                duration: Duration::from_millis(50),
                result,
                notes: Notes::default(),
            };
            self.parts.take(&mut self.engine, &mut scrape);
            self.engine.scraped(&scrape);
        }
        self.parts.sweep(&mut self.engine, at);
        self.engine.evaluate(at);
    }

    /// What a kubelet says at /metrics/cadvisor, each sample with the time of its measurement.
    fn cadvisor(&self, exporter: &Target, containers: &[Container]) -> Vec<Sample> {
        let measured_at = Timestamp::from_seconds(self.now - 7.0);
        let mut samples = Vec::new();
        for own in containers {
            let run = format!("{}-{}", own.pod, own.run);
            let labels = [
                ("namespace", "shop"),
                ("pod", own.pod),
                ("container", "app"),
                ("id", &*run),
                ("image", "shop/front:12"),
                ("name", &*run),
            ];
            let whole_pod = [("namespace", "shop"), ("pod", own.pod), ("id", "/kubepods")];
            samples.extend([
                sample(
                    exporter,
                    "container_memory_working_set_bytes",
                    &labels,
                    own.bytes,
                ),
                sample(
                    exporter,
                    "container_memory_working_set_bytes",
                    &whole_pod,
                    own.bytes,
                ),
                sample(exporter, "container_start_time_seconds", &labels, own.began),
            ]);
        }
        for sample in &mut samples {
            sample.at = Some(measured_at);
        }
        samples
    }

    fn told_of(&self) -> Vec<String> {
        let targets = self.engine.targets();
        let parts = targets.filter(|own| own.target().labels.contains("pod"));
        parts.map(|own| own.target().labels.to_string()).collect()
    }
}

/// What kube-state-metrics says of limits, with the labels of the pods as they are (`honor_labels: true`).
fn limits(exporter: &Target, containers: &[Container]) -> Vec<Sample> {
    let limit = |own: &Container, resource, unit, value| {
        let labels = [
            ("namespace", "shop"),
            ("pod", own.pod),
            ("container", "app"),
            ("node", "n4"),
            ("uid", own.pod),
            ("resource", resource),
            ("unit", unit),
        ];
        sample(
            exporter,
            "kube_pod_container_resource_limits",
            &labels,
            value,
        )
    };
    let both = containers.iter().flat_map(|own| {
        [
            limit(own, "memory", "byte", 8192.0 * MIB),
            limit(own, "cpu", "core", 2.0),
        ]
    });
    let catalogue = Catalogue::built_in();
    both.filter(|own| catalogue.role(&own.name, &own.labels).is_some())
        .collect()
}

fn sample(exporter: &Target, name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let own: Labels = labels.iter().copied().collect();
    Sample {
        name: Arc::from(name),
        labels: own.or(&exporter.labels),
        value,
        at: None,
    }
}

fn container(pod: &'static str, bytes: f64) -> Container {
    Container {
        pod,
        run: 0,
        began: START - 3600.0,
        bytes,
    }
}

/// The deployment after so many hours: its first pod leaks 100 MiB an hour.
fn deployment(hours: f64) -> Vec<Container> {
    let noise = |seed: f64| ((hours * 60.0 + seed) * 7.0 % 11.0) * MIB;
    vec![
        container(
            "front-7d9c5b6f4-x2kqp",
            300.0 * MIB + 100.0 * MIB * hours + noise(0.0),
        ),
        container("front-7d9c5b6f4-zzl4d", 300.0 * MIB + noise(1.0)),
        container("front-7d9c5b6f4-m8r2v", 310.0 * MIB + noise(2.0)),
        container("db-0", 900.0 * MIB + noise(3.0)),
    ]
}

#[test]
fn a_container_that_leaks_is_an_incident_of_its_deployment() {
    let mut cluster = Cluster::new();
    for minute in 0..36 * 60 {
        cluster.step(&deployment(f64::from(minute) / 60.0), true);
        if cluster.engine.incidents().len() > 0 {
            break;
        }
    }
    let incident = cluster.engine.incidents().next().expect("a leak");
    assert_eq!(
        incident.workload.to_string(),
        r#"{container="app",namespace="shop",workload="front"}"#
    );
    let leaking: Vec<&str> = incident.instances.keys().map(|own| &**own).collect();
    assert_eq!(
        leaking,
        [r#"{container="app",namespace="shop",pod="front-7d9c5b6f4-x2kqp",workload="front"}"#]
    );
    let series = cluster.engine.series();
    let limits: Vec<Option<f64>> = series.map(|own| own.limit()).collect();
    // Four containers, and what the kubelet tells of each of four pods.
    assert_eq!(limits.len(), 8);
    let known: Vec<f64> = limits.into_iter().flatten().collect();
    assert_eq!(known, [8192.0 * MIB; 4], "as the other exporter tells it");
}

#[test]
fn what_cannot_be_asked_about_is_not_gone_and_what_is_not_told_of_is() {
    let mut cluster = Cluster::new();
    cluster.step(&deployment(0.0), true);
    assert_eq!(cluster.told_of().len(), 4, "{:?}", cluster.told_of());
    for _ in 0..180 {
        cluster.step(&deployment(0.0)[..0], false);
    }
    assert_eq!(cluster.told_of().len(), 4, "the kubelet does not answer");
    let mut left = deployment(0.0);
    left.remove(1);
    for _ in 0..30 {
        cluster.step(&left, true);
    }
    let told = cluster.told_of();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|own| !own.contains("zzl4d")), "{told:?}");
}

#[test]
fn a_restarted_container_begins_a_life() {
    let mut cluster = Cluster::new();
    let mut containers = deployment(0.0);
    for _ in 0..30 {
        cluster.step(&containers, true);
    }
    let began = cluster.now;
    containers[0].run = 1;
    containers[0].began = began;
    containers[0].bytes = 50.0 * MIB;
    // For a while its last run is told of as well.
    containers.push(container("front-7d9c5b6f4-x2kqp", 300.0 * MIB));
    cluster.step(&containers, true);
    containers.pop();
    for _ in 0..10 {
        cluster.step(&containers, true);
    }
    let part = cluster
        .engine
        .series()
        .filter(|own| own.labels().get("pod") == Some("front-7d9c5b6f4-x2kqp"))
        .find(|own| own.labels().contains("container"));
    let part = part.expect("the container");
    assert_eq!(part.life_began().map(Timestamp::seconds), Some(began));
    assert_eq!(part.value(), 50.0 * MIB);
    assert_eq!(cluster.engine.incidents().len(), 0);
}
