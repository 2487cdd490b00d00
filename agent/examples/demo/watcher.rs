//! A role: the agent, from a configuration file such as anybody would write.

use std::path::Path;

use leak_agent::agent::Agent;
use leak_agent::config::Config;
use serde::{Deserialize, Serialize};

use crate::child::{self, Parent};
use crate::gateway;

/// Where it listens.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Its page, API and metrics.
    pub(crate) web: String,
}

/// The configuration: it scrapes every second and lets an alert go a few seconds after its leak, where production
/// would take its time.
pub(crate) fn configuration(
    gateway: &gateway::Ready,
    alertmanagers: &[String],
    state: &Path,
) -> String {
    let gateway::Ready { metrics, admin, .. } = gateway;
    let alertmanagers = match alertmanagers {
        [] => "  # no alertmanagers: alerts go to the log, the page and the API\n".to_owned(),
        urls => urls
            .iter()
            .map(|url| alertmanager(url))
            .fold("  alertmanagers:\n".to_owned(), |text, one| text + &one),
    };
    format!(
        r#"# What the demo's agent ran with.
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: gateway
    static_configs: [{{ targets: ["{metrics}"], labels: {{ __evidence_address__: "{admin}" }} }}]
    evidence: [ledger, tasks]
alerting:
  keep_firing_for: 3s
{alertmanagers}storage: {{ path: {state:?} }}
web: {{ listen: "127.0.0.1:0" }}
"#,
        state = state.display().to_string(),
    )
}

fn alertmanager(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (target, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    format!(
        "    - {{ scheme: {scheme}, path_prefix: \"/{}\", static_configs: [{{ targets: [{target:?}] }}] }}\n",
        prefix.trim_end_matches('/')
    )
}

/// Watches until the parent is gone.
pub(crate) async fn run(configuration: &Path) -> anyhow::Result<()> {
    let parent = Parent::take()?;
    let agent = Agent::start(Config::load(configuration)?).await?;
    child::report(&Ready {
        web: agent.web_addr().to_string(),
    })?;
    parent.ended().await;
    agent.shutdown().await;
    Ok(())
}
