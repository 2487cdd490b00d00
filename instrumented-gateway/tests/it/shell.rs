//! The whole gateway as its users run it: listeners, limits, metrics, shutdown, and the binary itself.

mod binary;
mod clients;
mod descriptors;
mod listeners;
mod protected;
mod reload;
mod requests;
mod shutdown;
pub(crate) mod support;
