//! The ways to find targets, and how they are configured: one reader for jobs and Alertmanagers.

use std::path::Path;

use checked_yaml::{Fields, Mistakes, Node};

use super::Outlet;
use super::dns::DnsDiscovery;
use super::file::FileDiscovery;
use super::http::HttpDiscovery;
use super::kubernetes::KubernetesDiscovery;

/// One of a list of `*_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// One of `file_sd_configs`.
    File(FileDiscovery),
    /// One of `http_sd_configs`.
    Http(Box<HttpDiscovery>),
    /// One of `dns_sd_configs`.
    Dns(DnsDiscovery),
    /// One of `kubernetes_sd_configs`.
    Kubernetes(KubernetesDiscovery),
}

/// What is needed to read providers.
#[derive(Debug, Clone, Copy)]
pub struct ProviderReader<'a> {
    /// Where the configuration file is: names of files are relative to it.
    pub directory: &'a Path,
}

impl ProviderReader<'_> {
    /// Reads every list of providers that a mapping has; the keys are then known to it.
    pub fn read(self, fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Vec<Provider> {
        let mut providers = Vec::new();
        for item in items(fields.optional("file_sd_configs"), mistakes) {
            let provider = FileDiscovery::read(item, self.directory, mistakes);
            providers.extend(provider.map(Provider::File));
        }
        for item in items(fields.optional("http_sd_configs"), mistakes) {
            let provider = HttpDiscovery::read(item, self.directory, mistakes);
            providers.extend(provider.map(|own| Provider::Http(Box::new(own))));
        }
        for item in items(fields.optional("dns_sd_configs"), mistakes) {
            providers.extend(DnsDiscovery::read(item, mistakes).map(Provider::Dns));
        }
        for item in items(fields.optional("kubernetes_sd_configs"), mistakes) {
            let provider = KubernetesDiscovery::read(item, self.directory, mistakes);
            providers.extend(provider.map(Provider::Kubernetes));
        }
        providers
    }
}

fn items<'a>(node: Option<&'a Node>, mistakes: &mut Mistakes) -> &'a [Node] {
    node.map_or(&[], |node| node.items(mistakes))
}

impl Provider {
    /// The word for it in metrics and logs.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Looks until it is dropped.
    pub(super) async fn run(self, outlet: Outlet) {
        match self {
            Self::File(provider) => provider.run(outlet).await,
            Self::Http(provider) => provider.run(outlet).await,
            Self::Dns(provider) => provider.run(outlet).await,
            Self::Kubernetes(provider) => provider.run(outlet).await,
        }
    }
}
