//! Upstreams that behave as the last segment of a request's path says.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Peer, field, response};

/// What an upstream may do; the ordinary more often than the rest.
pub(super) const BEHAVIOURS: [&str; 24] = [
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "slow",
    "big",
    "chunks",
    "404",
    "hang",
    "close",
    "reset",
    "half",
    "stall",
    "garbage",
    "early",
    "last",
    "end",
    "late-reset",
    "bad-chunk",
    "hints",
    "upgrade",
    "two-lengths",
];
/// What answers, or goes, before it has read what a client uploads.
const HASTY: [&str; 6] = ["hang", "close", "reset", "stall", "early", "garbage"];
/// The declared length of answers that break off.
const DECLARED: usize = 1000;

/// Serves one connection as the paths of its requests say.
pub(super) async fn behave(mut peer: Peer) {
    while let Some(head) = peer.head().await {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let behaviour = path.rsplit('/').next().unwrap_or_default().to_owned();
        if !HASTY.contains(&behaviour.as_str()) && content(&mut peer, &head).await.is_none() {
            return;
        }
        let begun = format!("HTTP/1.1 200 OK\r\ncontent-length: {DECLARED}\r\n\r\nbegun");
        let sent = match behaviour.as_str() {
            "slow" => {
                let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsl";
                let _ = peer.send(begin).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
                peer.send(b"ow").await
            }
            "big" => peer.send(&response(200, vec![b'x'; 300_000])).await,
            "chunks" => {
                peer.send(&chunked("4\r\nwell\r\n4\r\ndone\r\n0\r\n\r\n"))
                    .await
            }
            "404" => peer.send(&response(404, vec![b'x'; 5000])).await,
            "hints" => {
                // Interim answers are no answers.
                let _ = peer
                    .send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
                    .await;
                peer.send(&response(200, "[1]")).await
            }
            "hang" => return peer.until_closed().await,
            "close" => return,
            "reset" => return peer.reset(),
            "half" => {
                let _ = peer.send(begun.as_bytes()).await;
                return;
            }
            "late-reset" => {
                let _ = peer.send(begun.as_bytes()).await;
                return peer.reset();
            }
            "stall" => {
                let _ = peer.send(begun.as_bytes()).await;
                return peer.until_closed().await;
            }
            "garbage" => peer.send(b"\0\0what?\r\n\r\n").await,
            "bad-chunk" => peer.send(&chunked("4\r\nwell\r\nnone\r\n")).await,
            "two-lengths" => {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok";
                peer.send(answer).await
            }
            "early" => {
                let _ = peer.send(&response(413, "enough")).await;
                return peer.until_closed().await;
            }
            "last" => {
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
                let _ = peer.send(answer).await;
                return;
            }
            "end" => {
                // The end of the connection is the end of the content; its other half stays open.
                let _ = peer
                    .send(b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts")
                    .await;
                let _ = peer.stream.shutdown().await;
                return peer.until_closed().await;
            }
            "upgrade" if field(&head, "upgrade").is_some() => return echo(peer).await,
            _ => peer.send(&response(200, "[1]")).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Reads what comes with a request, and throws it away; `None` where it breaks off.
async fn content(peer: &mut Peer, head: &str) -> Option<()> {
    if field(head, "transfer-encoding").is_some() {
        // Nothing but its end holds two line ends in a row.
        return peer.head().await.map(drop);
    }
    let length = field(head, "content-length").and_then(|length| length.parse().ok());
    peer.content(length.unwrap_or(0)).await.map(drop)
}

fn chunked(content: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{content}").into_bytes()
}

/// A tunnel that sends back what it gets.
async fn echo(mut peer: Peer) {
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let _ = peer.send(switch).await;
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = peer.stream.read(&mut buffer).await {
        if peer.send(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
