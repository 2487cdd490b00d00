//! `alerting`: the mode, the times, the words, and every Alertmanager.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checked_yaml::{Fields, Mistakes, Node};

use super::read::{
    boolean, items, labels, optional_fields, positive_duration, positive_number, text,
};
use super::{Alerting, AlertmanagerSet, FalseAlerts, Mode, Severities, UrlTemplate};
use super::{jobs, prometheus_keys};
use crate::discovery::{Group, ProviderReader, with_port};
use crate::http_client::HttpSettings;
use crate::labels::Labels;
use crate::relabel::Relabelling;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn alerting(node: Option<&Node>, directory: &Path, mistakes: &mut Mistakes) -> Alerting {
    let mut alerting = Alerting::default();
    let Some(node) = node else { return alerting };
    let mut fields = node.fields(mistakes);
    let mode_node = fields.optional("mode");
    if let Some(node) = mode_node {
        alerting.mode = mode(node, mistakes);
    }
    alerting.dry_run = boolean(fields.optional("dry_run"), false, mistakes);
    times(&mut fields, &mut alerting, mistakes);
    false_alerts(
        fields.optional("false_alerts_per_year"),
        &mut alerting.false_alerts_per_year,
        mistakes,
    );
    severities(
        fields.optional("severities"),
        &mut alerting.severities,
        mistakes,
    );
    alerting.runbook_url = link(fields.optional("runbook_url"), mistakes);
    alerting.dashboard_url = link(fields.optional("dashboard_url"), mistakes);
    alerting.relabelling = Relabelling::read(fields.optional("alert_relabel_configs"), mistakes);
    let sets = fields.optional("alertmanagers");
    alerting.alertmanagers = alertmanagers(sets, directory, mistakes);
    if let Some(node) = mode_node
        && alerting.mode == Mode::Rules
        && !alerting.alertmanagers.is_empty()
    {
        node.reject(
            mistakes,
            "with `rules` the agent sends nothing and Prometheus alerts: take `alertmanagers` out, or set `push`",
        );
    }
    fields.finish(mistakes);
    alerting
}

fn mode(node: &Node, mistakes: &mut Mistakes) -> Mode {
    match node.text(mistakes) {
        Some("push") | None => Mode::Push,
        Some("rules") => Mode::Rules,
        Some(other) => {
            node.reject(mistakes, format!("`{other}` is neither push nor rules"));
            Mode::Push
        }
    }
}

fn times(fields: &mut Fields<'_>, alerting: &mut Alerting, mistakes: &mut Mistakes) {
    for (key, time) in [
        ("for", &mut alerting.pending),
        ("keep_firing_for", &mut alerting.keep_firing_for),
    ] {
        if let Some(node) = fields.optional(key)
            && let Some(own) = node.duration(mistakes)
        {
            *time = own;
        }
    }
    if let Some(delay) = positive_duration(fields.optional("resend_delay"), mistakes) {
        alerting.resend_delay = delay;
    }
}

fn false_alerts(node: Option<&Node>, budget: &mut FalseAlerts, mistakes: &mut Mistakes) {
    let Some(mut fields) = optional_fields(node, mistakes) else {
        return;
    };
    for (key, number) in [("page", &mut budget.page), ("ticket", &mut budget.ticket)] {
        if let Some(node) = fields.optional(key)
            && let Some(own) = positive_number(node, mistakes)
        {
            *number = own;
        }
    }
    fields.finish(mistakes);
}

fn severities(node: Option<&Node>, severities: &mut Severities, mistakes: &mut Mistakes) {
    let Some(mut fields) = optional_fields(node, mistakes) else {
        return;
    };
    for (key, word) in [
        ("ticket", &mut severities.ticket),
        ("page", &mut severities.page),
    ] {
        if let Some(own) = text(fields.optional(key), mistakes) {
            *word = Arc::from(own);
        }
    }
    fields.finish(mistakes);
    if let Some(node) = node
        && severities.ticket == severities.page
    {
        node.reject(
            mistakes,
            "tickets and pages have the same severity, so that no route can tell them apart",
        );
    }
}

fn link(node: Option<&Node>, mistakes: &mut Mistakes) -> Option<UrlTemplate> {
    node?.parse("a link with placeholders such as {cause}", mistakes)
}

fn alertmanagers(
    node: Option<&Node>,
    directory: &Path,
    mistakes: &mut Mistakes,
) -> Vec<AlertmanagerSet> {
    let sets = items(node, mistakes).iter();
    sets.map(|node| set(node, directory, mistakes)).collect()
}

fn set(node: &Node, directory: &Path, mistakes: &mut Mistakes) -> AlertmanagerSet {
    let mut fields = node.fields(mistakes);
    let scheme = jobs::scheme(fields.optional("scheme"), mistakes);
    if let Some(node) = fields.optional("api_version")
        && node.text(mistakes).is_some_and(|version| version != "v2")
    {
        node.reject(
            mistakes,
            "only v2 is supported; Alertmanager has had it since 0.16",
        );
    }
    let statics = fields.optional("static_configs");
    let set = AlertmanagerSet {
        path_prefix: path_prefix(fields.optional("path_prefix"), mistakes),
        timeout: positive_duration(fields.optional("timeout"), mistakes)
            .unwrap_or(DELIVERY_TIMEOUT),
        groups: items(statics, mistakes)
            .iter()
            .map(|node| group(node, &scheme, mistakes))
            .collect(),
        providers: ProviderReader { directory }.read(&mut fields, mistakes),
        relabelling: Relabelling::read(fields.optional("relabel_configs"), mistakes),
        alert_relabelling: Relabelling::read(fields.optional("alert_relabel_configs"), mistakes),
        http: HttpSettings::read(&mut fields, directory, mistakes),
        scheme,
    };
    prometheus_keys::refuse(&mut fields, prometheus_keys::ALERTMANAGER, mistakes);
    if statics.is_none() && set.providers.is_empty() {
        mistakes.add(
            fields.place().clone(),
            "has no targets: list them in `static_configs`, or say where they are in `file_sd_configs`",
        );
    }
    fields.finish(mistakes);
    set
}

fn path_prefix(node: Option<&Node>, mistakes: &mut Mistakes) -> String {
    let prefix = text_or_empty(node, mistakes).trim_matches('/');
    if let Some(node) = node
        && prefix.contains(['?', '#', ' '])
    {
        node.reject(mistakes, "is no path");
    }
    if prefix.is_empty() {
        String::new()
    } else {
        format!("/{prefix}")
    }
}

fn text_or_empty<'a>(node: Option<&'a Node>, mistakes: &mut Mistakes) -> &'a str {
    node.and_then(|node| node.text(mistakes))
        .unwrap_or_default()
}

fn group(node: &Node, scheme: &str, mistakes: &mut Mistakes) -> Group {
    let mut fields = node.fields(mistakes);
    let targets = fields.required("targets", mistakes);
    let mut addresses = Vec::new();
    for node in items(targets, mistakes) {
        let Some(text) = node.text(mistakes) else {
            continue;
        };
        if let Err(error) = with_port(text, scheme) {
            node.reject(mistakes, error.to_string());
        }
        addresses.push(text.to_owned());
    }
    let own = fields.optional("labels");
    let own = own.map_or_else(Labels::empty, |node| labels(node, mistakes));
    fields.finish(mistakes);
    Group::of_addresses(addresses, own)
}
