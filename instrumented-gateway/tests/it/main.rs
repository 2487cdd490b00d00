//! The gateway against real sockets on loopback, with upstreams and clients that behave as badly as they like.

mod streams;
mod support;

mod counts;
mod drills;
mod fan_out;
mod hostile;
mod leaving;
mod limits;
mod proxy;
mod reuse;
mod secure;
mod shell;
mod wire;
