//! A configured path: exact, or a prefix that ends in `/*`, in which `{name}` matches one segment.

use std::fmt;
use std::sync::Arc;

use super::{decoded, has_dot_segment};

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes, after percent-decoding.
    Literal(Box<[u8]>),
    /// Any one segment that is not empty, under this name.
    Capture(Arc<str>),
}

/// A configured path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
    prefix: bool,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is relative.
    #[error("a path starts with `/`")]
    Relative,
    /// `*` somewhere else than as the last segment.
    #[error("`*` stands only at the end, as `/*`")]
    Star,
    /// Braces that are not a whole segment, or a name that is none.
    #[error(
        "`{0}` is no capture: a capture is a whole segment such as `{{id}}`, of letters, digits and `_`"
    )]
    Capture(String),
    /// The same name twice.
    #[error("the capture `{{{0}}}` stands twice")]
    Repeated(String),
    /// A character that no path holds.
    #[error("`{0}` cannot stand in a path: percent-encode it")]
    Character(char),
    /// `.` or `..`.
    #[error("`.` and `..` segments never match, such requests are refused")]
    DotSegment,
}

impl Pattern {
    /// Reads a configured path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::Relative)?;
        if let Some(character) = text.chars().find(|c| !may_stand_in_path(*c)) {
            return Err(PatternError::Character(character));
        }
        if has_dot_segment(text) {
            return Err(PatternError::DotSegment);
        }
        let (path, prefix) = match path.strip_suffix("/*") {
            Some(path) => (Some(path), true),
            None if path == "*" => (None, true),
            None => (Some(path), false),
        };
        let mut segments = Vec::new();
        for segment in path.into_iter().flat_map(|path| path.split('/')) {
            let segment = parse_segment(segment)?;
            if let Segment::Capture(name) = &segment
                && segments.contains(&segment)
            {
                return Err(PatternError::Repeated(name.to_string()));
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.into(),
            segments,
            prefix,
        })
    }

    /// The text as configured: the `route` label.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Its segments, without the final `*`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `/*`.
    pub fn is_prefix(&self) -> bool {
        self.prefix
    }

    /// The names of its captures, from left to right.
    pub fn capture_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(name),
            Segment::Literal(_) => None,
        })
    }

    /// Whether both match the very same paths.
    pub fn same_paths(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Literal(left), Segment::Literal(right)) => left == right,
                    (Segment::Capture(_), Segment::Capture(_)) => true,
                    _ => false,
                })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse_segment(segment: &str) -> Result<Segment, PatternError> {
    if segment.contains('*') {
        return Err(PatternError::Star);
    }
    if !segment.contains(['{', '}']) {
        return Ok(Segment::Literal(decoded(segment).into()));
    }
    segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|name| is_capture_name(name))
        .map(|name| Segment::Capture(name.into()))
        .ok_or_else(|| PatternError::Capture(segment.to_owned()))
}

/// Letters, digits and `_`, at least one.
pub(super) fn is_capture_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The characters of RFC 3986's `path`, and our braces.
pub(super) fn may_stand_in_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/{}".contains(c)
}
