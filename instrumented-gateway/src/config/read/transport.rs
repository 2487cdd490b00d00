//! TLS and HTTP/2, of the listener and of upstreams.

use std::path::Path;

use checked_yaml::{Fields, Mistakes, Node, Value};
use web_config::{ClientTls, ServerTls};

use super::optional;
use crate::config::values::{bytes, count};
use crate::config::{Http2, UpstreamConfig};

/// The windows of so many streams, at their least, still fit the window of a connection.
pub(super) const MOST_STREAMS: usize = 10_000;
/// The least window that a peer expects (RFC 9113, 6.9.2), in whole KiB.
const LEAST_WINDOW_BYTES: u64 = 64 << 10;
/// The largest window of a connection (RFC 9113, 6.9.1).
const MOST_WINDOW_BYTES: u64 = (1 << 31) - 1;

/// `http2`: where it is spoken.
pub(super) fn http2(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Http2 {
    let read = |node: &Node, mistakes: &mut Mistakes| match node.text(mistakes)? {
        "auto" => Some(Http2::Auto),
        "off" => Some(Http2::Off),
        "prior_knowledge" => Some(Http2::PriorKnowledge),
        other => {
            let message = format!("`{other}` is none of auto, off, prior_knowledge");
            node.reject(mistakes, message);
            None
        }
    };
    optional(fields, "http2", mistakes, read).unwrap_or_default()
}

/// `tls` of the listener.
pub(super) fn server_tls(
    fields: &mut Fields<'_>,
    http2: Http2,
    directory: &Path,
    mistakes: &mut Mistakes,
) -> Option<ServerTls> {
    let protocols: &[&str] = match http2 {
        Http2::Off => &["http/1.1"],
        Http2::Auto | Http2::PriorKnowledge => &["h2", "http/1.1"],
    };
    let node = fields.optional("tls")?;
    ServerTls::read(node, directory, protocols, mistakes)
}

/// `tls`, `http2`, `max_streams` and `stream_window` of an upstream.
pub(super) fn of_upstream(
    fields: &mut Fields<'_>,
    mut config: UpstreamConfig,
    directory: &Path,
    mistakes: &mut Mistakes,
) -> UpstreamConfig {
    config.http2 = http2(fields, mistakes);
    let max_streams = optional(fields, "max_streams", mistakes, |node, mistakes| {
        count(node, 1, MOST_STREAMS, mistakes)
    });
    let window_node = fields.optional("stream_window");
    let window = window_node
        .and_then(|node| bytes(node, LEAST_WINDOW_BYTES, MOST_WINDOW_BYTES, mistakes))
        .and_then(|bytes| u32::try_from(bytes).ok());
    config.max_streams = max_streams.unwrap_or(config.max_streams);
    config.stream_window_bytes = window.unwrap_or(config.stream_window_bytes);
    let whole = u64::from(config.stream_window_bytes) * config.max_streams as u64;
    if whole > MOST_WINDOW_BYTES {
        let place = window_node.map_or(fields.place(), |node| &node.place);
        let message = format!(
            "`stream_window` times `max_streams` is {whole} bytes, and a connection has a window of at most {MOST_WINDOW_BYTES}"
        );
        mistakes.add(place.clone(), message);
    }
    config.tls = client_tls(fields, &config, directory, mistakes);
    config
}

fn client_tls(
    fields: &mut Fields<'_>,
    config: &UpstreamConfig,
    directory: &Path,
    mistakes: &mut Mistakes,
) -> Option<ClientTls> {
    let node = fields.optional("tls");
    if !config.endpoints.iter().any(|endpoint| endpoint.is_tls) {
        if let Some(node) = node
            && !config.endpoints.is_empty()
        {
            node.reject(mistakes, "does nothing: no endpoint is reached by https");
        }
        return None;
    }
    let protocols: &[&str] = match config.http2 {
        Http2::Off => &["http/1.1"],
        Http2::Auto => &["h2", "http/1.1"],
        Http2::PriorKnowledge => &["h2"],
    };
    let nothing = Node {
        place: fields.place().clone(),
        value: Value::Null,
    };
    ClientTls::read(node.unwrap_or(&nothing), directory, protocols, mistakes)
}
