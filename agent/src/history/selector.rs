//! Which series are meant: a name, labels, or both, in Prometheus' notation without its regular expressions.

use std::str::FromStr;

use crate::labels::{Labels, is_label_name, is_metric_name};

/// Which series are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: Option<String>,
    /// Label, whether it must be equal, value.
    matchers: Vec<(String, bool, String)>,
}

/// A text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not a selector such as NAME, {{job=\"api\"}} or NAME{{job=\"api\",instance!=\"a:1\"}}: {0}"
)]
pub struct SelectorError(String);

impl Selector {
    /// Whether a series is meant. A label that is absent is an empty one.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        let is_named = self.name.as_deref().is_none_or(|own| own == name);
        is_named
            && self.matchers.iter().all(|(label, equal, value)| {
                (labels.get(label).unwrap_or_default() == value.as_str()) == *equal
            })
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let fault = |what: &str| SelectorError(what.to_owned());
        let text = text.trim();
        let (name, rest) = match text.find('{') {
            Some(at) => (text[..at].trim_end(), Some(&text[at + 1..])),
            None => (text, None),
        };
        if !name.is_empty() && !is_metric_name(name) {
            return Err(fault("its name is none"));
        }
        let mut selector = Self {
            name: (!name.is_empty()).then(|| name.to_owned()),
            matchers: Vec::new(),
        };
        if let Some(rest) = rest {
            let mut rest = rest.trim_start();
            while !rest.starts_with('}') {
                rest = selector.matcher(rest)?;
            }
            if !rest[1..].trim().is_empty() {
                return Err(fault("there is text after the closing brace"));
            }
        }
        if selector.name.is_none() && selector.matchers.is_empty() {
            return Err(fault("it names nothing"));
        }
        Ok(selector)
    }
}

impl Selector {
    /// Reads one matcher with the comma behind it; what is left.
    fn matcher<'t>(&mut self, text: &'t str) -> Result<&'t str, SelectorError> {
        let fault = |what: &str| SelectorError(what.to_owned());
        let end = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .ok_or_else(|| fault("the closing brace is missing"))?;
        let (label, rest) = text.split_at(end);
        if !is_label_name(label) {
            return Err(fault("a label name is missing"));
        }
        let rest = rest.trim_start();
        let (equal, rest) = match rest {
            _ if rest.starts_with("=~") || rest.starts_with("!~") => {
                return Err(fault(
                    "regular expressions are not known here, = and != are",
                ));
            }
            _ if rest.starts_with("!=") => (false, &rest[2..]),
            _ if rest.starts_with('=') => (true, &rest[1..]),
            _ => return Err(fault("= or != is missing after a label name")),
        };
        let (value, rest) = quoted(rest.trim_start())
            .ok_or_else(|| fault("a value in double quotes is missing"))?;
        self.matchers.push((label.to_owned(), equal, value));
        let rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(rest) => Ok(rest.trim_start()),
            None if rest.starts_with('}') => Ok(rest),
            None => Err(fault("the closing brace is missing")),
        }
    }
}

/// A text in double quotes, with the escapes of the exposition formats, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, series: (&str, &[(&str, &str)]), expected: bool) {
        let parsed: Selector = selector.parse().unwrap();
        let labels: Labels = series.1.iter().copied().collect();
        assert_eq!(parsed.matches(series.0, &labels), expected, "{selector}");
    }

    #[test]
    fn names_and_labels_are_matched() {
        let api: (&str, &[(&str, &str)]) = ("x_open", &[("job", "api"), ("path", "a\"}b")]);
        for (selector, expected) in [
            ("x_open", true),
            ("{job=\"api\"}", true),
            (" x_open { job = \"api\" , } ", true),
            ("x_open{job=\"api\",path=\"a\\\"}b\"}", true),
            ("x_open{job!=\"api\"}", false),
            ("y_open{job=\"api\"}", false),
            ("{job=\"ap\"}", false),
            ("{zone=\"\"}", true),
            ("{zone!=\"\"}", false),
        ] {
            check(selector, api, expected);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "names nothing"),
            ("{}", "names nothing"),
            ("9x", "name is none"),
            ("x{job=~\"a.*\"}", "regular expressions"),
            ("x{job=\"a\"", "closing brace"),
            ("x{job", "closing brace"),
            ("x{job=api}", "double quotes"),
            ("x{job=\"a\"} y", "after the closing brace"),
            ("x{=\"a\"}", "label name"),
        ] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
