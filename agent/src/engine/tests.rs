//! The engine over synthetic scrapes: time is an argument, so that ten minutes take milliseconds.

mod departures;
pub(crate) mod drills;
mod laws;
mod limits;
mod pair;
mod process;
mod restarts;
mod terms;
mod texts;
mod urgency;
mod workloads;
pub(crate) mod world;
