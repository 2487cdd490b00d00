//! Which places of the source have how many tasks alive, and since when.
//!
//! The runtime's hooks feed a registry keyed by task id. Counting spawns less terminations instead would be wrong: blocking
//! work and name look-ups fire the terminate hook alone, so such a count runs negative and hides leaks. A task that was
//! never seen to begin is simply not there to be removed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use resource_ledger::{site_line_of, spawning_at};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::task::Id;

use crate::clock;

#[cfg(not(any(tokio_unstable, doc, doctest)))]
compile_error!(
    "the hooks need `--cfg tokio_unstable`, which .cargo/config.toml sets; RUSTFLAGS in the environment replaces that file's flags"
);

/// So many locks that two threads seldom meet at one.
const SHARDS: usize = 16;
/// A shard below this capacity keeps its memory.
const KEPT_CAPACITY: usize = 1024;

/// The tasks alive on a runtime. Cloning is cheap, clones share everything.
#[derive(Debug, Clone)]
pub struct TaskRegistry(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    hasher: RandomState,
    shards: [Mutex<HashMap<Id, Spawned>>; SHARDS],
}

#[derive(Debug, Clone, Copy)]
struct Spawned {
    location: &'static Location<'static>,
    at: Instant,
}

/// The tasks alive that were spawned at one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskPlace {
    /// `crate/src/file.rs:LINE`.
    pub site: String,
    /// How many.
    pub count: u64,
    /// Age of the oldest, in seconds.
    pub oldest_age_seconds: f64,
}

impl TaskRegistry {
    /// A registry that no runtime feeds yet.
    pub fn new() -> Self {
        Self(Arc::new(Registry {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }))
    }

    /// A runtime with so many threads, or one for each processor, whose tasks are in this registry.
    ///
    /// # Errors
    /// Where the system gives no threads or no poll.
    pub fn runtime(&self, worker_threads: Option<usize>) -> io::Result<Runtime> {
        let mut builder = Builder::new_multi_thread();
        if let Some(threads) = worker_threads {
            builder.worker_threads(threads);
        }
        self.observe(&mut builder);
        builder.enable_all().build()
    }

    /// Feeds this registry from the runtimes that `builder` builds.
    pub fn observe(&self, builder: &mut Builder) {
        let spawned = self.clone();
        let terminated = self.clone();
        builder.on_task_spawn(move |task| {
            // An executor's own line says nothing: the ledger knows for whom it spawns.
            let location = spawning_at().unwrap_or(task.spawned_at());
            let at = clock::now();
            let task = task.id();
            spawned.shard(task).insert(task, Spawned { location, at });
        });
        builder.on_task_terminate(move |task| {
            let mut shard = terminated.shard(task.id());
            shard.remove(&task.id());
            if shard.capacity() > KEPT_CAPACITY && shard.len() < shard.capacity() / 8 {
                let smaller = shard.capacity() / 4;
                shard.shrink_to(smaller);
            }
        });
    }

    /// The places that have tasks alive, the most first.
    pub fn places(&self) -> Vec<TaskPlace> {
        let now = clock::now();
        let mut places: HashMap<&'static Location<'static>, (u64, Instant)> = HashMap::new();
        for shard in &self.0.shards {
            for spawned in lock(shard).values() {
                let (count, oldest) = places.entry(spawned.location).or_insert((0, spawned.at));
                *count += 1;
                *oldest = spawned.at.min(*oldest);
            }
        }
        let mut places: Vec<TaskPlace> = places
            .into_iter()
            .map(|(location, (count, oldest))| TaskPlace {
                site: site_line_of(location),
                count,
                oldest_age_seconds: now.saturating_duration_since(oldest).as_secs_f64(),
            })
            .collect();
        places.sort_by(|left, right| {
            let by_count = right.count.cmp(&left.count);
            by_count.then_with(|| left.site.cmp(&right.site))
        });
        places
    }

    fn shard(&self, task: Id) -> MutexGuard<'_, HashMap<Id, Spawned>> {
        // The remainder is below the number of shards, which fits.
        let index = self.0.hasher.hash_one(task) % SHARDS as u64;
        lock(&self.0.shards[index as usize])
    }
}

impl Default for TaskRegistry {
    fn default() -> Self {
        Self::new()
    }
}

/// A hook must not panic: a poisoned shard is still a map.
fn lock(shard: &Mutex<HashMap<Id, Spawned>>) -> MutexGuard<'_, HashMap<Id, Spawned>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use resource_ledger::{CountingExecutor, Labels, Ledger, TaskOutcome, TaskSet};
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    #[expect(
        clippy::assertions_on_constants,
        reason = "a tripwire: RUSTFLAGS in the environment replaces the flags of .cargo/config.toml"
    )]
    fn the_flag_that_the_hooks_need_is_set() {
        assert!(cfg!(tokio_unstable));
    }

    fn counts(registry: &TaskRegistry) -> Vec<(String, u64)> {
        let places = registry.places();
        places.into_iter().map(|p| (p.site, p.count)).collect()
    }

    /// Waits: a task's hook runs after whoever joins it has been woken.
    async fn comes_to(registry: &TaskRegistry, expected: &[(String, u64)]) {
        let reached = async {
            while counts(registry) != expected {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(10);
        if tokio::time::timeout(limit, reached).await.is_err() {
            assert_eq!(counts(registry), expected);
        }
    }

    #[test]
    fn tasks_are_grouped_by_the_line_that_spawned_them() {
        let registry = TaskRegistry::new();
        let ledger = Ledger::default();
        let account = ledger.account::<TaskOutcome>(Labels::new());
        let runtime = registry.runtime(None).expect("a runtime");
        runtime.block_on(async {
            let mut held = TaskSet::new();
            let line = line!() + 2;
            for _ in 0..3 {
                held.spawn(account.open(), std::future::pending::<()>());
            }
            let (_release, released) = oneshot::channel::<()>();
            let other = line!() + 1;
            let task = ledger.spawn(account.open(), released);
            let file = "instrumented-gateway/src/tasks.rs";
            assert_eq!(
                counts(&registry),
                [
                    (format!("{file}:{line}"), 3),
                    (format!("{file}:{other}"), 1)
                ]
            );
            task.abort();
            comes_to(&registry, &[(format!("{file}:{line}"), 3)]).await;
            held.abort_all();
            comes_to(&registry, &[]).await;
        });
    }

    #[test]
    fn an_executors_tasks_carry_the_line_that_made_it() {
        let registry = TaskRegistry::new();
        let runtime = registry.runtime(None).expect("a runtime");
        runtime.block_on(async {
            let line = line!() + 1;
            let executor = CountingExecutor::new(&Ledger::default());
            let (_keep, never) = oneshot::channel::<()>();
            hyper::rt::Executor::execute(&executor, async { drop(never.await) });
            assert_eq!(
                counts(&registry),
                [(format!("instrumented-gateway/src/tasks.rs:{line}"), 1)]
            );
        });
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the hooks must not miscount it")]
    fn what_fires_the_terminate_hook_alone_counts_for_nothing() {
        let registry = TaskRegistry::new();
        let runtime = registry.runtime(None).expect("a runtime");
        runtime.block_on(async {
            for _ in 0..10 {
                tokio::task::spawn_blocking(|| ()).await.expect("it ran");
            }
        });
        drop(runtime);
        assert_eq!(counts(&registry), []);
    }
}
