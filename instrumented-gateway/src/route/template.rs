//! A path, with or without a query, in which captures of the route's pattern are filled in.
//!
//! A capture is decoded when it is matched and encoded again for the component it stands in, everything but RFC 3986's
//! unreserved characters: it can never add a segment, a parameter, a fragment or an escape.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::has_dot_segment;
use super::pattern::{Pattern, is_capture_name, may_stand_in_path};
use super::table::Captures;

/// Everything but RFC 3986's unreserved characters (2.3).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    query: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Capture(String),
    Rest,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is relative.
    #[error("a path starts with `/`")]
    Relative,
    /// Braces that hold no name, or are not closed.
    #[error("`{{` and `}}` stand only around a capture of the route's path, such as `{{id}}`")]
    Braces,
    /// A name that the route's path does not capture.
    #[error("the route's path `{path}` has no capture `{{{name}}}`")]
    Unknown {
        /// The name.
        name: String,
        /// The route's path.
        path: String,
    },
    /// `*` where the route has none, or not at the end of the path.
    #[error(
        "`*` stands only at the end of the path, as `/*`, and only where the route's path ends so"
    )]
    Star,
    /// A character that neither a path nor a query holds.
    #[error("`{0}` cannot stand in a path or query: percent-encode it")]
    Character(char),
    /// A segment that is `.` or `..`.
    #[error("a path for an upstream holds no `.` or `..` segment")]
    DotSegment,
}

impl Template {
    /// Reads a template whose captures are those of `pattern`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, pattern: &Pattern) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::Relative);
        }
        if let Some(character) = text.chars().find(|c| !may_stand_in_path(*c) && *c != '?') {
            return Err(TemplateError::Character(character));
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        if has_dot_segment(path) {
            return Err(TemplateError::DotSegment);
        }
        let (fixed, rest) = match path.strip_suffix("/*") {
            Some(_) if pattern.is_prefix() => (&path[..path.len() - 1], true),
            _ => (path, false),
        };
        if fixed.contains('*') {
            return Err(TemplateError::Star);
        }
        let mut template = Self {
            pieces: Vec::new(),
            query: query.is_some(),
        };
        template.push(fixed, pattern)?;
        if rest {
            template.pieces.push(Piece::Rest);
        }
        if let Some(query) = query {
            template.pieces.push(Piece::Literal("?".to_owned()));
            template.push(query, pattern)?;
        }
        Ok(template)
    }

    fn push(&mut self, text: &str, pattern: &Pattern) -> Result<(), TemplateError> {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, braces) = rest.split_at(at);
            let (name, after) = braces
                .strip_prefix('{')
                .and_then(|open| open.split_once('}'))
                .filter(|(name, _)| is_capture_name(name))
                .ok_or(TemplateError::Braces)?;
            if !pattern.capture_names().any(|known| **known == *name) {
                return Err(TemplateError::Unknown {
                    name: name.to_owned(),
                    path: pattern.to_string(),
                });
            }
            self.pieces.push(Piece::Literal(literal.to_owned()));
            self.pieces.push(Piece::Capture(name.to_owned()));
            rest = after;
        }
        self.pieces.push(Piece::Literal(rest.to_owned()));
        Ok(())
    }

    /// Whether it brings a query of its own.
    pub fn has_query(&self) -> bool {
        self.query
    }

    /// The path, and query where it has one, for a request whose path was `path`.
    ///
    /// No segment of it is `.` or `..`: the template has none, and what captures and `*` stand for is never empty, never
    /// one of the two.
    pub fn expand(&self, captures: &Captures, path: &str) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Capture(name) => {
                    let value = captures.get(name).unwrap_or_default();
                    text.extend(percent_encode(value, COMPONENT));
                }
                Piece::Rest => text.push_str(captures.rest(path)),
            }
        }
        text
    }
}
