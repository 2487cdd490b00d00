//! What the gateway adds to the messages that it passes on.

use std::sync::Arc;

use checked_yaml::{Fields, Mistakes, Node};

use super::optional;
use crate::config::{Forwarding, HopConfig};

pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> HopConfig {
    let defaults = HopConfig::default();
    HopConfig {
        via: optional(fields, "via", mistakes, name),
        forwarded: optional(fields, "forwarded", mistakes, forwarding)
            .unwrap_or(defaults.forwarded),
        x_forwarded: optional(fields, "x_forwarded", mistakes, forwarding)
            .unwrap_or(defaults.x_forwarded),
    }
}

/// A pseudonym is a token (RFC 9110, 7.6.3).
fn name(node: &Node, mistakes: &mut Mistakes) -> Option<Arc<str>> {
    let text = node.text(mistakes)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        node.reject(
            mistakes,
            format!("`{text}` is no name such as gateway-1: letters, digits, `-`, `.` and `_`"),
        );
        return None;
    }
    Some(text.into())
}

fn forwarding(node: &Node, mistakes: &mut Mistakes) -> Option<Forwarding> {
    match node.text(mistakes)? {
        "off" => Some(Forwarding::Off),
        "append" => Some(Forwarding::Append),
        "replace" => Some(Forwarding::Replace),
        other => {
            node.reject(
                mistakes,
                format!("`{other}` is neither `off`, `append` nor `replace`"),
            );
            None
        }
    }
}
