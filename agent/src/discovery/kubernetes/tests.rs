use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use checked_yaml::Mistakes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::discovery::tests::background::{Background, mistake, read};
use crate::labels::Labels;

/// What a pod is made of.
fn pod(name: &str, ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "shop", "name": name, "uid": "u1", "resourceVersion": "1",
            "labels": { "app.kubernetes.io/name": "cart" },
            "annotations": { "prometheus.io/scrape": "true" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "r", "controller": true }],
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                { "name": "cart", "image": "cart:1", "ports": [
                    { "name": "http", "containerPort": 8080, "protocol": "TCP" },
                    { "name": "metrics", "containerPort": 9901, "protocol": "TCP" },
                ] },
                { "name": "sidecar", "image": "sidecar:1" },
            ],
            "initContainers": [{ "name": "first", "image": "first:1" }],
        },
        "status": {
            "podIP": ip, "hostIP": "10.1.0.1", "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "cart", "containerID": "containerd://1", "image": "", "imageID": "", "ready": true, "restartCount": 0 }],
        },
    })
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object")
}

/// The addresses of the targets, and the labels of the first without the common beginning.
fn told(groups: &[Group]) -> (Vec<String>, String) {
    let members: Vec<Labels> = groups.iter().flat_map(Group::members).collect();
    let addresses = members
        .iter()
        .map(|own| own.get("__address__").unwrap_or_default().to_owned());
    let first = members.first().map(|own| {
        let labels = own
            .iter()
            .map(|(name, value)| (name.replace("__meta_kubernetes_", "~"), value));
        labels
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect::<String>()
    });
    (addresses.collect(), first.unwrap_or_default())
}

