//! The judgement of a store's history: by several players at once, each of a portion of the workloads.
//!
//! A workload is judged by itself, so that what several players find is what one would have found; what they find is
//! taken over one after another. Each has a task of its own and gets every stretch of the history; the reading goes on
//! while they judge, and waits where the slowest is more than a stretch behind.

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, TaskSet};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::history::store::{Listing, Stretch};
use crate::replay::{Expected, Player};
use crate::shard::Portion;

/// The most players of one history.
const MOST_PLAYERS: usize = 8;

/// Stretches that may wait for a player.
const STRETCHES_WAITING: usize = 1;

/// A history and what came of it.
#[derive(Debug)]
pub(crate) struct Past {
    pub(super) until: Timestamp,
    /// What has judged it; none where there was nothing.
    pub(super) players: Vec<Player>,
    pub(super) series: usize,
    pub(super) samples: u64,
    /// Kinds of what could not be read.
    pub(super) faults: Vec<&'static str>,
    pub(super) seconds: f64,
}

impl Past {
    /// Nothing is known of the time before `until`, or everything.
    pub(super) fn none(until: Timestamp) -> Self {
        Self {
            until,
            players: Vec::new(),
            series: 0,
            samples: 0,
            faults: Vec::new(),
            seconds: 0.0,
        }
    }
}

/// From when on a history is evaluated more often, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pub(super) since: Timestamp,
    pub(super) interval: Duration,
}

/// The players of one history.
#[derive(Debug)]
pub(super) struct Judges {
    waiting: Vec<mpsc::Sender<Arc<Stretch>>>,
    tasks: TaskSet<Player>,
}

impl Judges {
    /// As many as there are processors. `config` says how often they evaluate what is older than `recent`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn begin(
        config: &Config,
        listing: &Arc<Listing>,
        expected: Expected,
        recent: Recent,
        ledger: &Ledger,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let of = processors.min(MOST_PLAYERS) as u32;
        let account = ledger.account::<ServiceTaskOutcome>(Labels::new());
        let mut judges = Self {
            waiting: Vec::new(),
            tasks: TaskSet::new(),
        };
        for index in 0..of {
            let (sender, stretches) = mpsc::channel(STRETCHES_WAITING);
            let judge = Judge {
                player: Player::of_portion(config, expected, Portion { index, of }),
                listing: Arc::clone(listing),
                recent: Some(recent),
            };
            judges.tasks.spawn(account.open(), judge.run(stretches));
            judges.waiting.push(sender);
        }
        judges
    }

    /// Gives them the next stretch.
    pub(super) async fn take(&self, stretch: Stretch) {
        let stretch = Arc::new(stretch);
        for waiting in &self.waiting {
            // Whoever has panicked is found at the end.
            let _ = waiting.send(Arc::clone(&stretch)).await;
        }
    }

    /// What they have found, once they have judged everything.
    ///
    /// # Panics
    /// Where one of them has.
    pub(super) async fn finish(mut self) -> Vec<Player> {
        self.waiting.clear();
        let mut players = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(player) => players.push(player),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        players
    }
}

/// One of them.
struct Judge {
    player: Player,
    listing: Arc<Listing>,
    /// `None` once it has begun.
    recent: Option<Recent>,
}

impl Judge {
    async fn run(mut self, mut stretches: mpsc::Receiver<Arc<Stretch>>) -> Player {
        self.player.meet(&self.listing.table);
        while let Some(stretch) = stretches.recv().await {
            if !stretch.unknown.is_empty() {
                self.player.excuse(stretch.to);
            }
            let mut slices = &stretch.slices[..];
            while let Some(first) = slices.first() {
                let mut part = slices;
                if let Some(recent) = self.recent {
                    if first.at < recent.since {
                        let old = slices.partition_point(|slice| slice.at < recent.since);
                        part = &slices[..old];
                    } else {
                        self.player.set_interval(recent.interval);
                        self.recent = None;
                    }
                }
                let rest = self.player.play_some(&self.listing.table, part);
                slices = &slices[part.len() - rest.len()..];
                tokio::task::yield_now().await;
            }
        }
        self.player.finish();
        self.player
    }
}
