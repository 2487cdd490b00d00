//! Rules from the configuration, with Prometheus' defaults and refusals.
//!
//! Source: Prometheus, `model/relabel`, `Config.Validate`.

use std::sync::{Arc, LazyLock};

use checked_yaml::{Fields, Mistakes, Node};
use regex::Regex;

use super::pattern::Pattern;
use super::template::Template;
use super::{Action, Relabelling, Rule};
use crate::labels::is_label_name;

const SEPARATOR: &str = ";";
const REPLACEMENT: &str = "$1";
const EVERYTHING: &str = "(.*)";

const ACTIONS: &str = "replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, \
    labelkeep, lowercase or uppercase";

/// A label name with references to groups in it.
static NAME_TEMPLATE: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"^(?:(?:[a-zA-Z_]|\$(?:\{[0-9A-Za-z_]+\}|[0-9A-Za-z_]+))+[0-9A-Za-z_]*)+$";
    Regex::new(text).expect("a constant expression is valid")
});

/// A rule as it is written, each value with its node where it is set.
struct Written<'a> {
    action: String,
    node: &'a Node,
    source_labels: Option<&'a Node>,
    separator: Option<(&'a Node, &'a str)>,
    target: Option<(&'a Node, &'a str)>,
    regex: Option<(&'a Node, &'a str)>,
    modulus: Option<(&'a Node, u64)>,
    replacement: Option<(&'a Node, &'a str)>,
}

impl Relabelling {
    /// Reads a list of rules: `relabel_configs`, `metric_relabel_configs` or `alert_relabel_configs`. What is wrong is
    /// added to the mistakes, each with its key and line; a rule with a mistake is left out.
    pub fn read(node: Option<&Node>, mistakes: &mut Mistakes) -> Self {
        let items = node.map_or(&[][..], |node| node.items(mistakes));
        let rules = items.iter().filter_map(|item| rule(item, mistakes));
        Self {
            rules: rules.collect(),
        }
    }
}

fn rule(node: &Node, mistakes: &mut Mistakes) -> Option<Rule> {
    let before = mistakes.len();
    let mut fields = node.fields(mistakes);
    let action_node = fields.optional("action");
    let action = match action_node {
        Some(node) => node.text(mistakes)?.to_lowercase(),
        None => "replace".to_owned(),
    };
    let written = Written {
        node: action_node.unwrap_or(node),
        action,
        source_labels: fields.optional("source_labels"),
        separator: text("separator", node, &mut fields, mistakes),
        target: text("target_label", node, &mut fields, mistakes),
        regex: fields
            .optional("regex")
            .and_then(|node| Some((node, node.text(mistakes)?))),
        modulus: fields
            .optional("modulus")
            .and_then(|node| Some((node, node.parse("a whole number", mistakes)?))),
        replacement: text("replacement", node, &mut fields, mistakes),
    };
    fields.finish(mistakes);
    let source_labels = source_labels(written.source_labels, mistakes);
    let separator = written.separator.map_or(SEPARATOR, |(_, text)| text);
    let action = written.action(mistakes)?;
    (mistakes.len() == before).then(|| Rule {
        source_labels,
        separator: separator.to_owned(),
        action,
    })
}

/// A text that may be empty; a key without a value is an empty text, as in Prometheus, and not an absent key.
fn text<'a>(
    key: &'static str,
    node: &'a Node,
    fields: &mut Fields<'a>,
    mistakes: &mut Mistakes,
) -> Option<(&'a Node, &'a str)> {
    if let Some(node) = fields.optional(key) {
        return Some((node, node.text(mistakes)?));
    }
    let pairs = node.entries(&mut Mistakes::new());
    pairs
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, node)| (node, ""))
}

fn source_labels(node: Option<&Node>, mistakes: &mut Mistakes) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    for item in node.map_or(&[][..], |node| node.items(mistakes)) {
        match item.text(mistakes) {
            Some(name) if is_label_name(name) => names.push(Arc::from(name)),
            Some(name) => item.reject(mistakes, format!("`{name}` is no label name")),
            None => {}
        }
    }
    names
}

