//! Text to nodes: a tree in which every value knows its line and its path of keys.
//!
//! A scalar keeps the text as it was written, also where YAML would read a number, so that a label value `1.10` stays
//! `1.10`. The size and nesting that the YAML reader accepts are bounded by its defaults.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::mistakes::{Mistakes, Place};

/// One value of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// A scalar as written, without quotes.
    Scalar(String),
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file; the place of a key is the place of its value, on the key's line.
    Mapping(Vec<(String, Node)>),
}

/// Reads one document.
///
/// # Errors
/// One mistake where the text is not YAML: its line and the reader's own words.
pub fn parse(text: &str) -> Result<Node, Mistakes> {
    let mut mistakes = Mistakes::new();
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => {
            let mut root = place(raw, text, String::new(), None);
            root.place.line = 0;
            reject_repeated_keys(&root, &mut mistakes);
            mistakes.into_result(root)
        }
        Err(error) => {
            let line = error
                .location()
                .map_or(0, |location| location.line() as usize);
            mistakes.add(
                Place {
                    line,
                    key: String::new(),
                },
                format!("this is not YAML: {}", first_line(&error)),
            );
            Err(mistakes)
        }
    }
}

/// YAML 1.2 §3.2.1.3: the keys of a mapping are unique. The reader would stop at the first that is not.
fn reject_repeated_keys(node: &Node, mistakes: &mut Mistakes) {
    match &node.value {
        Value::Sequence(items) => items
            .iter()
            .for_each(|item| reject_repeated_keys(item, mistakes)),
        Value::Mapping(pairs) => {
            for (index, (name, value)) in pairs.iter().enumerate() {
                if let Some((_, first)) = pairs[..index].iter().find(|(earlier, _)| earlier == name)
                {
                    mistakes.add(
                        value.place.clone(),
                        format!("repeats the key of line {}; keep one", first.place.line),
                    );
                }
                reject_repeated_keys(value, mistakes);
            }
        }
        Value::Null | Value::Scalar(_) => {}
    }
}

/// A value as the YAML reader gives it, before it knows its key.
enum Raw {
    Null,
    /// A string, already unquoted and unescaped.
    Text(String),
    /// A number or a boolean, whose spelling is in the source.
    Typed(String),
    Sequence(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn place(raw: Spanned<Raw>, source: &str, key: String, key_line: Option<usize>) -> Node {
    let own_line = raw.referenced.line() as usize;
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Scalar(text),
        Raw::Typed(text) => Value::Scalar(spelling(&raw.defined, source).unwrap_or(text)),
        Raw::Sequence(items) => Value::Sequence(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| place(item, source, format!("{key}[{index}]"), None))
                .collect(),
        ),
        Raw::Mapping(pairs) => Value::Mapping(
            pairs
                .into_iter()
                .map(|(name, value)| {
                    let path = if key.is_empty() {
                        name.value.clone()
                    } else {
                        format!("{key}.{}", name.value)
                    };
                    let line = name.referenced.line() as usize;
                    (name.value, place(value, source, path, Some(line)))
                })
                .collect(),
        ),
    };
    Node {
        place: Place {
            line: key_line.unwrap_or(own_line),
            key,
        },
        value,
    }
}

/// The spelling of a plain scalar in the source, where the reader tells its bytes.
fn spelling(location: &serde_saphyr::Location, source: &str) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(length)?)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The reader's own words, without its multi-line picture of the source.
fn first_line(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ")
        .next()
        .unwrap_or(line)
        .trim()
        .to_owned()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Mapping(pairs))
    }
}
