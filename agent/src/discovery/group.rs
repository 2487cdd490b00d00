//! Groups of targets, as providers tell of them, and the format in which files and servers list them.
//!
//! A group is read whole or not at all: where one label cannot be read, what its targets would become is not what was
//! meant. Names of labels must be names that every Prometheus knows.
//!
//! Source: Prometheus, "Configuration", `<file_sd_config>` and `<http_sd_config>`.

use checked_yaml::{Mistakes, Node};
use serde::Deserialize;

use crate::labels::{Labels, is_label_name};

/// Targets that share labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// What all of them have.
    pub labels: Labels,
    /// What each has of its own, `__address__` among it; it wins over the group's.
    pub targets: Vec<Labels>,
}

/// Why a text lists no groups.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// It is not JSON, or not of this shape.
    #[error("line {}: {}", .0.line(), reason(.0))]
    Json(#[from] serde_json::Error),
    /// It is not YAML, or not of this shape.
    #[error("{0}")]
    Yaml(#[from] Mistakes),
    /// A label has a name that is none.
    #[error("`{0}` is no label name")]
    LabelName(String),
}

impl Group {
    /// The labels of each target, with the group's.
    pub fn members(&self) -> impl Iterator<Item = Labels> {
        self.targets.iter().map(|target| target.or(&self.labels))
    }

    /// The targets at these addresses.
    pub fn of_addresses(addresses: impl IntoIterator<Item = String>, labels: Labels) -> Self {
        let targets = addresses
            .into_iter()
            .map(|address| Labels::from_iter([("__address__", address)]));
        Self {
            labels,
            targets: targets.collect(),
        }
    }

    /// The groups of a list in JSON: `[{"targets": ["host:port"], "labels": {"name": "value"}}]`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>, GroupError> {
        let written: Vec<Option<Written>> = serde_json::from_str(text)?;
        written
            .into_iter()
            .map(|group| group.unwrap_or_default().check())
            .collect()
    }

    /// The groups of a list in YAML.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn list_from_yaml(text: &str) -> Result<Vec<Self>, GroupError> {
        let root = checked_yaml::parse(text)?;
        let mut mistakes = Mistakes::new();
        let items = root.items(&mut mistakes);
        let groups = items
            .iter()
            .map(|item| Self::read(item, &mut mistakes))
            .collect();
        Ok(mistakes.into_result(groups)?)
    }

    fn read(node: &Node, mistakes: &mut Mistakes) -> Self {
        let mut fields = node.fields(mistakes);
        let mut addresses = Vec::new();
        if let Some(targets) = fields.optional("targets") {
            for item in targets.items(mistakes) {
                addresses.extend(item.text(mistakes).map(str::to_owned));
            }
        }
        let mut labels = Vec::new();
        if let Some(node) = fields.optional("labels") {
            for (name, value) in node.entries(mistakes) {
                if !is_label_name(name) {
                    value.reject(mistakes, format!("`{name}` is no label name"));
                } else if !value.is_null()
                    && let Some(text) = value.text(mistakes)
                {
                    labels.push((name.as_str(), text));
                }
            }
        }
        fields.finish(mistakes);
        Self::of_addresses(addresses, labels.into_iter().collect())
    }
}

/// A group as it stands in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    targets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<Labels>,
}

impl Written {
    fn check(self) -> Result<Group, GroupError> {
        let labels = self.labels.unwrap_or_default();
        let wrong = labels.iter().find(|(name, _)| !is_label_name(name));
        if let Some((name, _)) = wrong {
            return Err(GroupError::LabelName(name.to_owned()));
        }
        Ok(Group::of_addresses(
            self.targets.unwrap_or_default(),
            labels,
        ))
    }
}

/// The message without its place, which is told before it.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}
