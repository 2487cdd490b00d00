//! From objects to groups of targets, role by role, with Prometheus' meta labels. It is pure.

mod pods;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, Endpoints, Node, ObjectReference, Pod, Service,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort as SlicePort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::objects::Objects;
use crate::discovery::Group;
use crate::labels::Labels;
use pods::Backends;

/// Addresses of a node, the best first.
const NODE_ADDRESSES: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

/// Labels while they are gathered; an empty value is an absent label.
type Pairs = Vec<(String, String)>;

fn put(pairs: &mut Pairs, name: &str, value: impl Into<String>) {
    pairs.push((format!("__meta_kubernetes_{name}"), value.into()));
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

/// Host and port, an IPv6 address in brackets.
fn host_port(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// What can stand in a label's name; anything else becomes an underscore.
fn sanitized(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() || letter == '_' => letter,
        _ => '_',
    });
    letters.collect()
}

/// Name, labels and annotations of an object of this kind.
fn metadata(pairs: &mut Pairs, kind: &str, meta: &ObjectMeta) {
    put(pairs, &format!("{kind}_name"), text(&meta.name));
    for (word, values) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (name, value) in values.iter().flatten() {
            let name = sanitized(name);
            put(pairs, &format!("{kind}_{word}_{name}"), value);
            put(pairs, &format!("{kind}_{word}present_{name}"), "true");
        }
    }
}

fn namespace(meta: &ObjectMeta) -> Pairs {
    let mut pairs = Pairs::new();
    put(&mut pairs, "namespace", text(&meta.namespace));
    pairs
}

fn group(labels: Pairs, targets: Vec<Pairs>) -> Group {
    let targets = targets
        .into_iter()
        .map(|target| target.into_iter().collect::<Labels>());
    Group {
        labels: labels.into_iter().collect(),
        targets: targets.collect(),
    }
}

fn address(address: String) -> Pairs {
    vec![("__address__".to_owned(), address)]
}

/// Every port of every container.
pub(super) fn pods(pods: &Objects<Pod>) -> Vec<Group> {
    let all = pods.all();
    all.iter().filter_map(|pod| pods::group_of(pod)).collect()
}

/// Every port of every service.
pub(super) fn services(services: &Objects<Service>) -> Vec<Group> {
    let all = services.all();
    all.iter()
        .map(|service| group_of_service(service))
        .collect()
}

fn group_of_service(service: &Service) -> Group {
    let meta = &service.metadata;
    let mut labels = namespace(meta);
    metadata(&mut labels, "service", meta);
    let spec = service.spec.clone().unwrap_or_default();
    let kind = text(&spec.type_);
    let host = format!("{}.{}.svc", text(&meta.name), text(&meta.namespace));
    let targets = spec.ports.iter().flatten().map(|port| {
        let mut target = address(host_port(&host, port.port));
        put(&mut target, "service_port_name", text(&port.name));
        put(&mut target, "service_port_number", port.port.to_string());
        put(&mut target, "service_port_protocol", text(&port.protocol));
        put(&mut target, "service_type", kind);
        if kind == "ExternalName" {
            let name = text(&spec.external_name);
            put(&mut target, "service_external_name", name);
        } else {
            put(&mut target, "service_cluster_ip", text(&spec.cluster_ip));
        }
        target
    });
    let targets = targets.collect();
    group(labels, targets)
}

/// Every node at its kubelet's port.
pub(super) fn nodes(nodes: &Objects<Node>) -> Vec<Group> {
    let all = nodes.all();
    all.iter().filter_map(|node| group_of_node(node)).collect()
}

fn group_of_node(node: &Node) -> Option<Group> {
    let mut labels = Pairs::new();
    metadata(&mut labels, "node", &node.metadata);
    let provider = node
        .spec
        .as_ref()
        .map_or("", |spec| text(&spec.provider_id));
    put(&mut labels, "node_provider_id", provider);
    let status = node.status.clone().unwrap_or_default();
    let mut addresses: BTreeMap<&str, &str> = BTreeMap::new();
    for own in status.addresses.iter().flatten() {
        addresses.entry(&own.type_).or_insert(&own.address);
    }
    let best = NODE_ADDRESSES.iter().find_map(|kind| addresses.get(kind))?;
    let endpoints = status.daemon_endpoints.unwrap_or_default();
    let port = endpoints.kubelet_endpoint.map_or(0, |own| own.port);
    let mut target = address(host_port(best, port));
    let name = text(&node.metadata.name).to_owned();
    target.push(("instance".to_owned(), name));
    for (kind, own) in &addresses {
        put(
            &mut target,
            &format!("node_address_{}", sanitized(kind)),
            *own,
        );
    }
    Some(group(labels, vec![target]))
}

