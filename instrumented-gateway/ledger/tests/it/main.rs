//! Everything that the ledger promises to a service, through its public interface.

#![cfg(not(loom))]

mod ledger;
