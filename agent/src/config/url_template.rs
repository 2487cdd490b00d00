//! Links with placeholders: `https://runbooks.example.org/{alertname}#{cause}`.
//!
//! A placeholder is the name of a label or annotation of the alert in braces. Its value is percent-encoded, so that no
//! text from a target can lead a link elsewhere; what the alert lacks becomes empty.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::labels::is_label_name;

/// A link, cut at its placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

/// Why a text is no link with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlTemplateError {
    /// Not a link that a browser follows.
    #[error("it begins with neither http:// nor https://")]
    Scheme,
    /// A placeholder before the path would let a label choose the host.
    #[error("a placeholder stands before the path")]
    PlaceholderInHost,
    /// A brace without its partner.
    #[error("a brace is not closed")]
    OpenBrace,
    /// Not a label's name between the braces.
    #[error("`{{{0}}}` is no label name")]
    Name(String),
}

impl UrlTemplate {
    /// The link with the value of each placeholder, percent-encoded.
    pub fn render<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> String {
        let mut url = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Placeholder(name) => push_encoded(&mut url, value(name).unwrap_or_default()),
            }
        }
        url
    }
}

/// RFC 3986 §2.3: all but unreserved characters are encoded.
fn push_encoded(url: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

impl FromStr for UrlTemplate {
    type Err = UrlTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .ok_or(UrlTemplateError::Scheme)?;
        let path = host.find(['/', '?', '#']).unwrap_or(host.len());
        if host[..path].contains('{') {
            return Err(UrlTemplateError::PlaceholderInHost);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or(UrlTemplateError::OpenBrace)?;
            if !is_label_name(name) {
                return Err(UrlTemplateError::Name(name.to_owned()));
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Placeholder(name.to_owned()));
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let template: UrlTemplate = template.parse().expect("a template");
        let url = template.render(|name| match name {
            "cause" => Some("unclosed_bodies"),
            "route" => Some("/home/{id}?a=b&c#d ü"),
            _ => None,
        });
        assert_eq!(url, expected);
    }

    #[test]
    fn placeholders_are_filled_and_encoded() {
        check("https://r.example/book", "https://r.example/book");
        check(
            "https://r.example/{cause}#x",
            "https://r.example/unclosed_bodies#x",
        );
        check(
            "http://g/d?var-route={route}&x={lacking}",
            "http://g/d?var-route=%2Fhome%2F%7Bid%7D%3Fa%3Db%26c%23d%20%C3%BC&x=",
        );
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for (text, expected) in [
            ("javascript:alert(1)", UrlTemplateError::Scheme),
            ("https://{job}/x", UrlTemplateError::PlaceholderInHost),
            ("https://a/{job", UrlTemplateError::OpenBrace),
            ("https://a/{}", UrlTemplateError::Name(String::new())),
            ("https://a/{a b}", UrlTemplateError::Name("a b".to_owned())),
        ] {
            assert_eq!(text.parse::<UrlTemplate>(), Err(expected), "{text}");
        }
    }
}
