//! Open-loop load: requests start on a clock, whether or not earlier ones were answered; bounded in rate and number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A client gives up after this long, as a browser's user would.
const CLIENT_PATIENCE: Duration = Duration::from_secs(12);
const MOST_OUTSTANDING: usize = 2000;

pub(crate) struct Load {
    rate: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Load {
    /// `rate` requests per second over `paths` in turn, until dropped.
    pub(crate) fn start(gateway: SocketAddr, paths: &[&str], rate: u64) -> Load {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let (rate, answered) = (Arc::new(AtomicU64::new(rate)), Arc::new(AtomicU64::new(0)));
        let (current, counted) = (rate.clone(), answered.clone());
        let outstanding = Arc::new(Semaphore::new(MOST_OUTSTANDING));
        let task = tokio::spawn(async move {
            let mut next = tokio::time::Instant::now();
            for path in paths.iter().cycle() {
                next += Duration::from_secs(1)
                    / u32::try_from(current.load(Ordering::SeqCst)).expect("a small rate");
                tokio::time::sleep_until(next).await;
                let Ok(permit) = outstanding.clone().try_acquire_owned() else {
                    continue;
                };
                let (path, counted) = (path.clone(), counted.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(())) =
                        tokio::time::timeout(CLIENT_PATIENCE, exchange(gateway, &path)).await
                    {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                    drop(permit);
                });
            }
        });
        Load {
            rate,
            answered,
            task,
        }
    }

    pub(crate) fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::SeqCst);
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(gateway: SocketAddr, path: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 ") {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
