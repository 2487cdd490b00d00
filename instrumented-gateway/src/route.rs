//! Path patterns, the table that picks one of them, and templates for upstream paths.
//!
//! A path is compared segment by segment after percent-decoding, so that `/%63ontent` is `/content` and `%2F` is never a
//! separator. Dot segments are refused rather than resolved: upstreams disagree about them, and a capture of `..` would
//! undo the template around it (RFC 3986, 5.2.4 and 6.2.2.3).

mod pattern;
mod table;
mod template;

pub use pattern::{Pattern, PatternError, Segment};
pub use table::{Captures, Lookup, RouteTable};
pub use template::{Template, TemplateError};

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A segment's bytes after percent-decoding; what is not an escape stays as it is.
fn decoded(segment: &str) -> Cow<'_, [u8]> {
    percent_decode_str(segment).into()
}

/// Whether any segment of the path is `.` or `..`, spelt in any way.
fn has_dot_segment(path: &str) -> bool {
    path.split('/')
        .any(|segment| matches!(&*decoded(segment), b"." | b".."))
}

#[cfg(test)]
mod tests;
