//! The agent's readers, and the laws that they keep whatever they are fed.
//!
//! The readers' sources are taken from the agent's tree by path: so a fuzzer builds a few files with its flags, and not
//! the agent's hundred dependencies.
//!
//! # Layout
//!
//! - `agent`: the readers' sources.
//! - [`laws`]: one function for each reader, which panics where it breaks a law; the ordinary tests run them too.

#[path = "../../src"]
mod agent {
    pub(crate) mod excerpt;
    pub mod exposition;
}
pub mod laws;

// The readers name one another from their crate's root.
use agent::{excerpt, exposition};
