//! The one loop that owns the agent's state: an event comes in, the engine judges, and what it wants done is done, in
//! its order.
//!
//! What must outlive the process is stored before anybody is told: after a kill at any instant, the agent knows at
//! least what the world knows. Where storing fails, people are told all the same: a doubled notification after a
//! restart is better than none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leak_detect::Timestamp;
use resource_ledger::{Account, Ledger, ServiceTaskOutcome, TaskSet};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agent::alert_limit::{AlertLimit, Turn};
use crate::agent::parts::Parts;
use crate::agent::reader::{Look, Seen};
use crate::agent::reload::{self, ReloadError, Reloaded, Reloader};
use crate::alert::AlertState;
use crate::clock;
use crate::config::Config;
use crate::discovery::{Roll, TargetManager};
use crate::engine::{Effects, Engine, EvidenceRequest, Saved, StateChange, Witnessed};
use crate::incident::IncidentId;
use crate::labels::Labels;
use crate::notify::Notifier;
use crate::pair::{Asker, Peers, Said};
use crate::scrape::{Scrape, Scraper};
use crate::source::{News, Sources};
use crate::state::{StateError, Store};
use crate::witness::Witness;

/// Targets asked for evidence at a time; an evaluation that wants more asks later.
const MAX_QUESTIONS: usize = 32;
/// How long what is queued may take to be sent when the agent ends.
const SENDING_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that can happen to the agent.
enum Event {
    /// A target was scraped.
    Scraped(Scrape),
    /// A source has something to say.
    Told(News),
    /// It is time to judge.
    Due,
    /// Discovery lists other targets.
    Listed(Arc<Roll>),
    /// There is another configuration.
    Reloaded(reload::Request),
    /// A leaking target has answered, or could not.
    Witnessed(IncidentId, Witnessed),
    /// The other member of the pair has answered, or could not.
    Said(Said),
    /// Somebody wants to see.
    Looked(Look),
    /// The agent is to end.
    Ended,
}

/// The next evaluation.
struct Beat {
    /// The moment that is judged.
    at: Timestamp,
    /// When that is to happen.
    due: Instant,
    /// Whether its time has come and it waits for the answers of sources.
    is_held: bool,
}

/// The loop and all that it owns.
pub(super) struct EventLoop {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) notifier: Notifier,
    pub(super) asker: Asker,
    pub(super) peers: Peers,
    pub(super) said: mpsc::Receiver<Said>,
    /// The moment that was judged last, and when that was done.
    pub(super) judged: Timestamp,
    pub(super) judged_at: Timestamp,
    /// The moment of the last judgement after which the other member of the pair was asked.
    pub(super) judged_for_peers: Timestamp,
    pub(super) witness: Witness,
    /// Questions under way.
    pub(super) asked: TaskSet<(IncidentId, Witnessed)>,
    pub(super) asking: Account<ServiceTaskOutcome>,
    pub(super) scrapes: mpsc::Receiver<Scrape>,
    /// Dropping it ends the scraping.
    pub(super) scraper: Scraper,
    pub(super) parts: Parts,
    /// The stores that are queried.
    pub(super) sources: Sources,
    pub(super) targets: TargetManager,
    pub(super) reloader: Reloader,
    pub(super) reloads: mpsc::Receiver<reload::Request>,
    pub(super) readers: mpsc::Receiver<Look>,
    /// Alerts as they were logged last.
    pub(super) known_alerts: BTreeMap<Labels, AlertState>,
    /// Whether alerts are left out for want of room.
    pub(super) alert_limit: AlertLimit,
    pub(super) started_at: Timestamp,
    pub(super) ledger: Ledger,
    pub(super) config: Arc<Config>,
    pub(super) shutdown: CancellationToken,
}

