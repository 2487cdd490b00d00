//! The ways to find targets, and how they are configured: one reader for jobs and Alertmanagers.

use std::path::Path;

use checked_yaml::{Fields, Mistakes};

use super::Outlet;
use super::file::FileDiscovery;

/// One of a list of `*_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// One of `file_sd_configs`.
    File(FileDiscovery),
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
        if let Some(node) = fields.optional("file_sd_configs") {
            for item in node.items(mistakes) {
                let provider = FileDiscovery::read(item, self.directory, mistakes);
                providers.extend(provider.map(Provider::File));
            }
        }
        providers
    }
}

impl Provider {
    /// The word for it in metrics and logs.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
        }
    }

    /// Looks until it is dropped.
    pub(super) async fn run(self, outlet: Outlet) {
        match self {
            Self::File(provider) => provider.run(outlet).await,
        }
    }
}
