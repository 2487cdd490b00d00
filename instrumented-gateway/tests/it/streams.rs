//! Upstreams over TLS and HTTP/2: connections that are shared, and streams that end by themselves.

mod ends;
mod refusals;
mod sharing;
mod tls;

use std::net::SocketAddr;

use http::Response;

use crate::support::{TestBody, full};

/// Over HTTP/2 by prior knowledge, with these keys of the upstream.
fn config(keys: &str) -> String {
    format!(
        "upstreams: [{{ name: one, endpoints: [\"{{0}}\"], http2: prior_knowledge{keys} }}]
routes:
  - {{ path: /*, proxy: one }}
  - {{ path: /short/*, proxy: one, deadline: 300ms, body_idle_timeout: 300ms }}
  - {{ path: /fan, deadline: 300ms, fan_out: {{ policy: partial, calls: [{{ name: a, upstream: one, path: /a }}, {{ name: b, upstream: one, path: /hang }}] }} }}
"
    )
}

/// A configuration for an upstream of https under the name of localhost.
fn https(address: SocketAddr, keys: &str) -> String {
    let port = address.port();
    format!(
        "upstreams: [{{ name: one, endpoints: [\"https://localhost:{port}\"]{keys} }}]\nroutes: [{{ path: /*, proxy: one }}]\n"
    )
}

fn answer(body: impl Into<bytes::Bytes>) -> Response<TestBody> {
    Response::new(full(body))
}