impl EventLoop {
    /// Runs until the shutdown.
    pub(super) async fn run(mut self) {
        let mut beat = self.next_beat();
        loop {
            match self.next_event(&beat).await {
                Event::Scraped(scrape) => self.scraped(scrape),
                Event::Told(news) => {
                    self.sources.take(&mut self.engine, news);
                    if beat.is_held && !self.sources.awaits(beat.at) {
                        self.evaluate(beat.at);
                        beat = self.next_beat();
                    }
                }
                Event::Due if !beat.is_held && self.sources.awaits(beat.at) => {
                    beat.is_held = true;
                    beat.due += self.sources.patience();
                }
                Event::Due => {
                    if !self.sources.are_starting(clock::now()) {
                        self.evaluate(beat.at);
                    }
                    beat = self.next_beat();
                }
                Event::Listed(roll) => self.list(&roll),
                Event::Reloaded(request) => {
                    let done = self.reconfigure(*request.config);
                    // Nobody may be waiting any more.
                    let _ = request.reply.send(done);
                    if !beat.is_held {
                        beat = self.next_beat();
                    }
                }
                Event::Witnessed(incident, answer) => {
                    self.engine.evidence(&incident, answer, clock::now())
                }
                Event::Said(said) => self.heard(said),
                Event::Looked(look) => look(&self.seen()),
                Event::Ended => break,
            }
        }
        self.end().await;
    }

    async fn next_event(&mut self, beat: &Beat) -> Event {
        loop {
            tokio::select! {
                // In this order: an agent that cannot keep up still ends, judges and shows itself, and lets scrapes
                // wait.
                biased;
                () = self.shutdown.cancelled() => return Event::Ended,
                () = tokio::time::sleep_until(beat.due.into()) => return Event::Due,
                Some(request) = self.reloads.recv() => return Event::Reloaded(request),
                roll = self.targets.next() => return Event::Listed(roll),
                Some(look) = self.readers.recv() => return Event::Looked(look),
                Some(answer) = self.asked.join_next() => match answer {
                    Ok((incident, answer)) => return Event::Witnessed(incident, answer),
                    Err(error) => tracing::error!(%error, "a question for evidence ended badly"),
                },
                Some(said) = self.said.recv() => return Event::Said(said),
                news = self.sources.next() => return Event::Told(news),
                // What is scraped after the moment of an evaluation is not judged by it.
                Some(scrape) = self.scrapes.recv(), if !beat.is_held => return Event::Scraped(scrape),
            }
        }
    }

    fn next_beat(&self) -> Beat {
        let now = clock::now();
        let wait = clock::until_next(now, self.config.global.evaluation_interval);
        Beat {
            at: now + wait,
            due: clock::instant() + wait,
            is_held: false,
        }
    }

    fn scraped(&mut self, mut scrape: Scrape) {
        if let Err(error) = &scrape.result {
            tracing::debug!(target = %scrape.target.url, %error, "a scrape failed");
        }
        self.parts.take(&mut self.engine, &mut scrape);
        self.engine.scraped(&scrape);
    }

    fn list(&mut self, roll: &Roll) {
        let listed = self.config.share_of(&roll.targets);
        self.engine.set_scraped(&listed, clock::now());
        self.parts.set_scraped(&listed);
        self.scraper.set_targets(&listed);
    }

    /// Goes on by another configuration, whole or not at all.
    fn reconfigure(&mut self, config: Config) -> Result<Reloaded, ReloadError> {
        let config = Arc::new(config);
        self.notifier.replace(&config.alerting);
        self.engine.reconfigure(&config, clock::now());
        self.scraper
            .set_external_labels(&config.global.external_labels);
        self.targets.replace(&config.jobs);
        self.config = config;
        Ok(Reloaded::default())
    }

    /// Takes in what the other member of the pair has said, and sends what has waited for it.
    fn heard(&mut self, said: Said) {
        // What was asked before the last judgement says nothing of what it found.
        let asked_at = if said.asked_at >= self.judged_at {
            clock::now()
        } else {
            Timestamp::default()
        };
        let changes = self
            .engine
            .other_told(said.peer, asked_at, said.report, clock::now());
        changes.iter().for_each(log_change);
        if self.engine.is_holding() {
            self.evaluate(self.judged);
        }
    }

