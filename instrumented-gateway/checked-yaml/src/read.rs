//! What a caller asks of a node: fields, items, text, numbers, durations; what is wrong goes to the list.
//!
//! Every reader returns `None` where the value is of the wrong kind, and has then added the mistake, so that the caller
//! goes on and finds the next one. [`Fields::finish`] turns the keys that nobody asked for into mistakes.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::document::{Node, Value};
use crate::duration::parse_duration;
use crate::mistakes::{Mistakes, Place};

/// The keys of one mapping; each is asked for once.
#[must_use = "finish() reports the keys that nobody asked for"]
#[derive(Debug)]
pub struct Fields<'a> {
    place: &'a Place,
    pairs: &'a [(String, Node)],
    asked: Vec<&'static str>,
    /// Known, but of no use here: neither suggested nor listed.
    refused: Vec<&'static str>,
}

impl Node {
    /// The keys of a mapping; null is an empty mapping, anything else a mistake.
    pub fn fields(&self, mistakes: &mut Mistakes) -> Fields<'_> {
        let pairs: &[(String, Node)] = match &self.value {
            Value::Mapping(pairs) => pairs,
            Value::Null => &[],
            _ => {
                mistakes.add(
                    self.place.clone(),
                    format!("expected keys and values, found {}", self.describe()),
                );
                &[]
            }
        };
        Fields {
            place: &self.place,
            pairs,
            asked: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The pairs of a mapping whose keys are the operator's own (label names, say); null is empty.
    pub fn entries(&self, mistakes: &mut Mistakes) -> &[(String, Node)] {
        match &self.value {
            Value::Mapping(pairs) => pairs,
            Value::Null => &[],
            _ => {
                mistakes.add(
                    self.place.clone(),
                    format!("expected keys and values, found {}", self.describe()),
                );
                &[]
            }
        }
    }

    /// The items of a sequence; null is an empty sequence, anything else a mistake.
    pub fn items(&self, mistakes: &mut Mistakes) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            Value::Null => &[],
            _ => {
                mistakes.add(
                    self.place.clone(),
                    format!("expected a list, found {}", self.describe()),
                );
                &[]
            }
        }
    }

    /// The text of a scalar as written.
    pub fn text(&self, mistakes: &mut Mistakes) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => {
                mistakes.add(
                    self.place.clone(),
                    format!("expected a text, found {}", self.describe()),
                );
                None
            }
        }
    }

    /// A value read from a scalar's text; the mistake says what was `expected` and why the text is not it.
    pub fn parse<T>(&self, expected: &str, mistakes: &mut Mistakes) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(mistakes)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                mistakes.add(
                    self.place.clone(),
                    format!("`{text}` is not {expected}: {error}"),
                );
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self, mistakes: &mut Mistakes) -> Option<bool> {
        match self.text(mistakes)? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                mistakes.add(
                    self.place.clone(),
                    format!("`{other}` is neither true nor false"),
                );
                None
            }
        }
    }

    /// A duration in Prometheus' notation, such as `15s` or `1h30m`; may be zero.
    pub fn duration(&self, mistakes: &mut Mistakes) -> Option<Duration> {
        let text = self.text(mistakes)?;
        let duration = parse_duration(text);
        if duration.is_none() {
            mistakes.add(
                self.place.clone(),
                format!("`{text}` is not a duration such as 250ms, 15s or 1h30m"),
            );
        }
        duration
    }

    /// A duration above zero.
    pub fn positive_duration(&self, mistakes: &mut Mistakes) -> Option<Duration> {
        let duration = self.duration(mistakes)?;
        if duration.is_zero() {
            mistakes.add(self.place.clone(), "must be more than zero");
            return None;
        }
        Some(duration)
    }

    /// Whether the value is absent in all but its key.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Says that something is wrong with this value.
    pub fn reject(&self, mistakes: &mut Mistakes, message: impl Into<String>) {
        mistakes.add(self.place.clone(), message);
    }

    fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text) => format!("`{text}`"),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "keys and values".to_owned(),
        }
    }
}

impl<'a> Fields<'a> {
    /// The value of a key; a key without a value counts as absent.
    pub fn optional(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        let (_, node) = self.pairs.iter().find(|(name, _)| name == key)?;
        (!node.is_null()).then_some(node)
    }

    /// The value of a key that must be there.
    pub fn required(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Option<&'a Node> {
        let node = self.optional(key);
        if node.is_none() {
            mistakes.add(self.place.clone(), format!("`{key}` is missing"));
        }
        node
    }

    /// Refuses a key that is known but cannot be used, with the reason.
    pub fn refuse(&mut self, key: &'static str, reason: &str, mistakes: &mut Mistakes) {
        self.refused.push(key);
        if let Some((_, node)) = self.pairs.iter().find(|(name, _)| name == key) {
            node.reject(mistakes, reason);
        }
    }

    /// Where the mapping stands.
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// Reports every key that was not asked for, with the nearest one that was.
    pub fn finish(self, mistakes: &mut Mistakes) {
        for (name, node) in self.pairs {
            let name = name.as_str();
            if self.asked.contains(&name) || self.refused.contains(&name) {
                continue;
            }
            let message = match nearest(name, &self.asked) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known here: {}", self.asked.join(", ")),
            };
            mistakes.add(node.place.clone(), message);
        }
    }
}

/// The known word at an edit distance of at most a third of the length, at least one.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;
