//! Clients turned away before descriptors run out.
//!
//! At the limit nothing can be accepted and no upstream reached: those who are served would suffer with those who are not.
//! So a connection that would be one of the last is answered with 503, and closed; where even the answers would take too
//! many, it is only closed.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clock;

/// Of the process' descriptors, where no reserve is configured: one in so many is left free.
const RESERVED_SHARE: u64 = 10;
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\ncontent-length: 36\r\nconnection: close\r\n\r\nthe gateway has too many connections";
/// How long a client that is turned away may take to read that.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// The least time between two warnings that clients are turned away.
const SHED_WARNING_PERIOD: Duration = Duration::from_secs(60);

/// What becomes of a connection for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// It is answered, and has a moment to read that.
    Told,
    /// It is closed.
    Closed,
}

/// In the first half of the reserve there is room to answer; in the second, what is there keeps its connections.
pub(super) fn turned_away(in_use: u64, limit: u64, reserve: Option<u64>) -> Option<TurnedAway> {
    let reserve = reserve.unwrap_or(limit / RESERVED_SHARE).min(limit);
    if in_use < limit - reserve {
        None
    } else if in_use < limit - reserve / 2 {
        Some(TurnedAway::Told)
    } else {
        Some(TurnedAway::Closed)
    }
}

/// Answers whatever a client asks for with 503, and closes.
pub(super) async fn tell_busy(mut stream: TcpStream) {
    let told = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await?;
        // Closed over unread bytes, the connection would be reset, and the answer lost.
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that does not take it has lost its answer, nothing else.
    let _ = clock::timeout_at(clock::now() + BUSY_TIMEOUT, told).await;
}

/// Whether connections are being turned away. One warning when it begins, at most once in a while.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    warned: Option<Instant>,
    active: bool,
}

impl Shedding {
    pub(super) fn begin(&mut self, descriptors: u64) {
        let now = clock::now();
        let is_due = self
            .warned
            .is_none_or(|warned| now - warned >= SHED_WARNING_PERIOD);
        if !self.active && is_due {
            self.warned = Some(now);
            tracing::warn!(
                descriptors,
                "connections are answered with 503: few descriptors are left"
            );
        }
        self.active = true;
    }

    pub(super) fn over(&mut self) {
        self.active = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_turned_away_before_descriptors_run_out() {
        let rows = [
            (0, 1000, None, None),
            (899, 1000, None, None),
            (900, 1000, None, Some(TurnedAway::Told)),
            (949, 1000, None, Some(TurnedAway::Told)),
            (950, 1000, None, Some(TurnedAway::Closed)),
            (999, 1000, Some(0), None),
            (996, 1000, Some(4), Some(TurnedAway::Told)),
            (998, 1000, Some(4), Some(TurnedAway::Closed)),
            (0, 1000, Some(5000), Some(TurnedAway::Told)),
        ];
        for (in_use, limit, reserve, expected) in rows {
            let said = turned_away(in_use, limit, reserve);
            assert_eq!(said, expected, "{in_use} of {limit}, {reserve:?}");
        }
    }
}
