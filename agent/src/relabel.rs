//! Relabelling: rules that rewrite a label set or drop what carries it, with Prometheus' exact meaning.
//!
//! It is pure, and knows neither targets nor samples nor alerts: `relabel_configs`, `metric_relabel_configs` and
//! `alert_relabel_configs` are the same list of rules, read by one function ([`Relabelling::read`]) and applied by one
//! ([`Relabelling::apply`]). Label names are those that every Prometheus knows (`[a-zA-Z_][a-zA-Z0-9_]*`): a `replace`
//! or `labelmap` that would make another name does nothing, as in Prometheus 2.
//!
//! Source: Prometheus, "Configuration", `<relabel_config>`; regular expressions are anchored and their `.` matches a
//! line feed, as since Prometheus 3.

mod letters;
mod pattern;
mod read;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::labels::{Labels, is_label_name};
use pattern::Pattern;
use template::Template;

pub use pattern::PatternError;

/// The name of the label that holds a sample's metric name.
pub(crate) const METRIC_NAME: &str = "__name__";

/// A list of rules, in their order. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Relabelling {
    rules: Arc<[Rule]>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    source_labels: Vec<Arc<str>>,
    separator: String,
    action: Action,
}

/// What a rule does with the values of its source labels, joined by the separator.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// Sets a label to the replacement where the value matches.
    Replace {
        pattern: Pattern,
        target: Template,
        replacement: Template,
    },
    /// Goes on only where the value matches.
    Keep(Pattern),
    /// Goes on only where the value does not match.
    Drop(Pattern),
    /// Goes on only where a label has the value.
    KeepEqual(Arc<str>),
    /// Goes on only where a label does not have the value.
    DropEqual(Arc<str>),
    /// Sets a label to the value's hash, modulo a number.
    HashMod { target: Arc<str>, modulus: u64 },
    /// Sets a label to the value in small letters.
    Lowercase(Arc<str>),
    /// Sets a label to the value in capitals.
    Uppercase(Arc<str>),
    /// Copies the labels whose names match under names of their own.
    LabelMap {
        pattern: Pattern,
        replacement: Template,
    },
    /// Takes the labels away whose names match.
    LabelDrop(Pattern),
    /// Takes the labels away whose names do not match.
    LabelKeep(Pattern),
}

/// A label set while it is rewritten.
type Draft = BTreeMap<Arc<str>, Arc<str>>;

impl Relabelling {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The labels as the rules leave them, `None` where a rule drops them.
    pub fn apply(&self, labels: &Labels) -> Option<Labels> {
        if self.rules.is_empty() {
            return Some(labels.clone());
        }
        let mut draft: Draft = labels.pairs().iter().cloned().collect();
        for rule in &*self.rules {
            if !rule.apply(&mut draft) {
                return None;
            }
        }
        Some(draft.into_iter().collect())
    }

    /// Whether the rules might give a sample another metric name, so that its own name does not tell what it will be.
    pub fn may_rename(&self) -> bool {
        self.rules.iter().any(|rule| match &rule.action {
            Action::Replace { target, .. } => target.may_be(METRIC_NAME),
            Action::HashMod { target, .. }
            | Action::Lowercase(target)
            | Action::Uppercase(target) => &**target == METRIC_NAME,
            Action::LabelMap { replacement, .. } => replacement.may_be(METRIC_NAME),
            Action::Keep(_)
            | Action::Drop(_)
            | Action::KeepEqual(_)
            | Action::DropEqual(_)
            | Action::LabelDrop(_)
            | Action::LabelKeep(_) => false,
        })
    }
}

impl Rule {
    /// Whether what carries the labels is kept.
    fn apply(&self, draft: &mut Draft) -> bool {
        match &self.action {
            Action::Replace {
                pattern,
                target,
                replacement,
            } => self.replace(draft, pattern, target, replacement),
            Action::Keep(pattern) => return pattern.matches(&self.value(draft)),
            Action::Drop(pattern) => return !pattern.matches(&self.value(draft)),
            Action::KeepEqual(target) => return *get(draft, target) == *self.value(draft),
            Action::DropEqual(target) => return *get(draft, target) != *self.value(draft),
            Action::HashMod { target, modulus } => {
                let value = hash(&self.value(draft)) % modulus;
                set(draft, target, &value.to_string());
            }
            Action::Lowercase(target) => {
                let value = letters::lowercase(&self.value(draft));
                set(draft, target, &value);
            }
            Action::Uppercase(target) => {
                let value = letters::uppercase(&self.value(draft));
                set(draft, target, &value);
            }
            Action::LabelMap {
                pattern,
                replacement,
            } => map_names(draft, pattern, replacement),
            Action::LabelDrop(pattern) => draft.retain(|name, _| !pattern.matches(name)),
            Action::LabelKeep(pattern) => draft.retain(|name, _| pattern.matches(name)),
        }
        true
    }

    /// The values of the source labels; a label that is not there has an empty one.
    fn value(&self, draft: &Draft) -> String {
        let mut value = String::new();
        for (index, label) in self.source_labels.iter().enumerate() {
            if index > 0 {
                value.push_str(&self.separator);
            }
            value.push_str(get(draft, label));
        }
        value
    }

    fn replace(
        &self,
        draft: &mut Draft,
        pattern: &Pattern,
        target: &Template,
        replacement: &Template,
    ) {
        let value = self.value(draft);
        let Some(captures) = pattern.captures(&value) else {
            return;
        };
        let target = target.expand(&captures);
        if is_label_name(&target) {
            set(draft, &target, &replacement.expand(&captures));
        }
    }
}

fn map_names(draft: &mut Draft, pattern: &Pattern, replacement: &Template) {
    let mut mapped: Vec<(String, Arc<str>)> = Vec::new();
    for (name, value) in &*draft {
        if let Some(captures) = pattern.captures(name) {
            mapped.push((replacement.expand(&captures), Arc::clone(value)));
        }
    }
    for (name, value) in mapped {
        if is_label_name(&name) {
            draft.insert(Arc::from(name), value);
        }
    }
}

fn get<'a>(draft: &'a Draft, name: &str) -> &'a str {
    draft.get(name).map_or("", |value| value)
}

/// Sets a label; an empty value takes it away.
fn set(draft: &mut Draft, name: &str, value: &str) {
    if value.is_empty() {
        draft.remove(name);
    } else {
        draft.insert(Arc::from(name), Arc::from(value));
    }
}

/// The last eight bytes of the MD5 sum, big endian: what Prometheus has hashed with since its first release.
fn hash(value: &str) -> u64 {
    let sum = Md5::digest(value.as_bytes());
    sum[8..]
        .iter()
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
