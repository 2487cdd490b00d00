//! A build without the feature `console`: there is no server, and no way to make one.

use std::future::Pending;
use std::io;
use std::net::SocketAddr;

use tracing_subscriber::layer::Identity;

/// Never exists in this build.
#[derive(Debug)]
pub(crate) enum Console {}

/// No layer and no server, whether wanted or not: a configuration that wants them is refused when it is read.
pub(crate) fn layer(_wanted: bool) -> (Option<Identity>, Option<Console>) {
    (None, None)
}

impl Console {
    pub(crate) fn bind(self, _address: SocketAddr) -> io::Result<(SocketAddr, Pending<()>)> {
        match self {}
    }
}
