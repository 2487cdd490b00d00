//! A role: the gateway, from a configuration file such as anybody would write, with the drills allowed.

use std::path::Path;

use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::Gateway;
use instrumented_gateway::telemetry::{LogFormat, Telemetry};
use serde::{Deserialize, Serialize};

use crate::child::{self, Parent};

/// Where it listens.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// For clients.
    pub(crate) listen: String,
    /// For the agent's scrapes.
    pub(crate) metrics: String,
    /// For evidence and drills.
    pub(crate) admin: String,
}

/// The configuration for upstreams at these ports: short limits, so that a watcher need not wait for what takes
/// minutes in production.
pub(crate) fn configuration([content_port, social_port, adverts_port]: [u16; 3]) -> String {
    format!(
        r#"# What the demo's gateway ran with. Ports 0 are chosen by the system.
listen: 127.0.0.1:0
metrics: 127.0.0.1:0
admin: 127.0.0.1:0
admin_drills: true
upstreams:
  - name: content
    endpoints: ["http://127.0.0.1:{content_port}"]
    idle_timeout: 3s
  - name: social
    endpoints: ["http://127.0.0.1:{social_port}"]
    idle_timeout: 3s
  - name: adverts
    endpoints: ["http://127.0.0.1:{adverts_port}"]
    idle_timeout: 3s
routes:
  - path: /content/*
    deadline: 5s
    body_idle_timeout: 3s
    proxy: content
  - path: /home/{{id}}
    deadline: 1s
    fan_out:
      policy: partial
      calls:
        - {{ name: article, upstream: content, path: "/content/{{id}}" }}
        - {{ name: likes, upstream: social, path: "/likes/{{id}}" }}
        - {{ name: advert, upstream: adverts, path: "/adverts/{{id}}" }}
"#
    )
}

/// Serves until the parent is gone, on a runtime that knows its tasks by the line that spawned them.
pub(crate) fn run(configuration: &Path) -> anyhow::Result<()> {
    let config = Config::load(configuration)?;
    let telemetry = Telemetry::install(&config, LogFormat::Text);
    telemetry
        .tasks
        .runtime(config.worker_threads)?
        .block_on(async {
            let parent = Parent::take()?;
            let gateway = Gateway::start(config, telemetry).await?;
            child::report(&Ready {
                listen: gateway.listen_addr().to_string(),
                metrics: gateway.metrics_addr().to_string(),
                admin: gateway
                    .admin_addr()
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
            })?;
            parent.ended().await;
            gateway.shutdown().await;
            Ok(())
        })
}
