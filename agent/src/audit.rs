//! Audit: what the agent would have done for a whole fleet, before anything is installed.
//!
//! The history of every series of the catalogue is played to the same engine as in `run`, and the tickets that come
//! of it are graded against the deaths that the same history shows: restarts, containers killed, descriptors used up.
//! It only reads. It says as loudly what it could not judge as what it found, because an audit that is silent about
//! its blind spots is an advertisement.
//!
//! In reading order: `run` asks, `session` plays, `coroner` finds the deaths, `trail` says whether a level grew before
//! one, `grading` holds tickets against deaths, `report` is the result, `blind` says what is not in it, `pictures`,
//! `summary` and `html` show it.

mod blind;
mod coroner;
mod grading;
mod html;
mod pictures;
mod report;
mod run;
mod session;
mod summary;
mod trail;

pub use run::{AuditError, run};

#[cfg(test)]
mod tests;
