//! Asks the other members of a pair: one task for each, after every evaluation and at least every few seconds.

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Labels as Account, Ledger, ServiceTaskOutcome, TaskSet};
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};

use crate::clock;
use crate::config::Peer;
use crate::excerpt::excerpt;
use crate::http_client::{HttpClient, HttpError, HttpRequest, innermost};
use crate::pair::{FORMAT, Report};

/// Without a judgement in between, the others are asked this often at least.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// The largest report that is read.
const REPORT_BYTES: usize = 64 << 20;

/// Characters of an error that are shown.
const ERROR_CHARACTERS: usize = 200;

/// What one member answered, or that it did not.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its place in the configuration.
    pub(crate) peer: usize,
    /// When it was asked.
    pub(crate) asked_at: Timestamp,
    /// `None` where nothing came that can be understood.
    pub(crate) report: Option<Report>,
}

/// The questions to the other members. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Peers {
    nudges: Vec<Arc<Notify>>,
    _tasks: TaskSet<()>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Late(#[from] clock::Elapsed),
    #[error("its answer broke off: {0}")]
    Broken(String),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is longer than {REPORT_BYTES} bytes")]
    TooLong,
    #[error("its answer is no report: {0}")]
    NoReport(String),
    #[error(
        "it speaks format {0} of the pair's reports, and this agent {FORMAT}: run the same release on both"
    )]
    Format(u32),
    #[error("it is this agent itself: a pair's `peers` names the other one only")]
    Itself,
    #[error("it has shard {theirs}, and this agent {ours}: the members of a pair have the same")]
    Shard { theirs: String, ours: String },
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// Names this run of the agent.
    pub(crate) run: u64,
    /// Its shard, as `i/n`.
    pub(crate) shard: Option<String>,
}

impl Peers {
    /// Begins to ask.
    pub(crate) fn start(
        peers: &[Peer],
        asker: &Asker,
        said: &mpsc::Sender<Said>,
        ledger: &Ledger,
    ) -> Self {
        let account = ledger.account::<ServiceTaskOutcome>(Account::new());
        let mut tasks = TaskSet::new();
        let nudges = peers.iter().enumerate().map(|(index, peer)| {
            let nudge = Arc::new(Notify::new());
            let question = Question {
                index,
                client: HttpClient::new(peer.http.clone(), 1),
                peer: peer.clone(),
                asker: asker.clone(),
                said: said.clone(),
                nudge: Arc::clone(&nudge),
                answers: None,
            };
            tasks.spawn(account.open(), question.ask_on());
            nudge
        });
        Self {
            nudges: nudges.collect(),
            _tasks: tasks,
        }
    }

    /// Asks everybody now, rather than later.
    pub(crate) fn ask(&self) {
        for nudge in &self.nudges {
            nudge.notify_one();
        }
    }
}

struct Question {
    index: usize,
    client: HttpClient,
    peer: Peer,
    asker: Asker,
    said: mpsc::Sender<Said>,
    nudge: Arc<Notify>,
    /// Whether it answered the last time.
    answers: Option<bool>,
}

impl Question {
    async fn ask_on(mut self) {
        loop {
            let asked_at = clock::now();
            let answer = clock::timeout(self.peer.timeout, self.ask()).await;
            let answer = answer.unwrap_or_else(|elapsed| Err(elapsed.into()));
            self.log(&answer);
            let said = Said {
                peer: self.index,
                asked_at,
                report: answer.ok(),
            };
            if self.said.send(said).await.is_err() {
                return;
            }
            let _ = clock::timeout(ASK_EVERY, self.nudge.notified()).await;
        }
    }

    fn log(&mut self, answer: &Result<Report, PeerError>) {
        let peer = &self.peer.url;
        match answer {
            Ok(_) if self.answers != Some(true) => {
                tracing::info!(%peer, "the other agent of the pair answers");
            }
            Err(error) if self.answers != Some(false) => {
                tracing::warn!(%peer, %error, "the other agent of the pair does not answer");
            }
            _ => {}
        }
        self.answers = Some(answer.is_ok());
    }

    async fn ask(&self) -> Result<Report, PeerError> {
        let request = HttpRequest::get(self.peer.report_url.clone());
        let mut response = self.client.send(request).await?;
        if !response.status().is_success() {
            return Err(PeerError::Status(response.status().as_u16()));
        }
        let broken = |error: reqwest::Error| PeerError::Broken(innermost(&error));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > REPORT_BYTES {
                return Err(PeerError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        read(&body, &self.asker)
    }
}

/// The report in an answer.
fn read(body: &[u8], asker: &Asker) -> Result<Report, PeerError> {
    #[derive(Deserialize)]
    struct Format {
        data: OnlyFormat,
    }
    #[derive(Deserialize)]
    struct OnlyFormat {
        format: u32,
    }
    #[derive(Deserialize)]
    struct Whole {
        data: Report,
    }
    let no_report = |error: serde_json::Error| {
        PeerError::NoReport(excerpt(&error.to_string(), ERROR_CHARACTERS))
    };
    let format: Format = serde_json::from_slice(body).map_err(no_report)?;
    if format.data.format != FORMAT {
        return Err(PeerError::Format(format.data.format));
    }
    let Whole { data: report } = serde_json::from_slice(body).map_err(no_report)?;
    if report.run == asker.run {
        return Err(PeerError::Itself);
    }
    if report.shard != asker.shard {
        let words = |shard: &Option<String>| shard.clone().unwrap_or_else(|| "none".to_owned());
        return Err(PeerError::Shard {
            theirs: words(&report.shard),
            ours: words(&asker.shard),
        });
    }
    Ok(report)
}
