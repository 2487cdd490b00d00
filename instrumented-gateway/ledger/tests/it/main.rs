//! What the ledger promises to a service, through its public interface.

#![cfg(not(loom))]

mod accounts;
mod body;
mod executor;
mod export;
mod io;
mod laws;
mod layer;
mod ledger;
mod support;
mod task;
mod wire;
