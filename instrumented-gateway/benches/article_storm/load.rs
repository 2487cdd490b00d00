//! An open loop: requests go out when they are due, whatever has become of those before.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::figures::{Answer, Figures, Sample};
use crate::{now, spawn};

/// More requests than this are never on their way; past it, what is due waits, and is late.
const MOST_UNDER_WAY: u32 = 20_000;
const TICK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// The routes of the gateway that is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Three upstreams, one of which stops answering.
    FanOut,
    /// One upstream, which is well.
    Other,
}

pub(crate) struct Load {
    gateway: SocketAddr,
    idle: Mutex<Vec<TcpStream>>,
    samples: Mutex<Vec<Sample>>,
    under_way: Arc<Semaphore>,
}

impl Load {
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            idle: Mutex::default(),
            samples: Mutex::default(),
            under_way: Arc::new(Semaphore::new(MOST_UNDER_WAY as usize)),
        }
    }

    /// Sends requests at these rates for so long, and does not wait for the last answers.
    pub(crate) async fn run(self: &Arc<Self>, fan_outs: u32, others: u32, duration: Duration) {
        let begin = now();
        let mut schedules = [(Route::FanOut, fan_outs, 0), (Route::Other, others, 0)];
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let elapsed = begin.elapsed().min(duration);
            for (route, rate, sent) in &mut schedules {
                while Duration::from_secs(1) * *sent / *rate < elapsed {
                    let due = begin + Duration::from_secs(1) * *sent / *rate;
                    *sent += 1;
                    self.send(*route, due).await;
                }
            }
            if elapsed == duration {
                return;
            }
        }
    }

    async fn send(self: &Arc<Self>, route: Route, due: Instant) {
        let place = Arc::clone(&self.under_way).acquire_owned().await;
        let load = Arc::clone(self);
        spawn(async move {
            let asked = tokio::time::timeout(PATIENCE, load.ask(route)).await;
            let answer = match asked {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Answer::Failed,
            };
            let latency = now().saturating_duration_since(due);
            lock(&load.samples).push(Sample {
                route,
                due,
                latency,
                answer,
            });
            drop(place);
        });
    }

    /// Waits for the last answers, and gives what was measured since the last time.
    pub(crate) async fn settled(&self) -> Figures {
        // The semaphore is never closed.
        let _all = self.under_way.acquire_many(MOST_UNDER_WAY).await;
        Figures::new(std::mem::take(&mut lock(&self.samples)))
    }

    async fn ask(&self, route: Route) -> io::Result<Answer> {
        let idle = lock(&self.idle).pop();
        if let Some(stream) = idle
            && let Ok(answer) = self.ask_over(stream, route).await
        {
            return Ok(answer);
        }
        // No connection, or one that the gateway had closed because it was idle for too long.
        let stream = TcpStream::connect(self.gateway).await?;
        stream.set_nodelay(true)?;
        self.ask_over(stream, route).await
    }

    async fn ask_over(&self, mut stream: TcpStream, route: Route) -> io::Result<Answer> {
        let request: &[u8] = match route {
            Route::FanOut => b"GET /home HTTP/1.1\r\nhost: gateway\r\n\r\n",
            Route::Other => b"GET /other HTTP/1.1\r\nhost: gateway\r\n\r\n",
        };
        stream.write_all(request).await?;
        let mut buffer = [0; 4096];
        let mut length = 0;
        loop {
            let read = stream.read(&mut buffer[length..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += read;
            let text = std::str::from_utf8(&buffer[..length]).map_err(io::Error::other)?;
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && content_length(head)? == body.len()
            {
                let answer = Answer::of(head, body);
                lock(&self.idle).push(stream);
                return Ok(answer);
            }
        }
    }
}

fn content_length(head: &str) -> io::Result<usize> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, length)| length.parse().ok());
    length.ok_or_else(|| io::Error::other("no length"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
