//! `scrape_configs`: jobs, their targets and their limits.

use std::collections::HashMap;
use std::sync::Arc;

use checked_yaml::{Fields, Mistakes, Node};

use super::read::{Defaults, boolean, items, labels, positive_duration, text};
use super::{Job, prometheus_keys};
use crate::discovery::{
    EvidenceKind, JobTemplate, ProviderReader, ScrapeLimits, ScrapeProtocol, ScrapeSettings, Target,
};
use crate::http_client::HttpSettings;
use crate::labels::Labels;
use crate::relabel::Relabelling;

/// Every job; those with a mistake may be missing.
pub(super) fn jobs(node: Option<&Node>, defaults: &Defaults, mistakes: &mut Mistakes) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut seen = Seen::default();
    for node in items(node, mistakes) {
        let mut fields = node.fields(mistakes);
        let name_node = fields.required("job_name", mistakes);
        let name = text(name_node, mistakes).unwrap_or_default();
        if let Some(node) = name_node
            && let Some(line) = names.insert(name, node.place.line)
        {
            node.reject(
                mistakes,
                format!("`{name}` is also the name of the job of line {line}"),
            );
        }
        let template = template(name, &mut fields, defaults, mistakes);
        let (targets, dropped) = targets(&mut fields, &template, &mut seen, mistakes);
        let reader = ProviderReader {
            directory: &defaults.directory,
        };
        let providers = reader.read(&mut fields, mistakes);
        if fields.optional("static_configs").is_none() && providers.is_empty() {
            mistakes.add(
                fields.place().clone(),
                "the job has no targets: list them in `static_configs`, or say where they are in `file_sd_configs`, `http_sd_configs`, `dns_sd_configs` or `kubernetes_sd_configs`",
            );
        }
        prometheus_keys::refuse(&mut fields, prometheus_keys::JOB, mistakes);
        fields.finish(mistakes);
        jobs.push(Job {
            template,
            targets,
            dropped,
            providers,
        });
    }
    jobs
}

fn template(
    name: &str,
    fields: &mut Fields<'_>,
    defaults: &Defaults,
    mistakes: &mut Mistakes,
) -> JobTemplate {
    let interval = positive_duration(fields.optional("scrape_interval"), mistakes)
        .unwrap_or(defaults.scrape_interval);
    let timeout_node = fields.optional("scrape_timeout");
    let timeout = match positive_duration(timeout_node, mistakes) {
        Some(own) => own,
        None => defaults.scrape_timeout.min(interval),
    };
    if let Some(node) = timeout_node
        && timeout > interval
    {
        node.reject(mistakes, "is longer than the job's scrape interval");
    }
    let path_node = fields.optional("metrics_path");
    let metrics_path = text(path_node, mistakes).unwrap_or("/metrics");
    if let Some(node) = path_node
        && !metrics_path.starts_with('/')
    {
        node.reject(mistakes, "does not begin with a slash");
    }
    let mut limits = defaults.limits;
    self::limits(fields, &mut limits, mistakes);
    JobTemplate {
        job: Arc::from(name),
        // Where it is wrong the mistake is there, and the targets need not repeat it.
        timeout: timeout.min(interval),
        interval,
        metrics_path: metrics_path.to_owned(),
        scheme: scheme(fields.optional("scheme"), mistakes),
        params: params(fields.optional("params"), mistakes),
        relabelling: Relabelling::read(fields.optional("relabel_configs"), mistakes),
        evidence: evidence(fields.optional("evidence"), mistakes),
        settings: Arc::new(ScrapeSettings {
            honor_labels: boolean(fields.optional("honor_labels"), false, mistakes),
            honor_timestamps: boolean(fields.optional("honor_timestamps"), true, mistakes),
            enable_compression: boolean(fields.optional("enable_compression"), true, mistakes),
            protocols: match fields.optional("scrape_protocols") {
                None => defaults.protocols.clone(),
                Some(node) => protocols(node, mistakes),
            },
            fallback_protocol: fields
                .optional("fallback_scrape_protocol")
                .and_then(|node| protocol(node, mistakes)),
            http: HttpSettings::read(fields, &defaults.directory, mistakes),
            metric_relabelling: Relabelling::read(
                fields.optional("metric_relabel_configs"),
                mistakes,
            ),
            limits,
        }),
    }
}

pub(super) fn scheme(node: Option<&Node>, mistakes: &mut Mistakes) -> String {
    let scheme = node.and_then(|node| Some((node, node.text(mistakes)?)));
    match scheme {
        Some((_, "https")) => return "https".to_owned(),
        Some((_, "http")) | None => {}
        Some((node, other)) => {
            node.reject(mistakes, format!("`{other}` is neither http nor https"));
        }
    }
    "http".to_owned()
}

/// What metrics are asked for as.
pub(super) fn protocols(node: &Node, mistakes: &mut Mistakes) -> Vec<ScrapeProtocol> {
    let mut protocols = Vec::new();
    for item in node.items(mistakes) {
        match protocol(item, mistakes) {
            Some(known) if protocols.contains(&known) => {
                item.reject(mistakes, "is there twice");
            }
            known => protocols.extend(known),
        }
    }
    if protocols.is_empty() {
        node.reject(
            mistakes,
            "names no format; take it out for OpenMetrics, else Prometheus' text",
        );
    }
    protocols
}

