//! What goes over the wire, to the byte: tables of requests and answers by the section of the standard that decides them,
//! and tunnels. The tables are text, so that a row reads as what was sent and what came of it.

mod chains;
mod differential;
mod http2;
mod mutations;
mod peer;
mod recorder;
mod requests;
mod responses;
mod table;
mod tunnels;