#[test]
fn pods_give_every_port_of_every_container() {
    let starting =
        object(json!({ "metadata": { "namespace": "shop", "name": "starting" }, "status": {} }));
    let pods = Objects::with(vec![object(pod("cart-1-a", "10.0.0.1")), starting]);
    let (addresses, first) = told(&roles::pods(&pods));
    assert_eq!(
        addresses,
        ["10.0.0.1:8080", "10.0.0.1:9901", "10.0.0.1", "10.0.0.1"]
    );
    expect_test::expect![[r#"
        __address__=10.0.0.1:8080
        ~namespace=shop
        ~pod_annotation_prometheus_io_scrape=true
        ~pod_annotationpresent_prometheus_io_scrape=true
        ~pod_container_id=containerd://1
        ~pod_container_image=cart:1
        ~pod_container_init=false
        ~pod_container_name=cart
        ~pod_container_port_name=http
        ~pod_container_port_number=8080
        ~pod_container_port_protocol=TCP
        ~pod_controller_kind=ReplicaSet
        ~pod_controller_name=cart-1
        ~pod_host_ip=10.1.0.1
        ~pod_ip=10.0.0.1
        ~pod_label_app_kubernetes_io_name=cart
        ~pod_labelpresent_app_kubernetes_io_name=true
        ~pod_name=cart-1-a
        ~pod_node_name=n1
        ~pod_phase=Running
        ~pod_ready=true
        ~pod_uid=u1
    "#]]
    .assert_eq(&first);
}

fn service() -> Value {
    json!({
        "metadata": { "namespace": "shop", "name": "cart", "labels": { "tier": "front" } },
        "spec": { "type": "ClusterIP", "clusterIP": "10.9.0.1", "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }] },
    })
}

#[test]
fn services_give_their_ports() {
    let external = json!({
        "metadata": { "namespace": "shop", "name": "far" },
        "spec": { "type": "ExternalName", "externalName": "far.example.org", "ports": [{ "port": 443 }] },
    });
    let services = Objects::with(vec![object(service()), object(external)]);
    let groups = roles::services(&services);
    let (addresses, first) = told(&groups);
    assert_eq!(addresses, ["cart.shop.svc:80", "far.shop.svc:443"]);
    expect_test::expect![[r#"
        __address__=cart.shop.svc:80
        ~namespace=shop
        ~service_cluster_ip=10.9.0.1
        ~service_label_tier=front
        ~service_labelpresent_tier=true
        ~service_name=cart
        ~service_port_name=http
        ~service_port_number=80
        ~service_port_protocol=TCP
        ~service_type=ClusterIP
    "#]]
    .assert_eq(&first);
    let name = groups[1].targets[0].get("__meta_kubernetes_service_external_name");
    assert_eq!(name, Some("far.example.org"));
}

#[test]
fn nodes_give_their_kubelet() {
    let node = json!({
        "metadata": { "name": "n1", "labels": { "zone": "a" } },
        "spec": { "providerID": "cloud://n1" },
        "status": {
            "addresses": [{ "type": "Hostname", "address": "n1" }, { "type": "InternalIP", "address": "10.1.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        },
    });
    let (_, first) = told(&roles::nodes(&Objects::with(vec![object(node)])));
    expect_test::expect![[r#"
        __address__=10.1.0.1:10250
        ~node_address_Hostname=n1
        ~node_address_InternalIP=10.1.0.1
        ~node_label_zone=a
        ~node_labelpresent_zone=true
        ~node_name=n1
        ~node_provider_id=cloud://n1
        instance=n1
    "#]]
    .assert_eq(&first);
}

#[test]
fn endpoints_give_their_addresses_and_the_other_ports_of_their_pods() {
    let endpoints = json!({
        "metadata": { "namespace": "shop", "name": "cart" },
        "subsets": [{
            "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
            "addresses": [{ "ip": "10.0.0.1", "nodeName": "n1", "targetRef": { "kind": "Pod", "namespace": "shop", "name": "cart-1-a" } }],
            "notReadyAddresses": [{ "ip": "10.0.0.7" }],
        }],
    });
    let pods = Objects::with(vec![object(pod("cart-1-a", "10.0.0.1"))]);
    let services = Objects::with(vec![object(service())]);
    let groups = roles::endpoints(&Objects::with(vec![object(endpoints)]), &services, &pods);
    let (addresses, _) = told(&groups);
    assert_eq!(
        addresses,
        ["10.0.0.1:8080", "10.0.0.7:8080", "10.0.0.1:9901"]
    );
    let members: Vec<Labels> = groups[0].members().collect();
    let get = |index: usize, name: &str| {
        members[index]
            .get(&format!("__meta_kubernetes_{name}"))
            .map(str::to_owned)
    };
    for (index, name, expected) in [
        (0, "endpoint_ready", Some("true")),
        (0, "endpoint_port_name", Some("http")),
        (0, "endpoint_address_target_kind", Some("Pod")),
        (0, "endpoint_node_name", Some("n1")),
        (0, "endpoints_name", Some("cart")),
        (0, "service_label_tier", Some("front")),
        (0, "pod_container_name", Some("cart")),
        (0, "pod_container_port_number", Some("8080")),
        (0, "pod_name", Some("cart-1-a")),
        (1, "endpoint_ready", Some("false")),
        (1, "pod_name", None),
        (2, "endpoint_ready", None),
        (2, "pod_container_port_name", Some("metrics")),
    ] {
        assert_eq!(get(index, name).as_deref(), expected, "{index} {name}");
    }
}

#[test]
fn endpoint_slices_give_the_same_under_their_own_names() {
    let slice = json!({
        "metadata": { "namespace": "shop", "name": "cart-x", "labels": { "kubernetes.io/service-name": "cart" } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": [{
            "addresses": ["10.0.0.1"], "nodeName": "n1", "zone": "a",
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "kind": "Pod", "namespace": "shop", "name": "cart-1-a" },
        }],
    });
    let pods = Objects::with(vec![object(pod("cart-1-a", "10.0.0.1"))]);
    let services = Objects::with(vec![object(service())]);
    let groups = roles::endpoint_slices(&Objects::with(vec![object(slice)]), &services, &pods);
    let (addresses, first) = told(&groups);
    assert_eq!(addresses, ["10.0.0.1:8080", "10.0.0.1:9901"]);
    for expected in [
        "~endpointslice_address_type=IPv4\n",
        "~endpointslice_endpoint_conditions_ready=true\n",
        "~endpointslice_endpoint_conditions_terminating=false\n",
        "~endpointslice_endpoint_zone=a\n",
        "~endpointslice_port=8080\n",
        "~endpointslice_port_name=http\n",
        "~service_name=cart\n",
        "~pod_name=cart-1-a\n",
    ] {
        assert!(first.contains(expected), "{expected} in {first}");
    }
}

/// A server of Kubernetes' API that lists what it is told to and watches what it is sent.
struct Cluster {
    listed: Arc<Mutex<(u64, Vec<Value>)>>,
    watches: mpsc::Receiver<(String, mpsc::Sender<Bytes>)>,
    directory: tempfile::TempDir,
    background: Background,
}

impl Cluster {
    async fn listing(objects: Vec<Value>) -> Self {
        let listed = Arc::new(Mutex::new((1, objects)));
        let (begun, watches) = mpsc::channel(16);
        let answer = {
            let listed = Arc::clone(&listed);
            move |request: Request| {
                let (listed, begun) = (Arc::clone(&listed), begun.clone());
                async move {
                    let query = request.uri().query().unwrap_or_default().to_owned();
                    if query.contains("watch=true") {
                        return watch(query, begun).await;
                    }
                    let (version, items) = listed.lock().expect("no poison").clone();
                    let list = json!({
                        "apiVersion": "v1", "kind": "PodList",
                        "metadata": { "resourceVersion": version.to_string() },
                        "items": items,
                    });
                    axum::Json(list).into_response()
                }
            }
        };
        let mut background = Background::new();
        let pods = "/api/v1/namespaces/shop/pods";
        let url = background.serve(pods, get(answer)).await;
        let directory = tempfile::tempdir().expect("a directory");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "k", "cluster": { "server": url } }],
            "users": [{ "name": "u", "user": { "token": "t" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u", "namespace": "shop" } }],
        });
        std::fs::write(directory.path().join("kubeconfig"), kubeconfig.to_string())
            .expect("written");
        Self {
            listed,
            watches,
            directory,
            background,
        }
    }

    fn run(&mut self) -> (Outlet, Arc<Notify>) {
        let yaml = "role: pod\nkubeconfig_file: kubeconfig\nnamespaces: { own_namespace: true }\n\
                    selectors: [{ role: pod, label: app=cart }]";
        let provider = read(yaml, |root, mistakes| {
            KubernetesDiscovery::read(root, self.directory.path(), mistakes)
        });
        let run = |outlet| provider.run(outlet);
        self.background.run("kubernetes", run)
    }
}

/// Begins a watch that goes on until the test lets go of it.
async fn watch(query: String, begun: mpsc::Sender<(String, mpsc::Sender<Bytes>)>) -> Response {
    let (sender, receiver) = mpsc::channel::<Bytes>(16);
    let _ = begun.send((query, sender)).await;
    let lines = futures_util::stream::unfold(receiver, async |mut receiver| {
        let line = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(line), receiver))
    });
    Body::from_stream(lines).into_response()
}

fn event(kind: &str, object: Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": kind, "object": object })))
}

fn versioned(mut object: Value, version: u64) -> Value {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

#[track_caller]
fn names(outlet: &Outlet) -> Vec<String> {
    let groups = outlet.groups();
    let names = groups
        .iter()
        .filter_map(|own| own.labels.get("__meta_kubernetes_pod_name"));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_cluster_is_listed_and_watched_through_breaks_and_gone_versions() {
    let mut cluster = Cluster::listing(vec![pod("a", "10.0.0.1")]).await;
    let (outlet, changed) = cluster.run();
    changed.notified().await;
    assert_eq!(names(&outlet), ["a"]);

    // Added, marked by a bookmark, and deleted by the watch.
    let (query, events) = cluster.watches.recv().await.expect("a watch");
    assert!(query.contains("labelSelector=app%3Dcart"), "{query}");
    assert!(query.contains("resourceVersion=1"), "{query}");
    let added = versioned(pod("b", "10.0.0.2"), 2);
    events.send(event("ADDED", added)).await.expect("watched");
    changed.notified().await;
    assert_eq!(names(&outlet), ["a", "b"]);
    let bookmark =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "resourceVersion": "7" } });
    events
        .send(event("BOOKMARK", bookmark))
        .await
        .expect("watched");

    // A watch that breaks goes on from the bookmark.
    drop(events);
    let (query, events) = cluster.watches.recv().await.expect("another watch");
    assert!(query.contains("resourceVersion=7"), "{query}");
    assert_eq!(names(&outlet), ["a", "b"], "nothing is lost by a break");
    let gone = versioned(pod("a", "10.0.0.1"), 8);
    events.send(event("DELETED", gone)).await.expect("watched");
    changed.notified().await;
    assert_eq!(names(&outlet), ["b"]);

    // 410 Gone lists anew.
    *cluster.listed.lock().expect("no poison") = (20, vec![pod("c", "10.0.0.3")]);
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    });
    events.send(event("ERROR", status)).await.expect("watched");
    changed.notified().await;
    assert_eq!(names(&outlet), ["c"]);
    let (query, _events) = cluster.watches.recv().await.expect("a third watch");
    assert!(query.contains("resourceVersion=20"), "{query}");
}

#[tokio::test]
async fn without_access_it_says_so_and_has_no_targets() {
    let mut cluster = Cluster::listing(Vec::new()).await;
    let provider = KubernetesDiscovery {
        role: Role::Pod,
        kubeconfig_file: Some(cluster.directory.path().join("none")),
        namespaces: Namespaces::default(),
        selectors: Vec::new(),
    };
    let run = |outlet| provider.run(outlet);
    let (outlet, _) = cluster.background.run("kubernetes", run);
    let error = mistake(&outlet).await;
    assert!(error.starts_with("no access to the cluster: "), "{error}");
}

#[test]
fn mistakes_say_what_to_do() {
    for (yaml, expected) in [
        (
            "role: ingress",
            "line 1: role: `ingress` is no role known here; use pod, endpoints, endpointslice, service or node",
        ),
        (
            "role: pod\nselectors: [{ role: node }]",
            "line 2: selectors[0]: the role does not look at objects of this kind",
        ),
        (
            "role: pod\napi_server: https://k",
            "line 2: api_server: is Prometheus' own but not supported here: say it in a kubeconfig file and name that in `kubeconfig_file`, or run in the cluster",
        ),
    ] {
        let root = checked_yaml::parse(yaml).expect("YAML");
        let mut mistakes = Mistakes::new();
        assert_eq!(
            KubernetesDiscovery::read(&root, Path::new("."), &mut mistakes),
            None
        );
        assert_eq!(mistakes.to_string(), expected);
    }
}
