//! `kubernetes_sd_configs` from the configuration.

use std::path::Path;

use checked_yaml::{Fields, Mistakes, Node};

use super::{KubernetesDiscovery, Namespaces, Role, Selector};

const ACCESS: &str = "is Prometheus' own but not supported here: say it in a kubeconfig file and name that in \
    `kubeconfig_file`, or run in the cluster";

/// Keys of Prometheus by which a server is asked directly.
const ACCESS_KEYS: [&str; 14] = [
    "api_server",
    "authorization",
    "basic_auth",
    "bearer_token",
    "bearer_token_file",
    "enable_http2",
    "follow_redirects",
    "http_headers",
    "no_proxy",
    "oauth2",
    "proxy_connect_header",
    "proxy_from_environment",
    "proxy_url",
    "tls_config",
];

impl Role {
    const ALL: [(&str, Self); 5] = [
        ("pod", Self::Pod),
        ("endpoints", Self::Endpoints),
        ("endpointslice", Self::EndpointSlice),
        ("service", Self::Service),
        ("node", Self::Node),
    ];

    fn read(node: Option<&Node>, mistakes: &mut Mistakes) -> Option<Self> {
        let node = node?;
        let text = node.text(mistakes)?;
        let known = Self::ALL.iter().find(|(word, _)| *word == text);
        if known.is_none() {
            node.reject(
                mistakes,
                format!("`{text}` is no role known here; use pod, endpoints, endpointslice, service or node"),
            );
        }
        known.map(|(_, role)| *role)
    }

    /// The kinds of objects that a role looks at.
    fn looks_at(self) -> &'static [Self] {
        match self {
            Self::Pod => &[Self::Pod],
            Self::Service => &[Self::Service],
            Self::Node => &[Self::Node],
            Self::Endpoints => &[Self::Endpoints, Self::Service, Self::Pod],
            Self::EndpointSlice => &[Self::EndpointSlice, Self::Service, Self::Pod],
        }
    }
}

impl KubernetesDiscovery {
    pub(in crate::discovery) fn read(
        node: &Node,
        directory: &Path,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let before = mistakes.len();
        let mut fields = node.fields(mistakes);
        let role = fields.required("role", mistakes);
        let role = Role::read(role, mistakes);
        let kubeconfig_file = fields
            .optional("kubeconfig_file")
            .and_then(|node| node.text(mistakes))
            .map(|path| directory.join(path));
        let namespaces = namespaces(&mut fields, mistakes);
        let selectors = selectors(fields.optional("selectors"), role, mistakes);
        for key in ACCESS_KEYS {
            fields.refuse(key, ACCESS, mistakes);
        }
        fields.refuse(
            "attach_metadata",
            "is Prometheus' own but not supported yet; take it out",
            mistakes,
        );
        fields.finish(mistakes);
        (mistakes.len() == before).then_some(())?;
        Some(Self {
            role: role?,
            kubeconfig_file,
            namespaces,
            selectors,
        })
    }
}

fn namespaces(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Namespaces {
    let mut namespaces = Namespaces::default();
    let Some(node) = fields.optional("namespaces") else {
        return namespaces;
    };
    let mut fields = node.fields(mistakes);
    if let Some(node) = fields.optional("own_namespace") {
        namespaces.own = node.boolean(mistakes).unwrap_or_default();
    }
    if let Some(node) = fields.optional("names") {
        for item in node.items(mistakes) {
            namespaces
                .names
                .extend(item.text(mistakes).map(str::to_owned));
        }
    }
    fields.finish(mistakes);
    namespaces.names.sort();
    namespaces.names.dedup();
    namespaces
}

fn selectors(node: Option<&Node>, role: Option<Role>, mistakes: &mut Mistakes) -> Vec<Selector> {
    let mut selectors: Vec<Selector> = Vec::new();
    for item in node.map_or(&[][..], |node| node.items(mistakes)) {
        let mut fields = item.fields(mistakes);
        let role_node = fields.required("role", mistakes);
        let own = Role::read(role_node, mistakes);
        let mut text = |key| {
            let node = fields.optional(key)?;
            node.text(mistakes).map(str::to_owned)
        };
        let (label, field) = (text("label"), text("field"));
        fields.finish(mistakes);
        let Some(own) = own else { continue };
        if role.is_some_and(|role| !role.looks_at().contains(&own)) {
            item.reject(mistakes, "the role does not look at objects of this kind");
        } else if selectors.iter().any(|known| known.role == own) {
            item.reject(mistakes, "there is a selector of this role already");
        }
        selectors.push(Selector {
            role: own,
            label,
            field,
        });
    }
    selectors
}
