//! Reads YAML configuration so that every mistake is reported at once, each with its key and line.
//!
//! serde's derive stops at the first mistake and names a type of ours; an operator with four typos wants four lines
//! that name keys of theirs. So the text becomes a tree of [`Node`]s that know where they stand, the caller walks the
//! tree asking for what it knows, and whatever is missing, malformed or left over is added to one list of
//! [`Mistakes`]. The YAML itself is read by `serde-saphyr`.
//!
//! # Layout
//! - [`document`]: text to nodes
//! - [`read`]: what a caller asks of a node
//! - [`duration`]: durations in Prometheus' notation
//! - [`mistakes`]: the list of what is wrong, as the operator reads it

pub mod document;
pub mod duration;
pub mod mistakes;
pub mod read;

pub use document::{Node, Value, parse};
pub use mistakes::{Mistake, Mistakes, Place};
pub use read::Fields;
