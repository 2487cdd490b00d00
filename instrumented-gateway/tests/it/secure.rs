//! The clients' side over TLS and HTTP/2: the same requests, entries and ends as over plain HTTP/1.1.

mod floods;
mod http2;
mod tls;

use std::net::SocketAddr;

use instrumented_gateway::config::Config;
use instrumented_gateway::gateway::{Gateway, Running};
use instrumented_gateway::telemetry::Telemetry;

use crate::shell::support::text;
use crate::support::Certificates;

const ROUTES: &str = "
upstreams: [{ name: one, endpoints: [\"{0}\"] }]
routes: [{ path: /*, proxy: one }]
";
const TLS: &str = "tls: { cert_file: cert.pem, key_file: key.pem }\n";

/// Starts a gateway whose files are those of `certificates`.
async fn start(certificates: &Certificates, config: &str, upstreams: &[SocketAddr]) -> Running {
    let path = certificates.folder().join("gateway.yml");
    std::fs::write(&path, text(config, upstreams)).expect("written");
    let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, Telemetry::default())
        .await
        .expect("started")
}
