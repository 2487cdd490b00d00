//! The agent's HTTP interface: the page of suspects, one page and one picture for each incident, the API, metrics and
//! health. All of it only reads, but for the reload.
//!
//! The engine belongs to the event loop; a request asks the loop for a copy of what it needs ([`Reader`]) and renders
//! by itself, so that a slow reader never delays a judgement. Every text from outside is escaped by maud, serde or
//! plotters, and a strict content security policy stands behind them: a target that names itself `<script>` is shown
//! so. No page needs a script, and none loads anything from elsewhere.

mod api;
mod filter;
mod leak;
mod listener;
mod page;
mod reload;
mod shell;
mod suspects;
mod targets;
mod view;
pub(crate) mod words;

pub(crate) use listener::{Limits, Server};
pub(crate) use page::router;

#[cfg(test)]
mod tests;
