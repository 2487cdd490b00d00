//! What clients may ask: sizes, counts and times, and what a route may say otherwise.

use checked_yaml::{Fields, Mistakes, Node};

use super::{optional, transport};
use crate::config::values::{bytes, bytes_or_off, count, duration, duration_or_off, number};
use crate::config::{BodyLimits, Limits};

/// hyper refuses a smaller buffer.
const LEAST_HEADER_BYTES: u64 = 8192;
const MOST_HEADER_BYTES: u64 = 16 << 20;
/// hyper refuses a longer target by itself.
const MOST_URI_BYTES: usize = 65_534;
/// Far above any content, and far from overflow.
const MOST_BODY_BYTES: u64 = 1 << 50;
const MOST_BYTES_PER_SECOND: u64 = 1 << 30;

pub(super) fn read(node: &Node, mistakes: &mut Mistakes) -> Limits {
    let defaults = Limits::default();
    let mut fields = node.fields(mistakes);
    let max_connections = optional(
        &mut fields,
        "max_connections",
        mistakes,
        |node, mistakes| count(node, 1, 1_000_000, mistakes),
    );
    let header_read_timeout = optional(&mut fields, "header_read_timeout", mistakes, duration);
    let max_header_bytes = optional(&mut fields, "max_header_bytes", mistakes, header_bytes);
    let max_headers = optional(&mut fields, "max_headers", mistakes, headers);
    let max_concurrent_streams = optional(
        &mut fields,
        "max_concurrent_streams",
        mistakes,
        |node, mistakes| count(node, 1, transport::MOST_STREAMS, mistakes),
    );
    let max_resets = optional(&mut fields, "max_resets", mistakes, |node, mistakes| {
        count(node, 1, 1_000_000, mistakes)
    });
    let max_uri_bytes = optional(&mut fields, "max_uri_bytes", mistakes, |node, mistakes| {
        let bytes = bytes(node, 1, MOST_URI_BYTES as u64, mistakes)?;
        usize::try_from(bytes).ok()
    });
    let request_body = request_body(&mut fields, defaults.request_body, mistakes);
    let descriptor_reserve = optional(
        &mut fields,
        "descriptor_reserve",
        mistakes,
        |node, mistakes| number(node, 0, 1_000_000_000, mistakes),
    );
    fields.finish(mistakes);
    Limits {
        max_connections: max_connections.unwrap_or(defaults.max_connections),
        header_read_timeout: header_read_timeout.unwrap_or(defaults.header_read_timeout),
        max_header_bytes: max_header_bytes.unwrap_or(defaults.max_header_bytes),
        max_headers: max_headers.unwrap_or(defaults.max_headers),
        max_concurrent_streams: max_concurrent_streams
            .and_then(|streams| u32::try_from(streams).ok())
            .unwrap_or(defaults.max_concurrent_streams),
        max_resets: max_resets.unwrap_or(defaults.max_resets),
        max_uri_bytes: max_uri_bytes.unwrap_or(defaults.max_uri_bytes),
        request_body,
        descriptor_reserve,
    }
}

/// The keys about contents, which stand under `limits` and on routes.
pub(super) fn request_body(
    fields: &mut Fields<'_>,
    defaults: BodyLimits,
    mistakes: &mut Mistakes,
) -> BodyLimits {
    let max_bytes = optional(
        fields,
        "max_request_body_bytes",
        mistakes,
        |node, mistakes| bytes_or_off(node, 0, MOST_BODY_BYTES, mistakes),
    );
    let read_timeout = optional(fields, "body_read_timeout", mistakes, duration_or_off);
    let min_bytes_per_second = optional(
        fields,
        "min_body_bytes_per_second",
        mistakes,
        |node, mistakes| bytes(node, 0, MOST_BYTES_PER_SECOND, mistakes),
    );
    BodyLimits {
        max_bytes: max_bytes.unwrap_or(defaults.max_bytes),
        read_timeout: read_timeout.unwrap_or(defaults.read_timeout),
        min_bytes_per_second: min_bytes_per_second.unwrap_or(defaults.min_bytes_per_second),
    }
}

/// Bytes of a head.
pub(super) fn header_bytes(node: &Node, mistakes: &mut Mistakes) -> Option<usize> {
    let bytes = bytes(node, LEAST_HEADER_BYTES, MOST_HEADER_BYTES, mistakes)?;
    usize::try_from(bytes).ok()
}

/// Fields of a head.
pub(super) fn headers(node: &Node, mistakes: &mut Mistakes) -> Option<usize> {
    count(node, 1, 10_000, mistakes)
}
