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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Forwarding, HopConfig};

    const REST: &str = "listen: 127.0.0.1:0\nupstreams: [{ name: one, endpoints: [\"http://127.0.0.1:1\"] }]\n\
        routes: [{ path: /*, proxy: one }]\n";

    /// What a configuration says of this hop, or its mistakes.
    fn read(keys: &str) -> Result<HopConfig, String> {
        let config = Config::parse(&format!("{REST}{keys}"));
        config
            .map(|config| config.hop)
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_hop_is_what_its_keys_say() {
        assert_eq!(read(""), Ok(HopConfig::default()));
        let expected = HopConfig {
            via: Some("edge-1".into()),
            forwarded: Forwarding::Replace,
            x_forwarded: Forwarding::Off,
        };
        let keys = "via: edge-1\nforwarded: replace\nx_forwarded: off\n";
        assert_eq!(read(keys), Ok(expected));
    }

    #[test]
    fn what_is_no_name_or_word_is_a_mistake() {
        let mistakes =
            read("via: a b\nforwarded: yes\nx_forwarded: [append]\n").expect_err("mistakes");
        for expected in [
            "line 4: via: `a b` is no name such as gateway-1",
            "line 5: forwarded: `yes` is neither `off`, `append` nor `replace`",
            "line 6: x_forwarded: expected a text",
        ] {
            assert!(mistakes.contains(expected), "{expected} in {mistakes}");
        }
        assert!(read("via: \"\"\n").is_err());
    }
}
