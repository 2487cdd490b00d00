//! Keeps the roll: runs the providers of every job and calls the roll anew when one of them has found something else.
//!
//! It has a task of its own, because the relabelling of tens of thousands of targets takes longer than the judgement
//! of the agent may wait. Changes that come in quick succession (a rollout) make one roll.

use std::sync::Arc;
use std::time::Duration;

use resource_ledger::{Labels as Account, Ledger, ServiceTaskOutcome, Task};
use tokio::sync::{Notify, watch};

use super::{Discovery, Outlet, Roll};
use crate::config::Job;

/// From one roll to the next, at least.
const SETTLE: Duration = Duration::from_millis(500);

/// The one place that knows which targets there are. Dropping it ends every provider.
#[derive(Debug)]
pub struct TargetManager {
    jobs: watch::Sender<Arc<[Job]>>,
    rolls: watch::Receiver<Arc<Roll>>,
    _task: Task<()>,
}

impl TargetManager {
    /// Runs the providers of these jobs.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(jobs: &[Job], ledger: &Ledger) -> Self {
        let jobs: Arc<[Job]> = jobs.into();
        let first = Roll::of(jobs.iter().map(|job| (job, Vec::new())));
        let (jobs, wanted) = watch::channel(jobs);
        let (called, rolls) = watch::channel(Arc::new(first));
        let account = ledger.account::<ServiceTaskOutcome>(Account::new());
        let keeper = Keeper {
            running: Vec::new(),
            changed: Arc::new(Notify::new()),
            ledger: ledger.clone(),
        };
        let task = ledger.spawn(account.open(), keeper.run(wanted, called));
        Self {
            jobs,
            rolls,
            _task: task,
        }
    }

    /// Goes on with other jobs; providers that were there already run on.
    pub fn replace(&self, jobs: &[Job]) {
        self.jobs.send_replace(jobs.into());
    }

    /// The roll as it was called last. In the beginning, and until a provider has spoken, it has the static targets.
    pub fn roll(&self) -> Arc<Roll> {
        Arc::clone(&self.rolls.borrow())
    }

    /// The next roll. Nothing is lost when this future is dropped.
    pub async fn next(&mut self) -> Arc<Roll> {
        if self.rolls.changed().await.is_err() {
            // The task has panicked, which the runtime has told of: the roll stays as it is.
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.rolls.borrow_and_update())
    }
}

/// What the task owns.
struct Keeper {
    running: Vec<(Arc<str>, Discovery)>,
    changed: Arc<Notify>,
    ledger: Ledger,
}

impl Keeper {
    async fn run(
        mut self,
        mut wanted: watch::Receiver<Arc<[Job]>>,
        called: watch::Sender<Arc<Roll>>,
    ) {
        loop {
            let jobs = Arc::clone(&wanted.borrow_and_update());
            self.employ(&jobs);
            loop {
                let roll = Roll::of(jobs.iter().zip(self.outlets()));
                let before = Arc::clone(&called.borrow());
                if !roll.is_like(&before) {
                    tell(&before, &roll);
                    called.send_replace(Arc::new(roll));
                }
                tokio::select! {
                    () = self.changed.notified() => {}
                    wanted = wanted.changed() => match wanted {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                }
                tokio::select! {
                    () = tokio::time::sleep(SETTLE) => {}
                    wanted = wanted.changed() => match wanted {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                }
            }
        }
    }

    /// Runs the providers of these jobs, those that run already on as they are.
    fn employ(&mut self, jobs: &[Job]) {
        let mut before = std::mem::take(&mut self.running);
        for job in jobs {
            let name = &job.template.job;
            let known = before.iter().position(|(own, _)| own == name);
            let discovery = match known {
                Some(index) => {
                    let (_, mut discovery) = before.swap_remove(index);
                    discovery.replace(&job.providers, name);
                    discovery
                }
                None => {
                    let changed = Arc::clone(&self.changed);
                    Discovery::start(&job.providers, name, changed, &self.ledger)
                }
            };
            self.running.push((Arc::clone(name), discovery));
        }
    }

    fn outlets(&self) -> impl Iterator<Item = Vec<Outlet>> {
        self.running
            .iter()
            .map(|(_, discovery)| discovery.outlets())
    }
}

/// Logs what has changed: how many targets, and what is newly wrong.
fn tell(before: &Roll, now: &Roll) {
    if before.targets.len() != now.targets.len() {
        tracing::info!(
            targets = now.targets.len(),
            before = before.targets.len(),
            "the list of targets has changed"
        );
    }
    for own in &now.jobs {
        let known = before.jobs.iter().find(|job| job.job == own.job);
        if let Some(problem) = &own.problem
            && known.is_none_or(|known| known.problem.as_ref() != Some(problem))
        {
            let refused = own.invalid + own.ambiguous + own.above_limit;
            tracing::warn!(job = %own.job, refused, first = problem, "targets are refused");
        }
    }
}
