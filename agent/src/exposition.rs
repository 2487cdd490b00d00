//! Prometheus' text format 0.0.4 and OpenMetrics 1.0, read as they come.
//!
//! The parser is fed chunks of any size and gives out samples that borrow from them, so that a body is never held
//! whole: what it keeps is one unfinished line. It is lenient where exporters of the field differ and nothing can be
//! misread (CRLF, a byte order mark, blank lines, a comma at the end), and strict where a guess would be a wrong
//! number. Metadata and exemplars are checked for shape and dropped. Written for this agent because the parsers on the
//! registry stumble over commas, braces and equals signs in label values, time stamps and CRLF.
//!
//! Sources: Prometheus, "Exposition formats"; OpenMetrics 1.0; Prometheus 3, "UTF-8 names".

mod error;

pub use error::{ParseError, ParseProblem};
