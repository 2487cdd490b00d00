//! `kubernetes_sd_configs`: targets by the objects of a Kubernetes cluster, listed and watched.
//!
//! Roles, labels and addresses are Prometheus' own. The list and the watch behind each role are the `kube` crate's: a
//! watch that breaks goes on where it was, one that is too old (410 Gone) lists anew, and until that has succeeded what
//! was known stands. Access is that of a kubeconfig file or of the pod that the agent runs in; `api_server` with
//! credentials of its own is refused in favour of a kubeconfig file.
//!
//! Source: Prometheus, "Configuration", `<kubernetes_sd_config>`, and its `discovery/kubernetes`.

mod objects;
mod read;
mod roles;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, Config};
use tokio::sync::Notify;

use super::{Group, Outlet};
use objects::{Objects, Scope};

/// From one list of targets to the next, at least: a rollout changes many objects at once.
const SETTLE: Duration = Duration::from_millis(500);
/// How long to wait before access to the cluster is tried again.
const ACCESS_EVERY: Duration = Duration::from_secs(10);

/// One of `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesDiscovery {
    /// `role`.
    pub role: Role,
    /// `kubeconfig_file`; without it, access is that of the pod that the agent runs in.
    pub kubeconfig_file: Option<PathBuf>,
    /// `namespaces`.
    pub namespaces: Namespaces,
    /// `selectors`: of each kind of object that the role looks at, label and field selector.
    pub selectors: Vec<Selector>,
}

/// What makes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Every port of every container.
    Pod,
    /// Every address of every endpoint of a service, and the other ports of its pods.
    Endpoints,
    /// The same by endpoint slices.
    EndpointSlice,
    /// Every port of every service.
    Service,
    /// Every node, at its kubelet's port.
    Node,
}

/// Where to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// `own_namespace`: that of the kubeconfig or of the agent's pod.
    pub own: bool,
    /// `names`; all namespaces where there are none and `own` is not set.
    pub names: Vec<String>,
}

/// Which objects of one kind to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The kind.
    pub role: Role,
    /// `label`.
    pub label: Option<String>,
    /// `field`.
    pub field: Option<String>,
}

impl KubernetesDiscovery {
    pub(super) async fn run(self, outlet: Outlet) {
        let (client, scope) = loop {
            match self.access().await {
                Ok(access) => break access,
                Err(reason) => outlet.failed(format!("no access to the cluster: {reason}")),
            }
            tokio::time::sleep(ACCESS_EVERY).await;
        };
        let changed = Notify::new();
        let objects = |role: Role| self.settings_of(role);
        match self.role {
            Role::Pod => {
                let pods = Objects::<Pod>::default();
                let groups = || roles::pods(&pods);
                let watch = pods.watch(&client, &scope, objects(Role::Pod), &changed, &outlet);
                tokio::join!(
                    watch,
                    publish(&outlet, &changed, || pods.are_known(), groups)
                );
            }
            Role::Service => {
                let services = Objects::<Service>::default();
                let groups = || roles::services(&services);
                let settings = objects(Role::Service);
                let watch = services.watch(&client, &scope, settings, &changed, &outlet);
                tokio::join!(
                    watch,
                    publish(&outlet, &changed, || services.are_known(), groups)
                );
            }
            Role::Node => {
                let nodes = Objects::<Node>::default();
                let groups = || roles::nodes(&nodes);
                let watch = nodes.watch_all(&client, objects(Role::Node), &changed, &outlet);
                tokio::join!(
                    watch,
                    publish(&outlet, &changed, || nodes.are_known(), groups)
                );
            }
            Role::Endpoints => {
                let endpoints = Objects::<Endpoints>::default();
                let (services, pods) = (Objects::<Service>::default(), Objects::<Pod>::default());
                let groups = || roles::endpoints(&endpoints, &services, &pods);
                let known = || endpoints.are_known() && services.are_known() && pods.are_known();
                let own = objects(Role::Endpoints);
                tokio::join!(
                    endpoints.watch(&client, &scope, own, &changed, &outlet),
                    services.watch(&client, &scope, objects(Role::Service), &changed, &outlet),
                    pods.watch(&client, &scope, objects(Role::Pod), &changed, &outlet),
                    publish(&outlet, &changed, known, groups),
                );
            }
            Role::EndpointSlice => {
                let slices = Objects::<EndpointSlice>::default();
                let (services, pods) = (Objects::<Service>::default(), Objects::<Pod>::default());
                let groups = || roles::endpoint_slices(&slices, &services, &pods);
                let known = || slices.are_known() && services.are_known() && pods.are_known();
                let own = objects(Role::EndpointSlice);
                tokio::join!(
                    slices.watch(&client, &scope, own, &changed, &outlet),
                    services.watch(&client, &scope, objects(Role::Service), &changed, &outlet),
                    pods.watch(&client, &scope, objects(Role::Pod), &changed, &outlet),
                    publish(&outlet, &changed, known, groups),
                );
            }
        }
    }

    /// A client, and the namespaces to look into.
    async fn access(&self) -> Result<(Client, Scope), String> {
        // The first who says it counts: rustls wants to be told once who does its cryptography.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = match &self.kubeconfig_file {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| error.to_string())?
            }
            None => Config::incluster().map_err(|error| error.to_string())?,
        };
        let mut names = self.namespaces.names.clone();
        if self.namespaces.own && !names.contains(&config.default_namespace) {
            names.push(config.default_namespace.clone());
        }
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        Ok((client, Scope { names }))
    }

    fn settings_of(&self, role: Role) -> watcher::Config {
        let mut settings = watcher::Config::default();
        if let Some(own) = self.selectors.iter().find(|own| own.role == role) {
            settings.label_selector.clone_from(&own.label);
            settings.field_selector.clone_from(&own.field);
        }
        settings
    }
}

/// Puts what there is on the shelf whenever it has changed, once everything has been listed.
async fn publish(
    outlet: &Outlet,
    changed: &Notify,
    are_known: impl Fn() -> bool,
    groups: impl Fn() -> Vec<Group>,
) {
    loop {
        changed.notified().await;
        if are_known() {
            outlet.found(groups());
        }
        tokio::time::sleep(SETTLE).await;
    }
}

#[cfg(test)]
mod tests;
