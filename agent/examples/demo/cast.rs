//! Everybody on stage: the processes, and where they listen.

use std::path::Path;

use anyhow::Context;

use crate::child::Child;
use crate::load::{self, Second};
use crate::observe::Observer;
use crate::{Options, gateway, upstream, watcher};

/// The processes, and where they listen.
pub(crate) struct Cast {
    content: Child,
    social: Child,
    adverts: Child,
    gateway: Child,
    agent: Child,
    /// The clients, who report each second.
    pub(crate) load: Child,
    /// Of the gateway.
    pub(crate) addresses: gateway::Ready,
    /// Of the agent.
    pub(crate) web: String,
    /// Asks both.
    pub(crate) observer: Observer,
}

impl Cast {
    /// Starts everybody, from the upstreams to the clients.
    pub(crate) async fn start(options: &Options, directory: &Path) -> anyhow::Result<Self> {
        let (content, content_ready) =
            Child::start::<upstream::Ready>("as-upstream", &[], "content", directory).await?;
        let (social, social_ready) =
            Child::start::<upstream::Ready>("as-upstream", &[], "social", directory).await?;
        let (adverts, adverts_ready) =
            Child::start::<upstream::Ready>("as-upstream", &[], "adverts", directory).await?;
        let ports = [content_ready.port, social_ready.port, adverts_ready.port];
        let written = write(directory, "gateway.yml", &gateway::configuration(ports))?;
        let (gateway, addresses) =
            Child::start::<gateway::Ready>("as-gateway", &[&written], "gateway", directory).await?;
        let state = directory.join("state");
        let written = write(
            directory,
            "agent.yml",
            &watcher::configuration(&addresses, &options.alertmanagers, &state),
        )?;
        let (agent, watcher::Ready { web }) =
            Child::start("as-agent", &[&written], "agent", directory).await?;
        let rate = options.rate.to_string();
        let (load, load::Ready {}) =
            Child::start("as-load", &[&addresses.listen, &rate], "load", directory).await?;
        let observer = Observer::new(&addresses, &web, social_ready.port)?;
        Ok(Self {
            content,
            social,
            adverts,
            gateway,
            agent,
            load,
            addresses,
            web,
            observer,
        })
    }

    /// An error with the last words of whoever has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for child in [
            &mut self.content,
            &mut self.social,
            &mut self.adverts,
            &mut self.gateway,
            &mut self.agent,
            &mut self.load,
        ] {
            child.check()?;
        }
        Ok(())
    }

    /// Keeps everything running, and the load's reports read.
    pub(crate) async fn stay(mut self) -> anyhow::Result<()> {
        loop {
            self.load.report::<Second>().await?;
            self.check()?;
        }
    }

    /// Ends the processes from the clients to the upstreams, so that none sees another vanish.
    pub(crate) async fn end(self) {
        self.load.end().await;
        self.agent.end().await;
        self.gateway.end().await;
        self.content.end().await;
        self.social.end().await;
        self.adverts.end().await;
    }
}

fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let path = directory.join(name);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}