impl Written<'_> {
    fn action(&self, mistakes: &mut Mistakes) -> Option<Action> {
        match self.action.as_str() {
            "replace" => self.replace(mistakes),
            "keep" => Some(Action::Keep(self.pattern(mistakes)?)),
            "drop" => Some(Action::Drop(self.pattern(mistakes)?)),
            "keepequal" => Some(Action::KeepEqual(self.equal(mistakes)?)),
            "dropequal" => Some(Action::DropEqual(self.equal(mistakes)?)),
            "hashmod" => {
                let target = self.target_label(mistakes);
                match self.modulus {
                    Some((_, modulus)) if modulus > 0 => Some(Action::HashMod {
                        target: target?,
                        modulus,
                    }),
                    Some((node, _)) => {
                        node.reject(mistakes, "must be more than zero");
                        None
                    }
                    None => {
                        self.node
                            .reject(mistakes, "`hashmod` needs a `modulus` above zero");
                        None
                    }
                }
            }
            "labelmap" => self.label_map(mistakes),
            "labeldrop" => Some(Action::LabelDrop(self.names(mistakes)?)),
            "labelkeep" => Some(Action::LabelKeep(self.names(mistakes)?)),
            "lowercase" => Some(Action::Lowercase(self.letters(mistakes)?)),
            "uppercase" => Some(Action::Uppercase(self.letters(mistakes)?)),
            other => {
                let message = format!("`{other}` is no action of relabelling; use {ACTIONS}");
                self.node.reject(mistakes, message);
                None
            }
        }
    }

    fn pattern(&self, mistakes: &mut Mistakes) -> Option<Pattern> {
        let text = self.regex.map_or(EVERYTHING, |(_, text)| text);
        match (Pattern::new(text), self.regex) {
            (Ok(pattern), _) => Some(pattern),
            (Err(error), node) => {
                let node = node.map_or(self.node, |(node, _)| node);
                node.reject(mistakes, error.to_string());
                None
            }
        }
    }

    fn replace(&self, mistakes: &mut Mistakes) -> Option<Action> {
        let target = self.target(mistakes);
        if let Some((node, text)) = target
            && !is_label_name(text)
            && !(text.contains('$') && NAME_TEMPLATE.is_match(text))
        {
            node.reject(mistakes, format!("`{text}` is no label name"));
        }
        let pattern = self.pattern(mistakes);
        let replacement = self.replacement.map_or(REPLACEMENT, |(_, text)| text);
        Some(Action::Replace {
            pattern: pattern?,
            target: Template::new(target?.1),
            replacement: Template::new(replacement),
        })
    }

    fn label_map(&self, mistakes: &mut Mistakes) -> Option<Action> {
        let replacement = self.replacement.map_or(REPLACEMENT, |(_, text)| text);
        if let Some((node, text)) = self.replacement
            && !NAME_TEMPLATE.is_match(text)
        {
            node.reject(mistakes, format!("`{text}` makes no label name"));
        }
        Some(Action::LabelMap {
            pattern: self.pattern(mistakes)?,
            replacement: Template::new(replacement),
        })
    }

    /// For the actions that compare: nothing but the labels may be set.
    fn equal(&self, mistakes: &mut Mistakes) -> Option<Arc<str>> {
        self.only_defaults(
            &[
                self.regex.filter(|(_, text)| *text != EVERYTHING),
                self.separator.filter(|(_, text)| *text != SEPARATOR),
                self.replacement.filter(|(_, text)| *text != REPLACEMENT),
            ],
            "`source_labels` and `target_label`",
            mistakes,
        );
        self.target_label(mistakes)
    }

    /// For the actions on names: nothing but the expression may be set.
    fn names(&self, mistakes: &mut Mistakes) -> Option<Pattern> {
        self.only_defaults(
            &[
                self.source_labels.map(|node| (node, "")),
                self.target.filter(|(_, text)| !text.is_empty()),
                self.separator.filter(|(_, text)| *text != SEPARATOR),
                self.replacement.filter(|(_, text)| *text != REPLACEMENT),
            ],
            "`regex`",
            mistakes,
        );
        self.pattern(mistakes)
    }

    fn only_defaults(&self, set: &[Option<(&Node, &str)>], allowed: &str, mistakes: &mut Mistakes) {
        let modulus = self.modulus.filter(|(_, modulus)| *modulus != 0);
        let modulus = modulus.map(|(node, _)| node);
        for node in set.iter().flatten().map(|(node, _)| *node).chain(modulus) {
            node.reject(
                mistakes,
                format!("`{}` takes only {allowed}; take it out", self.action),
            );
        }
    }

    fn letters(&self, mistakes: &mut Mistakes) -> Option<Arc<str>> {
        if let Some((node, text)) = self.replacement
            && text != REPLACEMENT
        {
            let message = format!("`{}` takes no replacement; take it out", self.action);
            node.reject(mistakes, message);
        }
        // Prometheus compiles it although the action does not use it.
        self.pattern(mistakes)?;
        self.target_label(mistakes)
    }

    fn target(&self, mistakes: &mut Mistakes) -> Option<(&Node, &str)> {
        let target = self.target.filter(|(_, text)| !text.is_empty());
        if target.is_none() {
            let message = format!("`{}` needs a `target_label`", self.action);
            self.node.reject(mistakes, message);
        }
        target
    }

    fn target_label(&self, mistakes: &mut Mistakes) -> Option<Arc<str>> {
        let (node, text) = self.target(mistakes)?;
        if !is_label_name(text) {
            node.reject(mistakes, format!("`{text}` is no label name"));
            return None;
        }
        Some(Arc::from(text))
    }
}
