//! Label sets: sorted, without repetition, cheap to clone, comparable and hashable.
//!
//! A set is immutable and shared, because the same one is held by a target, a series, an incident and an alert at
//! once; its hash is taken once, because all of them are found by it. A label with an empty value is an absent label, as in Prometheus, so that two sets that mean the same compare
//! equal. Which labels a set ought to have is nobody's business here.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A set of labels, sorted by name.
#[derive(Clone)]
pub struct Labels {
    /// Of the pairs, the same in every process.
    hash: u64,
    pairs: Arc<[(Arc<str>, Arc<str>)]>,
}

impl Labels {
    fn of(pairs: Arc<[(Arc<str>, Arc<str>)]>) -> Self {
        let mut hasher = DefaultHasher::new();
        pairs.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            pairs,
        }
    }

    /// The empty set.
    pub fn empty() -> Self {
        Self::of(Arc::default())
    }

    /// A cheap order, the same whatever the order in which sets were met: by hash, and by the labels where those are the
    /// same.
    pub fn cmp_cheaply(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash).then_with(|| self.cmp(other))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of a label; never empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self
            .pairs
            .binary_search_by(|(own, _)| (**own).cmp(name))
            .ok()?;
        Some(&self.pairs[index].1)
    }

    /// Whether a label is there.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether both are one set in memory: far cheaper than comparing them, and true only where they are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pairs, &other.pairs)
    }

    /// The labels in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The labels in the order of their names, as they are shared.
    pub fn pairs(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.pairs
    }

    /// The same set with one label set to a value; an empty value takes it away.
    #[must_use]
    pub fn with(&self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.pairs
            .iter()
            .cloned()
            .chain([(name.into(), value.into())])
            .collect()
    }

    /// The same set less one label.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        self.retain(|own| own != name)
    }

    /// The labels whose names are wanted.
    #[must_use]
    pub fn retain(&self, mut wanted: impl FnMut(&str) -> bool) -> Self {
        let wanted = self.pairs.iter().filter(|(name, _)| wanted(name));
        Self::of(wanted.cloned().collect())
    }

    /// This set and those labels of another that it lacks: what Prometheus does with external labels.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        other.pairs.iter().chain(&*self.pairs).cloned().collect()
    }

    /// Whether every label that both have has the same value in both.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.iter()
            .all(|(name, value)| other.get(name).is_none_or(|own| own == value))
    }

    /// Whether every label of `other` is here with the same value.
    pub fn includes(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|(name, value)| self.get(name) == Some(value))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (self.is_same(other) || self.pairs == other.pairs)
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_same(other) {
            return Ordering::Equal;
        }
        self.pairs.cmp(&other.pairs)
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Whether a text is a label name that every Prometheus knows: `[a-zA-Z_][a-zA-Z0-9_]*`.
///
/// Source: Prometheus, "Data model".
pub fn is_label_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a text is a metric name that every Prometheus knows: a label name that may hold colons.
///
/// Source: Prometheus, "Data model".
pub fn is_metric_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// The later of two values of one name wins; empty values take the label away.
impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut sorted: Vec<(Arc<str>, Arc<str>)> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        sorted.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            same
        });
        sorted.retain(|(_, value)| !value.is_empty());
        Self::of(sorted.into())
    }
}

/// The exposition's syntax: `{a="b",c="d"}`, `{}` where there are none.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{name}=\"")?;
            write_escaped(f, value)?;
            f.write_str("\"")?;
        }
        f.write_str("}")
    }
}

/// Writes a label value as the exposition does between quotes: backslash, quote and line feed are escaped.
///
/// # Errors
/// Those of the writer.
pub fn write_escaped(writer: &mut impl fmt::Write, value: &str) -> fmt::Result {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        writer.write_str(&rest[..at])?;
        writer.write_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        })?;
        rest = &rest[at + 1..];
    }
    writer.write_str(rest)
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of label names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Labels, A::Error> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        while let Some((name, value)) = access.next_entry::<String, String>()? {
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(de::Error::custom(format_args!(
                    "label `{name}` is there twice"
                )));
            }
            pairs.push((name, value));
        }
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
