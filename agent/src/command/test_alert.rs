//! `leak-agent test-alert`: whether alerts arrive, before one has to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::notify::test_alert;

/// What is to be sent, and to whom.
#[derive(Clone, Debug, Args)]
pub struct TestAlertOptions {
    /// The configuration: its Alertmanagers, external labels, relabelling and severities.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// As which alert it is routed: `page` wakes somebody, if the routing is right.
    #[arg(long, value_enum, default_value_t = Severity::Ticket)]
    pub severity: Severity,
    /// Says that the test is over, instead of beginning it. It also ends by itself after some minutes.
    #[arg(long)]
    pub resolve: bool,
}

/// As which alert the test is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Severity {
    /// As a leak that waits for the morning: `severities.ticket`.
    Ticket,
    /// As a leak that wakes somebody: `severities.page`.
    Page,
}

impl From<Severity> for test_alert::Severity {
    fn from(own: Severity) -> Self {
        match own {
            Severity::Ticket => Self::Ticket,
            Severity::Page => Self::Page,
        }
    }
}