    /// Judges as of `at`, a whole multiple of the interval: two agents judge at the same moments.
    fn evaluate(&mut self, at: Timestamp) {
        self.judged = at;
        self.judged_at = clock::now();
        self.sources.before_evaluation(&mut self.engine, at);
        self.parts.sweep(&mut self.engine, at);
        let Effects {
            save,
            save_detectors,
            notifications,
            fetch,
            log,
        } = self.engine.evaluate(at);
        for change in &log {
            log_change(change);
        }
        if let Some(saved) = save
            && let Err(error) = self.save(&saved, save_detectors)
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the state cannot be stored"
            );
        }
        self.log_alerts();
        self.log_limit();
        if !notifications.is_empty() {
            self.notifier.send(&notifications);
        }
        for request in fetch {
            self.ask(request);
        }
        if self.engine.is_holding() || self.judged_for_peers != at {
            self.judged_for_peers = at;
            self.peers.ask();
        }
    }

    fn save(&self, saved: &Saved, detectors: bool) -> Result<(), StateError> {
        if detectors {
            self.store.save_with(saved, self.engine.detectors())
        } else {
            self.store.save(saved)
        }
    }

    fn ask(&mut self, request: EvidenceRequest) {
        if self.asked.len() >= MAX_QUESTIONS {
            let answer = Witnessed {
                places: Err("too many targets are being asked already".to_owned()),
                cause: None,
            };
            self.engine
                .evidence(&request.incident, answer, clock::now());
            return;
        }
        let witness = self.witness.clone();
        self.asked.spawn(self.asking.open(), async move {
            let answer = match witness.ask(&request).await {
                Ok(said) => Witnessed {
                    places: Ok(said.places),
                    cause: said.cause,
                },
                Err(error) => Witnessed {
                    places: Err(error.to_string()),
                    cause: None,
                },
            };
            (request.incident, answer)
        });
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            now: clock::now(),
            started_at: self.started_at,
            config: &self.config,
            engine: &self.engine,
            notifier: &self.notifier,
            sources: &self.sources,
            asker: &self.asker,
            ledger: &self.ledger,
            roll: self.targets.roll(),
            reload: self.reloader.status(),
        }
    }

    /// Says once what each alert has become: without an Alertmanager the log is where it is read.
    fn log_alerts(&mut self) {
        let mut known = BTreeMap::new();
        for alert in self.engine.alerts() {
            if self.known_alerts.get(&alert.labels) != Some(&alert.state) {
                let summary = alert.annotations.get("summary").unwrap_or_default();
                match alert.state {
                    AlertState::Pending => {
                        tracing::info!(labels = %alert.labels, summary, "alert pending")
                    }
                    AlertState::Firing => {
                        tracing::warn!(labels = %alert.labels, summary, "alert firing")
                    }
                    AlertState::Resolved => {
                        tracing::info!(labels = %alert.labels, "alert resolved")
                    }
                }
            }
            known.insert(alert.labels.clone(), alert.state);
        }
        self.known_alerts = known;
    }

    /// Says when there is no room for an alert any more, and when there is again.
    fn log_limit(&mut self) {
        let counters = self.engine.counters();
        let limit = self.config.limits.alerts;
        let refused = counters.alerts_refused + counters.incidents_refused;
        match self.alert_limit.turn(self.judged, refused) {
            Some(Turn::Reached) => tracing::warn!(
                limit,
                "as many alerts live as limits.alerts allows: what else leaks is not told"
            ),
            Some(Turn::Cleared) => tracing::info!(limit, "there is room for every alert again"),
            None => {}
        }
    }

    /// Judges nothing more; keeps everything.
    async fn end(mut self) {
        drop(self.scraper);
        while let Ok(mut scrape) = self.scrapes.try_recv() {
            self.parts.take(&mut self.engine, &mut scrape);
            self.engine.scraped(&scrape);
        }
        self.asked.shutdown().await;
        let saved = self.engine.saved_alerts();
        if let Err(error) = self.store.save_with(&saved, self.engine.detectors()) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the state cannot be stored at the end"
            );
        }
        self.notifier.close(SENDING_TIMEOUT).await;
    }
}

fn log_change(change: &StateChange) {
    let StateChange {
        incident,
        workload,
        identity,
        cause,
        ..
    } = change;
    tracing::info!(%incident, %workload, %identity, cause, "{}", change.change.sentence());
}
