//! Pods and the ports of their containers, by themselves and behind a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, ContainerPort, ContainerStatus, Pod};

use super::{Pairs, address, group, host_port, metadata, namespace, put, text};
use crate::discovery::Group;
use crate::discovery::kubernetes::objects::{Key, Objects};

/// The targets of one pod; none while it has no address.
pub(super) fn group_of(pod: &Pod) -> Option<Group> {
    let ip = pod_ip(pod)?;
    let mut labels = namespace(&pod.metadata);
    labels.extend(pod_labels(pod));
    let mut targets = Vec::new();
    for (container, is_init) in containers(pod) {
        let id = container_id(pod, &container.name, is_init);
        let common = |target: &mut Pairs| {
            put(target, "pod_container_name", &container.name);
            put(target, "pod_container_id", &id);
            put(target, "pod_container_image", text(&container.image));
            put(target, "pod_container_init", is_init.to_string());
        };
        let ports = container.ports.as_deref().unwrap_or_default();
        if ports.is_empty() {
            let mut target = address(ip.to_owned());
            common(&mut target);
            targets.push(target);
        }
        for port in ports {
            let mut target = address(host_port(ip, port.container_port));
            common(&mut target);
            port_labels(&mut target, port);
            targets.push(target);
        }
    }
    Some(group(labels, targets))
}

/// What every target of a pod gets, but its namespace.
pub(super) fn pod_labels(pod: &Pod) -> Pairs {
    let mut labels = Pairs::new();
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().flatten();
    let ready = conditions
        .filter(|condition| condition.type_ == "Ready")
        .map(|condition| condition.status.to_lowercase())
        .next();
    let node = pod.spec.as_ref().map_or("", |spec| text(&spec.node_name));
    put(&mut labels, "pod_ip", text(&status.pod_ip));
    put(
        &mut labels,
        "pod_ready",
        ready.unwrap_or_else(|| "unknown".to_owned()),
    );
    put(&mut labels, "pod_phase", text(&status.phase));
    put(&mut labels, "pod_node_name", node);
    put(&mut labels, "pod_host_ip", text(&status.host_ip));
    put(&mut labels, "pod_uid", text(&pod.metadata.uid));
    metadata(&mut labels, "pod", &pod.metadata);
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    if let Some(owner) = controllers.next() {
        put(&mut labels, "pod_controller_kind", &owner.kind);
        put(&mut labels, "pod_controller_name", &owner.name);
    }
    labels
}

fn pod_ip(pod: &Pod) -> Option<&str> {
    let ip = pod.status.as_ref()?.pod_ip.as_deref()?;
    (!ip.is_empty()).then_some(ip)
}

/// Containers, then those that only prepare; each with whether it is one of these.
fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let spec = pod.spec.iter();
    let own = spec.clone().flat_map(|spec| &spec.containers);
    let first = spec.flat_map(|spec| spec.init_containers.iter().flatten());
    own.map(|own| (own, false))
        .chain(first.map(|own| (own, true)))
}

fn container_id(pod: &Pod, name: &str, is_init: bool) -> String {
    let status = pod.status.as_ref();
    let statuses: Option<&Vec<ContainerStatus>> = status.and_then(|status| match is_init {
        true => status.init_container_statuses.as_ref(),
        false => status.container_statuses.as_ref(),
    });
    let mut own = statuses
        .into_iter()
        .flatten()
        .filter(|own| own.name == name);
    own.next()
        .and_then(|own| own.container_id.clone())
        .unwrap_or_default()
}

fn port_labels(target: &mut Pairs, port: &ContainerPort) {
    put(
        target,
        "pod_container_port_number",
        port.container_port.to_string(),
    );
    put(target, "pod_container_port_name", text(&port.name));
    put(target, "pod_container_port_protocol", text(&port.protocol));
}

/// The targets behind a service: its addresses, and the ports of its pods that it does not have.
pub(super) struct Backends<'a> {
    pods: &'a Objects<Pod>,
    targets: Vec<Pairs>,
    /// Pods that were met, with the ports by which.
    met: BTreeMap<Key, Vec<i32>>,
}

impl<'a> Backends<'a> {
    pub(super) fn new(pods: &'a Objects<Pod>) -> Self {
        Self {
            pods,
            targets: Vec::new(),
            met: BTreeMap::new(),
        }
    }

    /// An address of the service, which may be that of a pod.
    pub(super) fn add(&mut self, mut target: Pairs, pod: Option<Arc<Pod>>, port: Option<i32>) {
        if let Some(pod) = pod {
            target.extend(pod_labels(&pod));
            let found = containers(&pod).find_map(|(container, _)| {
                let mut ports = container.ports.iter().flatten();
                let own = ports.find(|own| Some(own.container_port) == port)?;
                Some((container, own))
            });
            if let Some((container, own)) = found {
                put(&mut target, "pod_container_name", &container.name);
                put(&mut target, "pod_container_image", text(&container.image));
                port_labels(&mut target, own);
            }
            let meta = &pod.metadata;
            let key = (
                text(&meta.namespace).to_owned(),
                text(&meta.name).to_owned(),
            );
            self.met.entry(key).or_default().extend(port);
        }
        self.targets.push(target);
    }

    pub(super) fn targets(mut self) -> Vec<Pairs> {
        for ((namespace, name), ports) in &self.met {
            let Some(pod) = self.pods.get(namespace, name) else {
                continue;
            };
            let Some(ip) = pod_ip(&pod) else { continue };
            for (container, _) in containers(&pod) {
                for port in container.ports.iter().flatten() {
                    if ports.contains(&port.container_port) {
                        continue;
                    }
                    let mut target = address(host_port(ip, port.container_port));
                    put(&mut target, "pod_container_name", &container.name);
                    put(&mut target, "pod_container_image", text(&container.image));
                    port_labels(&mut target, port);
                    target.extend(pod_labels(&pod));
                    self.targets.push(target);
                }
            }
        }
        self.targets
    }
}
