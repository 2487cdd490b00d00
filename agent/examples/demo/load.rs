//! A role: clients of the gateway, arriving at a steady rate whether or not they are answered (an open loop).
//!
//! Only so does a slow service meet the crowd that a real one meets. What would exceed the bound of requests under
//! way is counted, not sent.

use std::time::Duration;

use leak_agent::clock;
use resource_ledger::{Labels, Ledger, Settings, TaskSet};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::child::{self, Parent};

/// Requests under way at a time.
const MAX_UNDER_WAY: usize = 2_000;
/// How long a client waits.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// It has started; its clients run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {}

/// What happened within the last second.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    /// Requests answered with a status below 400.
    pub(crate) answered: u64,
    /// Requests answered with another status.
    pub(crate) refused: u64,
    /// Requests without an answer.
    pub(crate) failed: u64,
    /// Requests that were not sent because too many were under way.
    pub(crate) withheld: u64,
    /// The slowest answer in milliseconds.
    pub(crate) slowest_ms: u64,
}

/// One request's end.
enum Answer {
    Status(u16, Duration),
    Failed,
}

/// Sends `rate` requests a second to the gateway at `address` until the parent is gone: one in three to the fan-out,
/// the others proxied.
pub(crate) async fn run(address: &str, rate: u32) -> anyhow::Result<()> {
    let parent = Parent::take()?;
    let client = leak_agent::http_client::builder()
        .timeout(CLIENT_TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let account = Ledger::new(Settings::default()).service_account("client_request", Labels::new());
    let mut under_way: TaskSet<Answer> = TaskSet::new();
    let mut arrivals = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    arrivals.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut second = Second::default();
    let mut number = 0_u64;
    child::report(&Ready {})?;
    let ended = parent.ended();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => return Ok(()),
            _ = arrivals.tick() => {
                number += 1;
                if under_way.len() >= MAX_UNDER_WAY {
                    second.withheld += 1;
                } else {
                    let path = if number.is_multiple_of(3) { format!("home/{number}") } else { format!("content/{number}") };
                    under_way.spawn(account.open(), ask(client.clone(), format!("http://{address}/{path}")));
                }
            }
            Some(answer) = under_way.join_next() => second.count(answer.unwrap_or(Answer::Failed)),
            _ = seconds.tick() => {
                child::report(&second)?;
                second = Second::default();
            }
        }
    }
}

impl Second {
    fn count(&mut self, answer: Answer) {
        match answer {
            Answer::Status(status, took) => {
                if status < 400 {
                    self.answered += 1;
                } else {
                    self.refused += 1;
                }
                self.slowest_ms = self.slowest_ms.max(took.as_millis() as u64);
            }
            Answer::Failed => self.failed += 1,
        }
    }
}

async fn ask(client: reqwest::Client, url: String) -> Answer {
    let start = clock::instant();
    let Ok(response) = client.get(url).send().await else {
        return Answer::Failed;
    };
    let status = response.status().as_u16();
    match response.bytes().await {
        Ok(_) => Answer::Status(status, start.elapsed()),
        Err(_) => Answer::Failed,
    }
}
