//! The agent's readers, and the laws that they keep whatever they are fed.
//!
//! # Layout
//!
//! - [`laws`]: one function for each reader, which panics where it breaks a law; the ordinary tests run them too.

pub mod laws;

use leak_agent::{exposition, history};
