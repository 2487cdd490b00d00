//! The fleet on one loopback address: each instance under a path of its own.

use std::fmt::Write as _;

use leak_agent::clock;
use resource_ledger::{ConnectionTaskOutcome, Labels, Ledger, TaskSet};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::Fleet;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, fleet: Fleet, ledger: Ledger) {
    let account = ledger.account::<ConnectionTaskOutcome>(Labels::new());
    let fleet = Arc::new(fleet);
    let mut connections = TaskSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let fleet = Arc::clone(&fleet);
                connections.spawn(account.open(), async move {
                    // A scraper that leaves is its own affair.
                    let _ = answer(stream, &fleet).await;
                });
            },
        }
    }
}

async fn answer(mut stream: TcpStream, fleet: &Fleet) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        let byte = stream.read_u8().await?;
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let own = fleet
        .instances
        .iter()
        .find(|own| path.trim_start_matches('/') == own.name);
    let exposed = own.and_then(|own| fleet.exposed(own, clock::now().seconds()));
    let Some(exposed) = exposed else {
        return stream.shutdown().await;
    };
    let mut body = String::new();
    for (name, labels, value) in exposed {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        // Writing to a string does not go wrong.
        let _ = writeln!(body, "{name}{{{}}} {value}", labels.join(","));
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
