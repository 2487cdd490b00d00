//! The walk over the file: asks for every key that is known, and adds what is wrong to one list.
//!
//! A value that cannot be read does not end the walk: its default stands in until the end, where one mistake is enough
//! to refuse the whole file. Contradictions between values that were read are found on the way, where the lines are.

mod hop;
mod limits;
mod routes;
mod transport;
mod upstreams;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use checked_yaml::{Fields, Mistakes, Node, Place, parse};

use super::values::{count, duration};
use super::{AccessLogFormat, AccessLogSettings, Config, DEFAULT_METRICS, IpNetwork};
use upstreams::Upstreams;

const MOST_WORKER_THREADS: usize = 1024;

/// Reads a configuration. The files that it names are relative to `directory`.
pub(super) fn config(text: &str, directory: &Path) -> Result<Config, Mistakes> {
    let root = parse(text)?;
    let mut mistakes = Mistakes::new();
    let mut fields = root.fields(&mut mistakes);
    let listeners = Listeners::read(&mut fields, &mut mistakes);
    let http2 = transport::http2(&mut fields, &mut mistakes);
    let tls = transport::server_tls(&mut fields, http2, directory, &mut mistakes);
    let web_config_file = optional(
        &mut fields,
        "web_config_file",
        &mut mistakes,
        |node, mistakes| web_config_file(node, directory, mistakes),
    );
    let grace =
        optional(&mut fields, "grace", &mut mistakes, duration).unwrap_or(Duration::from_secs(2));
    let max_accounts = optional(
        &mut fields,
        "max_accounts",
        &mut mistakes,
        |node, mistakes| count(node, 1, 1_000_000, mistakes),
    );
    let worker_threads = optional(
        &mut fields,
        "worker_threads",
        &mut mistakes,
        |node, mistakes| count(node, 1, MOST_WORKER_THREADS, mistakes),
    );
    let shutdown_timeout = optional(&mut fields, "shutdown_timeout", &mut mistakes, duration);
    let access_log = access_log(&mut fields, &mut mistakes);
    let limits = fields
        .optional("limits")
        .map(|node| limits::read(node, &mut mistakes))
        .unwrap_or_default();
    let trusted_peers = fields
        .optional("trusted_peers")
        .map(|node| trusted_peers(node, &mut mistakes));
    let hop = hop::read(&mut fields, &mut mistakes);
    let upstreams = Upstreams::read(&mut fields, grace, &listeners.own, directory, &mut mistakes);
    let routes = routes::read(&mut fields, &upstreams, limits.request_body, &mut mistakes);
    fields.finish(&mut mistakes);
    let config = Config {
        listen: listeners.listen,
        tls,
        http2,
        metrics: listeners.metrics,
        admin: listeners.admin,
        admin_drills: listeners.admin_drills,
        web_config_file,
        console: listeners.console,
        grace,
        max_accounts: max_accounts.unwrap_or(1000),
        worker_threads,
        shutdown_timeout: shutdown_timeout.unwrap_or(Duration::from_secs(10)),
        limits,
        access_log,
        trusted_peers: trusted_peers.unwrap_or_default(),
        hop,
        upstreams: upstreams.into_configs(),
        routes,
    };
    mistakes.into_result(config)
}

/// What `read` makes of an optional key.
fn optional<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    mistakes: &mut Mistakes,
    read: impl FnOnce(&Node, &mut Mistakes) -> Option<T>,
) -> Option<T> {
    fields.optional(key).and_then(|node| read(node, mistakes))
}

/// The addresses that the gateway itself listens on.
struct Listeners {
    listen: SocketAddr,
    metrics: SocketAddr,
    admin: Option<SocketAddr>,
    console: Option<SocketAddr>,
    admin_drills: bool,
    own: Vec<(&'static str, SocketAddr)>,
}

impl Listeners {
    fn read(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Self {
        let mut own = Vec::new();
        let listen = fields.required("listen", mistakes);
        let listen = listen.and_then(|node| address("listen", node, &mut own, mistakes));
        let metrics = match fields.optional("metrics") {
            Some(node) => address("metrics", node, &mut own, mistakes),
            None => {
                let place = fields.place().clone();
                claim("metrics", DEFAULT_METRICS, &place, &mut own, mistakes);
                None
            }
        };
        let admin = fields.optional("admin");
        let admin_drills = fields.optional("admin_drills");
        let drills_allowed = admin_drills.and_then(|node| node.boolean(mistakes)) == Some(true);
        if let Some(node) = admin_drills
            && drills_allowed
            && admin.is_none()
        {
            node.reject(
                mistakes,
                "needs `admin`, the listener that would start them",
            );
        }
        let admin = admin.and_then(|node| address("admin", node, &mut own, mistakes));
        let console = fields.optional("console");
        if let Some(node) = console
            && !cfg!(feature = "console")
        {
            node.reject(
                mistakes,
                "this binary was built without the feature `console`; build it with --features console, or leave the key out",
            );
        }
        let console = console.and_then(|node| address("console", node, &mut own, mistakes));
        Self {
            listen: listen.unwrap_or(DEFAULT_METRICS),
            metrics: metrics.unwrap_or(DEFAULT_METRICS),
            admin,
            console,
            admin_drills: drills_allowed,
            own,
        }
    }
}

fn address(
    key: &'static str,
    node: &Node,
    own: &mut Vec<(&'static str, SocketAddr)>,
    mistakes: &mut Mistakes,
) -> Option<SocketAddr> {
    let address = node.parse("an IP address and port such as 127.0.0.1:8080", mistakes)?;
    claim(key, address, &node.place, own, mistakes);
    Some(address)
}

/// Takes an address for one listener; two cannot have the same.
fn claim(
    key: &'static str,
    address: SocketAddr,
    place: &Place,
    own: &mut Vec<(&'static str, SocketAddr)>,
    mistakes: &mut Mistakes,
) {
    if let Some((other, _)) = own.iter().find(|(_, taken)| overlap(*taken, address)) {
        let place = Place {
            line: place.line,
            key: key.to_owned(),
        };
        mistakes.add(place, format!("{address} is taken by `{other}`"));
    }
    own.push((key, address));
}

/// Whether the kernel would refuse to bind both; port 0 asks for any free one.
fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    left.port() != 0
        && left.port() == right.port()
        && left.is_ipv4() == right.is_ipv4()
        && (left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified())
}

/// The path of a web configuration file without a mistake.
fn web_config_file(node: &Node, directory: &Path, mistakes: &mut Mistakes) -> Option<PathBuf> {
    let path = directory.join(node.text(mistakes)?);
    match web_config::Protection::check(&path) {
        Ok(()) => Some(path),
        Err(error) => {
            node.reject(mistakes, error.told());
            None
        }
    }
}

fn access_log(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> AccessLogSettings {
    let format = optional(fields, "access_log", mistakes, |node, mistakes| match node
        .text(mistakes)?
    {
        "off" => Some(None),
        "json" => Some(Some(AccessLogFormat::Json)),
        "text" => Some(Some(AccessLogFormat::Text)),
        other => {
            node.reject(
                mistakes,
                format!("`{other}` is neither `off`, `json` nor `text`"),
            );
            None
        }
    });
    let with_query = optional(fields, "access_log_query", mistakes, Node::boolean);
    AccessLogSettings {
        format: format.flatten(),
        with_query: with_query.unwrap_or(false),
    }
}

fn trusted_peers(node: &Node, mistakes: &mut Mistakes) -> Vec<IpNetwork> {
    node.items(mistakes)
        .iter()
        .filter_map(|item| item.parse("a network", mistakes))
        .collect()
}
