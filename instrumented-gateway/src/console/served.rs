//! The server, in a build that has it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use console_subscriber::{ConsoleLayer, ServerParts};
use tonic::transport::server::TcpIncoming;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

/// How long an ended task stays visible.
const RETENTION: Duration = Duration::from_secs(5);
/// Longer polls and delays all count as this long: the histograms are per task, and memory.
const HISTOGRAM_MAX: Duration = Duration::from_secs(1);
/// The target of tokio's spans and events that concern tasks, without those of locks, timers and channels.
const TASK_SPANS: &str = "tokio::task";

/// A server that tokio-console attaches to, fed by the layer that was made with it.
pub(crate) struct Console {
    server: console_subscriber::Server,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

/// Where the console is wanted, a layer for the process' tracing subscriber and the server that shows what it sees.
pub(crate) fn layer<S>(wanted: bool) -> (Option<impl Layer<S> + Send + Sync>, Option<Console>)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if !wanted {
        return (None, None);
    }
    let (layer, server) = ConsoleLayer::builder()
        .retention(RETENTION)
        .poll_duration_histogram_max(HISTOGRAM_MAX)
        .scheduled_duration_histogram_max(HISTOGRAM_MAX)
        .build();
    let tasks_only = Targets::new().with_target(TASK_SPANS, LevelFilter::TRACE);
    let layer = layer.with_filter(tasks_only);
    (Some(layer), Some(Console { server }))
}

impl Console {
    /// Binds the address at once; the future serves it until it is dropped.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub(crate) fn bind(
        self,
        address: SocketAddr,
    ) -> io::Result<(SocketAddr, impl Future<Output = ()> + Send + 'static)> {
        let incoming = TcpIncoming::bind(address)?;
        let address = incoming.local_addr()?;
        let ServerParts {
            instrument_server,
            aggregator,
            ..
        } = self.server.into_parts();
        let serve = async move {
            let aggregate = tokio::task::unconstrained(aggregator.run());
            let serve = tonic::transport::Server::builder()
                .add_service(instrument_server)
                .serve_with_incoming(incoming);
            let (served, ()) = tokio::join!(serve, aggregate);
            if let Err(error) = served {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "tokio-console is no longer served");
            }
        };
        Ok((address, serve))
    }
}
