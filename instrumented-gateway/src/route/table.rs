//! The table that picks the most specific of the configured patterns.
//!
//! A tree by segment: at each one a literal is tried before a capture and a capture before a prefix's `*`, so the first
//! match is the most specific, whatever the order of the file. A look-up visits each node at most once.

use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::{Pattern, Segment};
use super::{decoded, has_dot_segment};

/// All patterns of a configuration.
#[derive(Debug)]
pub struct RouteTable {
    patterns: Vec<Pattern>,
    root: Node,
}

/// What a request's path is in the table.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The most specific pattern that matches.
    Found {
        /// Its index in the order of configuration.
        route: usize,
        /// What its captures matched.
        captures: Captures,
    },
    /// No pattern matches.
    Unmatched,
    /// The path has a `.` or `..` segment and is refused.
    DotSegment,
}

/// What the captures of a pattern matched in one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures {
    values: Vec<(Arc<str>, Vec<u8>)>,
    rest_at: Option<usize>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<[u8]>, Node>,
    capture: Option<Box<Node>>,
    prefix: Option<usize>,
    exact: Option<usize>,
}

impl RouteTable {
    /// A table of these patterns; of two that match the same paths, the later one wins (a configuration has none).
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let patterns: Vec<Pattern> = patterns.into_iter().collect();
        let mut root = Node::default();
        for (index, pattern) in patterns.iter().enumerate() {
            let mut node = &mut root;
            for segment in pattern.segments() {
                node = match segment {
                    Segment::Literal(bytes) => node.literals.entry(bytes.clone()).or_default(),
                    Segment::Capture(_) => node.capture.get_or_insert_default(),
                };
            }
            let slot = if pattern.is_prefix() {
                &mut node.prefix
            } else {
                &mut node.exact
            };
            *slot = Some(index);
        }
        Self { patterns, root }
    }

    /// Looks up the path of a request target, as it came.
    pub fn find(&self, path: &str) -> Lookup {
        if has_dot_segment(path) {
            return Lookup::DotSegment;
        }
        let found = path
            .strip_prefix('/')
            .and_then(|rest| self.root.find(Some(rest)));
        match found {
            Some(route) => Lookup::Found {
                route,
                captures: Captures::of(&self.patterns[route], path),
            },
            None => Lookup::Unmatched,
        }
    }
}

impl Node {
    fn find(&self, rest: Option<&str>) -> Option<usize> {
        let Some(rest) = rest else {
            return self.exact;
        };
        let (segment, next) = match rest.split_once('/') {
            Some((segment, next)) => (segment, Some(next)),
            None => (rest, None),
        };
        let literal = self.literals.get(&*decoded(segment));
        let capture = self.capture.as_deref().filter(|_| !segment.is_empty());
        literal
            .and_then(|node| node.find(next))
            .or_else(|| capture.and_then(|node| node.find(next)))
            .or(self.prefix)
    }
}

impl Captures {
    /// What `pattern`, which matches it, captures in `path`.
    fn of(pattern: &Pattern, path: &str) -> Self {
        let mut captures = Self::default();
        let mut at = 1;
        for segment in pattern.segments() {
            let text = path[at..].split('/').next().unwrap_or_default();
            if let Segment::Capture(name) = segment {
                captures
                    .values
                    .push((name.clone(), decoded(text).into_owned()));
            }
            at += text.len() + 1;
        }
        if pattern.is_prefix() {
            captures.rest_at = Some(at);
        }
        captures
    }

    /// The decoded bytes of a capture.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.values
            .iter()
            .find(|(known, _)| **known == *name)
            .map(|(_, value)| value.as_slice())
    }

    /// What stands in `path` for the pattern's `*`, as it came; empty where the pattern is exact.
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        self.rest_at
            .and_then(|at| path.get(at..))
            .unwrap_or_default()
    }
}
