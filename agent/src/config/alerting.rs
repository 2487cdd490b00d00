//! `alerting`: the mode, the times, the words, and every Alertmanager.

use std::sync::Arc;
use std::time::Duration;

use checked_yaml::{Fields, Mistakes, Node};

use super::read::{boolean, items, optional_fields, positive_duration, positive_number, text};
use super::{Alerting, Alertmanager, FalseAlerts, Mode, Severities, UrlTemplate};
use super::{jobs, prometheus_keys};
use crate::discovery::with_port;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn alerting(node: Option<&Node>, mistakes: &mut Mistakes) -> Alerting {
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
    alerting.alertmanagers = alertmanagers(fields.optional("alertmanagers"), mistakes);
    if let Some(node) = mode_node
        && alerting.mode == Mode::Rules
        && !alerting.alertmanagers.is_empty()
    {
        node.reject(
            mistakes,
            "with `rules` the agent sends nothing and Prometheus alerts: take `alertmanagers` out, or set `push`",
        );
    }
    prometheus_keys::refuse(&mut fields, prometheus_keys::ALERTING, mistakes);
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

fn alertmanagers(node: Option<&Node>, mistakes: &mut Mistakes) -> Vec<Alertmanager> {
    let mut all: Vec<Alertmanager> = Vec::new();
    for node in items(node, mistakes) {
        let mut fields = node.fields(mistakes);
        let scheme = jobs::plain_scheme(fields.optional("scheme"), mistakes);
        let prefix_node = fields.optional("path_prefix");
        let prefix = prefix_node
            .and_then(|node| node.text(mistakes))
            .unwrap_or_default()
            .trim_matches('/');
        if let Some(node) = prefix_node
            && prefix.contains(['?', '#', ' '])
        {
            node.reject(mistakes, "is no path");
        }
        let timeout =
            positive_duration(fields.optional("timeout"), mistakes).unwrap_or(DELIVERY_TIMEOUT);
        if let Some(node) = fields.optional("api_version")
            && node.text(mistakes).is_some_and(|version| version != "v2")
        {
            node.reject(
                mistakes,
                "only v2 is supported; Alertmanager has had it since 0.16",
            );
        }
        let groups = fields.optional("static_configs");
        for address in addresses(groups, mistakes) {
            let slash = if prefix.is_empty() { "" } else { "/" };
            let url: Arc<str> = Arc::from(format!("{scheme}://{address}{slash}{prefix}"));
            if all.iter().all(|known| known.url != url) {
                all.push(Alertmanager { url, timeout });
            }
        }
        prometheus_keys::refuse(&mut fields, prometheus_keys::ALERTMANAGER, mistakes);
        if groups.is_none() {
            mistakes.add(
                fields.place().clone(),
                "has no targets: list them in `static_configs`",
            );
        }
        fields.finish(mistakes);
    }
    all
}

fn addresses(groups: Option<&Node>, mistakes: &mut Mistakes) -> Vec<String> {
    let mut addresses = Vec::new();
    for group in items(groups, mistakes) {
        let mut fields = group.fields(mistakes);
        let targets = fields.required("targets", mistakes);
        for node in items(targets, mistakes) {
            let Some(text) = node.text(mistakes) else {
                continue;
            };
            match with_port(text, "http") {
                Ok(address) => addresses.push(address),
                Err(error) => node.reject(mistakes, error.to_string()),
            }
        }
        fields.refuse(
            "labels",
            "labels of an Alertmanager have no meaning without relabelling, which is not supported yet",
            mistakes,
        );
        fields.finish(mistakes);
    }
    addresses
}