fn protocol(node: &Node, mistakes: &mut Mistakes) -> Option<ScrapeProtocol> {
    let message = match node.text(mistakes)? {
        "OpenMetricsText1.0.0" => return Some(ScrapeProtocol::OpenMetrics1),
        "OpenMetricsText0.0.1" => return Some(ScrapeProtocol::OpenMetrics0),
        "PrometheusText0.0.4" => return Some(ScrapeProtocol::Text0),
        "PrometheusText1.0.0" => return Some(ScrapeProtocol::Text1),
        "PrometheusProto" => "PrometheusProto is not read here; take it out".to_owned(),
        other => format!(
            "`{other}` is none of OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0 and PrometheusText0.0.4"
        ),
    };
    node.reject(mistakes, message);
    None
}

fn params(node: Option<&Node>, mistakes: &mut Mistakes) -> Vec<(String, Vec<String>)> {
    let mut params = Vec::new();
    for (name, values) in node.map_or(&[][..], |node| node.entries(mistakes)) {
        let values = values
            .items(mistakes)
            .iter()
            .filter_map(|value| value.text(mistakes).map(str::to_owned))
            .collect();
        params.push((name.clone(), values));
    }
    params.sort();
    params
}

fn evidence(node: Option<&Node>, mistakes: &mut Mistakes) -> Vec<EvidenceKind> {
    let mut kinds = Vec::new();
    for item in items(node, mistakes) {
        let kind = match item.text(mistakes) {
            Some("ledger") => EvidenceKind::Ledger,
            Some("tasks") => EvidenceKind::Tasks,
            Some("pprof") => EvidenceKind::Pprof,
            Some(other) => {
                item.reject(
                    mistakes,
                    format!("`{other}` is none of ledger, tasks and pprof"),
                );
                continue;
            }
            None => continue,
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Labels of the targets so far, each with its URL and line: two targets that cannot be told apart are a mistake.
#[derive(Default)]
struct Seen(HashMap<Labels, (Arc<str>, usize)>);

fn targets(
    fields: &mut Fields<'_>,
    template: &JobTemplate,
    seen: &mut Seen,
    mistakes: &mut Mistakes,
) -> (Vec<Arc<Target>>, Vec<Labels>) {
    let (mut targets, mut dropped) = (Vec::new(), Vec::new());
    for group in items(fields.optional("static_configs"), mistakes) {
        let mut group = group.fields(mistakes);
        let labels = group
            .optional("labels")
            .map_or_else(Labels::empty, |node| labels(node, mistakes));
        let addresses = group.required("targets", mistakes);
        for node in items(addresses, mistakes) {
            let Some(address) = node.text(mistakes) else {
                continue;
            };
            let member = labels.with("__address__", address);
            match template.target(&member) {
                Ok(Some(target)) if seen.is_new(&target, node, mistakes) => {
                    targets.push(Arc::new(target));
                }
                Ok(Some(_)) => {}
                Ok(None) => dropped.push(template.discovered(&member)),
                Err(error) => node.reject(mistakes, error.to_string()),
            }
        }
        group.finish(mistakes);
    }
    (targets, dropped)
}

impl Seen {
    /// Whether the target is to be kept. One that is there twice is scraped once, as Prometheus does.
    fn is_new(&mut self, target: &Target, node: &Node, mistakes: &mut Mistakes) -> bool {
        match self.0.get(&target.labels) {
            None => {
                let place = (Arc::clone(&target.url), node.place.line);
                self.0.insert(target.labels.clone(), place);
                true
            }
            Some((url, _)) if *url == target.url => false,
            Some((_, line)) => {
                node.reject(
                    mistakes,
                    format!(
                        "has the same labels as the target of line {line}, {}; give one of them a label of its own",
                        target.labels
                    ),
                );
                false
            }
        }
    }
}

/// The limits that are set, over those that are there already; 0 is no limit, as in Prometheus.
pub(super) fn limits(fields: &mut Fields<'_>, limits: &mut ScrapeLimits, mistakes: &mut Mistakes) {
    if let Some(node) = fields.optional("body_size_limit")
        && let Some(text) = node.text(mistakes)
    {
        match byte_size(text) {
            Some(bytes) => limits.body_bytes = (bytes > 0).then_some(bytes),
            None => node.reject(
                mistakes,
                format!("`{text}` is not a size such as 10MB or 512KB"),
            ),
        }
    }
    for (key, limit) in [
        ("sample_limit", &mut limits.samples),
        ("label_limit", &mut limits.labels),
        ("label_name_length_limit", &mut limits.label_name_bytes),
        ("label_value_length_limit", &mut limits.label_value_bytes),
        ("series_limit", &mut limits.series),
        ("target_limit", &mut limits.targets),
    ] {
        if let Some(node) = fields.optional(key)
            && let Some(number) = node.parse::<u64>("a whole number", mistakes)
        {
            *limit = (number > 0).then_some(number);
        }
    }
}

/// Prometheus' sizes: every unit is a power of 1024, whichever way it is written.
pub(super) fn byte_size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        "TB" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
