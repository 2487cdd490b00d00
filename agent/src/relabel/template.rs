//! Replacements such as `${1}-$name`, filled in as Go's `Regexp.Expand` does.
//!
//! `$name` takes the longest run of letters, digits and underscores, so that `$1x` is the group `1x`, which does not
//! exist and is empty; `$$` is a dollar; a `$` that begins neither stays as it is. The regex crate's own expansion
//! differs in none of these today, but promises none of them.

use regex::Captures;

/// A text with references to the groups of a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number(usize),
    Name(String),
}

impl Template {
    pub(super) fn new(text: &str) -> Self {
        let mut template = Self { parts: Vec::new() };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            template.text(before);
            if let Some(after) = after.strip_prefix('$') {
                template.text("$");
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                template.parts.push(match number(name) {
                    Some(number) => Part::Number(number),
                    None => Part::Name(name.to_owned()),
                });
                rest = after;
            } else {
                template.text("$");
                rest = after;
            }
        }
        template.text(rest);
        template
    }

    fn text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    /// The text with the groups filled in; one that does not exist or took no part is empty.
    pub(super) fn expand(&self, captures: &Captures<'_>) -> String {
        let mut expanded = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => expanded.push_str(text),
                Part::Number(number) => {
                    expanded.push_str(captures.get(*number).map_or("", |group| group.as_str()));
                }
                Part::Name(name) => {
                    expanded.push_str(captures.name(name).map_or("", |group| group.as_str()));
                }
            }
        }
        expanded
    }

    /// Whether the expansion might be this text.
    pub(super) fn may_be(&self, text: &str) -> bool {
        match self.parts.as_slice() {
            [] => text.is_empty(),
            [Part::Text(own)] => own == text,
            _ => true,
        }
    }
}

/// The name that a text begins with, after the dollar, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let text = inner.unwrap_or(text);
    let end = text
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    match inner {
        Some(_) => Some((name, rest.strip_prefix('}')?)),
        None => Some((name, rest)),
    }
}

/// The number of a group; leading zeros make a name.
fn number(name: &str) -> Option<usize> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && (name.len() == 1 || !name.starts_with('0')) && name.len() < 9)
        .then(|| name.parse().ok())?
}
