//! The whole gateway as its users run it: listeners, limits, metrics, shutdown, and the binary itself.

mod access_log;
mod binary;
mod clients;
mod descriptors;
mod listeners;
mod protected;
mod protection;
mod reload;
mod requests;
mod shutdown;
pub(crate) mod support;
