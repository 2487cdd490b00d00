//! A server of a test at a port of loopback that nobody else has.

use std::net::SocketAddr;

use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Settings, Task};
use tokio::net::TcpListener;

/// Serves the router until the task is dropped.
pub(crate) async fn serve(router: axum::Router) -> (SocketAddr, Task<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let ledger = Ledger::new(Settings::default());
    let entry = ledger.account::<ServiceTaskOutcome>(Labels::new()).open();
    let serving = ledger.spawn(entry, async move {
        axum::serve(listener, router)
            .await
            .expect("serving on loopback");
    });
    (address, serving)
}