/// Every address of every endpoint, and the other ports of their pods.
pub(super) fn endpoints(
    endpoints: &Objects<Endpoints>,
    services: &Objects<Service>,
    pods: &Objects<Pod>,
) -> Vec<Group> {
    let all = endpoints.all();
    let groups = all.iter().map(|own| {
        let meta = &own.metadata;
        let mut labels = namespace(meta);
        metadata(&mut labels, "endpoints", meta);
        service_labels(
            &mut labels,
            services,
            text(&meta.namespace),
            text(&meta.name),
        );
        let mut backends = Backends::new(pods);
        for subset in own.subsets.iter().flatten() {
            for port in subset.ports.iter().flatten() {
                for (addresses, ready) in [
                    (&subset.addresses, "true"),
                    (&subset.not_ready_addresses, "false"),
                ] {
                    for own in addresses.iter().flatten() {
                        let target = endpoint(own, port, ready);
                        let pod = pod_of(pods, own.target_ref.as_ref());
                        backends.add(target, pod, Some(port.port));
                    }
                }
            }
        }
        group(labels, backends.targets())
    });
    groups.collect()
}

fn endpoint(own: &EndpointAddress, port: &EndpointPort, ready: &str) -> Pairs {
    let mut target = address(host_port(&own.ip, port.port));
    put(&mut target, "endpoint_port_name", text(&port.name));
    put(&mut target, "endpoint_port_protocol", text(&port.protocol));
    put(&mut target, "endpoint_ready", ready);
    if let Some(reference) = &own.target_ref {
        put(
            &mut target,
            "endpoint_address_target_kind",
            text(&reference.kind),
        );
        put(
            &mut target,
            "endpoint_address_target_name",
            text(&reference.name),
        );
    }
    put(&mut target, "endpoint_node_name", text(&own.node_name));
    put(&mut target, "endpoint_hostname", text(&own.hostname));
    target
}

/// The same by endpoint slices.
pub(super) fn endpoint_slices(
    slices: &Objects<EndpointSlice>,
    services: &Objects<Service>,
    pods: &Objects<Pod>,
) -> Vec<Group> {
    let all = slices.all();
    let groups = all.iter().map(|own| {
        let meta = &own.metadata;
        let mut labels = namespace(meta);
        metadata(&mut labels, "endpointslice", meta);
        put(
            &mut labels,
            "endpointslice_address_type",
            own.address_type.as_str(),
        );
        let service = meta.labels.as_ref();
        let service = service.and_then(|labels| labels.get("kubernetes.io/service-name"));
        if let Some(service) = service {
            service_labels(&mut labels, services, text(&meta.namespace), service);
        }
        let mut backends = Backends::new(pods);
        for port in own.ports.iter().flatten() {
            for endpoint in own.endpoints.iter().flatten() {
                for address in &endpoint.addresses {
                    let target = slice_endpoint(address, endpoint, port);
                    let pod = pod_of(pods, endpoint.target_ref.as_ref());
                    backends.add(target, pod, port.port);
                }
            }
        }
        group(labels, backends.targets())
    });
    groups.collect()
}

fn slice_endpoint(host: &str, own: &Endpoint, port: &SlicePort) -> Pairs {
    let own_address = port
        .port
        .map_or_else(|| host.to_owned(), |port| host_port(host, port));
    let mut target = address(own_address);
    let number = port.port.map(|port| port.to_string());
    let conditions = own.conditions.clone().unwrap_or_default();
    let word = |condition: Option<bool>| condition.map(|own| own.to_string());
    for (name, value) in [
        ("port_name", port.name.clone()),
        ("port_protocol", port.protocol.clone()),
        ("port", number),
        ("port_app_protocol", port.app_protocol.clone()),
        ("endpoint_conditions_ready", word(conditions.ready)),
        ("endpoint_conditions_serving", word(conditions.serving)),
        (
            "endpoint_conditions_terminating",
            word(conditions.terminating),
        ),
        ("endpoint_hostname", own.hostname.clone()),
        ("endpoint_node_name", own.node_name.clone()),
        ("endpoint_zone", own.zone.clone()),
    ] {
        put(
            &mut target,
            &format!("endpointslice_{name}"),
            value.unwrap_or_default(),
        );
    }
    if let Some(reference) = &own.target_ref {
        put(
            &mut target,
            "endpointslice_address_target_kind",
            text(&reference.kind),
        );
        put(
            &mut target,
            "endpointslice_address_target_name",
            text(&reference.name),
        );
    }
    for (name, value) in own.deprecated_topology.iter().flatten() {
        let name = sanitized(name);
        put(
            &mut target,
            &format!("endpointslice_endpoint_topology_{name}"),
            value,
        );
        put(
            &mut target,
            &format!("endpointslice_endpoint_topology_present_{name}"),
            "true",
        );
    }
    target
}

fn service_labels(labels: &mut Pairs, services: &Objects<Service>, namespace: &str, name: &str) {
    if let Some(service) = services.get(namespace, name) {
        metadata(labels, "service", &service.metadata);
    }
}

fn pod_of(pods: &Objects<Pod>, reference: Option<&ObjectReference>) -> Option<Arc<Pod>> {
    let reference = reference.filter(|own| own.kind.as_deref() == Some("Pod"))?;
    pods.get(text(&reference.namespace), text(&reference.name))
}
