//! The engine over synthetic scrapes: time is an argument, so that ten minutes take milliseconds.

mod drills;
mod restarts;
mod world;
