//! `dns_sd_configs`: targets by the names of the domain name system, asked again at the refresh interval.
//!
//! The resolver is the system's as `/etc/resolv.conf` describes it, read anew at each refresh, without a cache: an
//! answer is as old as the name server says. A name that does not exist has no targets; a name server that fails keeps
//! what was found before, name by name.
//!
//! Source: Prometheus, "Configuration", `<dns_sd_config>`; RFC 2782.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use checked_yaml::{Mistakes, Node};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::time::MissedTickBehavior;

use super::{Group, Outlet};
use crate::clock;
use crate::labels::Labels;

const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
/// A name that takes longer has no answer, however long the interval.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// Names of one configuration.
const MAX_NAMES: usize = 1000;

/// One of `dns_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsDiscovery {
    /// `names`.
    pub names: Vec<Arc<str>>,
    /// `type`; SRV.
    pub kind: RecordKind,
    /// `port`, of all kinds but SRV, whose records have their own.
    pub port: u16,
    /// `refresh_interval`: from one question to the next; 30 s.
    pub refresh_interval: Duration,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts with ports.
    Srv,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

impl RecordKind {
    const ALL: [(&str, Self); 5] = [
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("SRV", Self::Srv),
        ("MX", Self::Mx),
        ("NS", Self::Ns),
    ];

    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Srv => RecordType::SRV,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
        }
    }
}

impl DnsDiscovery {
    pub(super) fn read(node: &Node, mistakes: &mut Mistakes) -> Option<Self> {
        let before = mistakes.len();
        let mut fields = node.fields(mistakes);
        let names_node = fields.required("names", mistakes);
        let mut names = Vec::new();
        for item in names_node.map_or(&[][..], |node| node.items(mistakes)) {
            names.extend(item.text(mistakes).map(Arc::from));
        }
        if let Some(node) = names_node
            && (names.is_empty() || names.len() > MAX_NAMES)
        {
            node.reject(mistakes, format!("must have from one to {MAX_NAMES} names"));
        }
        let mut kind = RecordKind::Srv;
        if let Some(node) = fields.optional("type")
            && let Some(text) = node.text(mistakes)
        {
            let known = RecordKind::ALL
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text));
            match known {
                Some((_, own)) => kind = *own,
                None => node.reject(
                    mistakes,
                    format!(
                        "`{text}` is no type of records known here; use A, AAAA, SRV, MX or NS"
                    ),
                ),
            }
        }
        let port_node = fields.optional("port");
        let port = port_node.and_then(|node| node.parse::<u16>("a port", mistakes));
        if port_node.is_none() && kind != RecordKind::Srv {
            mistakes.add(
                fields.place().clone(),
                "`port` is missing; only SRV records have their own",
            );
        }
        let refresh_interval = fields
            .optional("refresh_interval")
            .and_then(|node| node.positive_duration(mistakes));
        fields.finish(mistakes);
        (mistakes.len() == before).then(|| Self {
            names,
            kind,
            port: port.unwrap_or_default(),
            refresh_interval: refresh_interval.unwrap_or(REFRESH_INTERVAL),
        })
    }

    pub(super) async fn run(self, outlet: Outlet) {
        self.run_with(outlet, system_resolver).await;
    }

    async fn run_with(self, outlet: Outlet, resolver: impl Fn() -> Result<TokioResolver, String>) {
        let mut known: BTreeMap<&str, Group> = BTreeMap::new();
        let mut beats = tokio::time::interval(self.refresh_interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let resolver = match resolver() {
                Ok(resolver) => resolver,
                Err(reason) => {
                    outlet.failed(reason);
                    continue;
                }
            };
            let mut errors = Vec::new();
            for name in &self.names {
                match self.ask(&resolver, name).await {
                    Ok(group) => {
                        known.insert(name, group);
                    }
                    Err(reason) => errors.push(format!("{name}: {reason}")),
                }
            }
            let groups = known.values().cloned().collect();
            if errors.is_empty() {
                outlet.found(groups);
            } else {
                outlet.found_in_part(groups, errors.join("; "));
            }
        }
    }

    /// The targets of one name.
    async fn ask(&self, resolver: &TokioResolver, name: &str) -> Result<Group, String> {
        let limit = self.refresh_interval.min(MAX_TIMEOUT);
        let asked = clock::timeout(limit, resolver.lookup(name, self.kind.record_type()));
        let targets = match asked.await.map_err(|elapsed| elapsed.to_string())? {
            Ok(lookup) => lookup
                .answers()
                .iter()
                .filter_map(|record| self.target(&record.data))
                .collect(),
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let labels = Labels::from_iter([("__meta_dns_name", name)]);
        Ok(Group { labels, targets })
    }

    /// The target of one record; none where it is of another kind, such as the CNAME on the way.
    fn target(&self, data: &RData) -> Option<Labels> {
        let host = |name: &str, port: u16| format!("{}:{port}", name.trim_end_matches('.'));
        let labels: Vec<(&str, String)> = match data {
            RData::A(address) => vec![("__address__", self.address(address.0.into()))],
            RData::AAAA(address) => vec![("__address__", self.address(address.0.into()))],
            RData::SRV(record) => {
                let target = record.target.to_string();
                vec![
                    ("__address__", host(&target, record.port)),
                    ("__meta_dns_srv_record_target", target),
                    ("__meta_dns_srv_record_port", record.port.to_string()),
                ]
            }
            RData::MX(record) => {
                let target = record.exchange.to_string();
                vec![
                    ("__address__", host(&target, self.port)),
                    ("__meta_dns_mx_record_target", target),
                ]
            }
            RData::NS(record) => {
                let target = record.0.to_string();
                vec![
                    ("__address__", host(&target, self.port)),
                    ("__meta_dns_ns_record_target", target),
                ]
            }
            _ => return None,
        };
        (data.record_type() == self.kind.record_type()).then(|| labels.into_iter().collect())
    }

    fn address(&self, address: IpAddr) -> String {
        std::net::SocketAddr::new(address, self.port).to_string()
    }
}

/// The resolver that the system describes.
fn system_resolver() -> Result<TokioResolver, String> {
    let reason = |error: &dyn std::fmt::Display| format!("there is no resolver: {error}");
    let mut builder = Resolver::builder_tokio().map_err(|error| reason(&error))?;
    builder.options_mut().cache_size = 0;
    builder.build().map_err(|error| reason(&error))
}

#[cfg(test)]
mod tests;
