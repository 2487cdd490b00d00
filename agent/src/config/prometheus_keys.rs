//! The keys of Prometheus' configuration that do nothing here, so that each can be named in the error.
//!
//! Source: Prometheus, "Configuration", versions 2.42 to 3.x.

use checked_yaml::{Fields, Mistakes};

const NOT_YET: &str = "is Prometheus' own but not supported yet; take it out";
const NEVER: &str = "is Prometheus' own and has no meaning here; take it out";

/// The whole file.
pub(super) const TOP: &[(&str, &str)] = &[
    ("otlp", NEVER),
    ("remote_read", NEVER),
    ("remote_write", NEVER),
    ("rule_files", NEVER),
    ("runtime", NEVER),
    ("scrape_config_files", NOT_YET),
    ("tracing", NEVER),
];

/// `global`.
pub(super) const GLOBAL: &[(&str, &str)] = &[
    ("always_scrape_classic_histograms", NEVER),
    ("convert_classic_histograms_to_nhcb", NEVER),
    ("extra_scrape_metrics", NEVER),
    ("keep_dropped_targets", NOT_YET),
    ("metric_name_escaping_scheme", NOT_YET),
    ("metric_name_validation_scheme", NOT_YET),
    ("query_log_file", NEVER),
    ("rule_query_offset", NEVER),
    ("scrape_failure_log_file", NOT_YET),
    ("scrape_native_histograms", NEVER),
];

/// One of `scrape_configs`.
pub(super) const JOB: &[(&str, &str)] = &[
    ("always_scrape_classic_histograms", NEVER),
    ("azure_sd_configs", NOT_YET),
    ("consul_sd_configs", NOT_YET),
    ("convert_classic_histograms_to_nhcb", NEVER),
    ("digitalocean_sd_configs", NOT_YET),
    ("docker_sd_configs", NOT_YET),
    ("dockerswarm_sd_configs", NOT_YET),
    ("ec2_sd_configs", NOT_YET),
    ("eureka_sd_configs", NOT_YET),
    ("extra_scrape_metrics", NEVER),
    ("gce_sd_configs", NOT_YET),
    ("hetzner_sd_configs", NOT_YET),
    ("ionos_sd_configs", NOT_YET),
    ("keep_dropped_targets", NOT_YET),
    ("kuma_sd_configs", NOT_YET),
    ("lightsail_sd_configs", NOT_YET),
    ("linode_sd_configs", NOT_YET),
    ("marathon_sd_configs", NOT_YET),
    ("metric_name_escaping_scheme", NOT_YET),
    ("metric_name_validation_scheme", NOT_YET),
    ("native_histogram_bucket_limit", NEVER),
    ("native_histogram_min_bucket_factor", NEVER),
    ("nerve_sd_configs", NOT_YET),
    ("nomad_sd_configs", NOT_YET),
    ("openstack_sd_configs", NOT_YET),
    ("ovhcloud_sd_configs", NOT_YET),
    ("puppetdb_sd_configs", NOT_YET),
    ("scaleway_sd_configs", NOT_YET),
    ("scrape_classic_histograms", NEVER),
    ("scrape_failure_log_file", NOT_YET),
    ("scrape_native_histograms", NEVER),
    ("serverset_sd_configs", NOT_YET),
    ("stackit_sd_configs", NOT_YET),
    (
        "track_timestamps_staleness",
        "is Prometheus' own; here a series that is gone is gone at once, with times of its own too; take it out",
    ),
    ("triton_sd_configs", NOT_YET),
    ("uyuni_sd_configs", NOT_YET),
    ("vultr_sd_configs", NOT_YET),
];

/// One of `alerting.alertmanagers`.
pub(super) const ALERTMANAGER: &[(&str, &str)] = &[
    ("azure_sd_configs", NOT_YET),
    ("consul_sd_configs", NOT_YET),
    ("ec2_sd_configs", NOT_YET),
    ("sigv4", NOT_YET),
];

/// `storage`.
pub(super) const STORAGE: &[(&str, &str)] = &[("exemplars", NEVER), ("tsdb", NEVER)];

/// Refuses those of the keys that are there.
pub(super) fn refuse(
    fields: &mut Fields<'_>,
    keys: &[(&'static str, &str)],
    mistakes: &mut Mistakes,
) {
    for (key, reason) in keys {
        fields.refuse(key, reason, mistakes);
    }
}
