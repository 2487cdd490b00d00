//! The agent from outside: its command line, its life in-process against targets on loopback, and its web interface.

mod command_line;
mod interface;
mod life;
mod target;
