//! Tasks that are counted, and that somebody owns.
//!
//! A task's entry lives inside its future, so it is closed by whatever ends that: returning, panicking, an abort. The
//! handle aborts the task when it is dropped; letting one run on alone is a word, [`Task::detach`], not an oversight.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};

use crate::entry::Entry;
use crate::ledger::Ledger;
use crate::outcome::RunOutcome;

/// A task that is aborted when this is dropped. As a future, it gives the task's value.
#[must_use = "dropping a task aborts it"]
#[derive(Debug)]
pub struct Task<T> {
    handle: Option<JoinHandle<T>>,
}

/// Tasks of one kind that end together: all are aborted when this is dropped.
#[derive(Debug)]
pub struct TaskSet<T> {
    tasks: JoinSet<T>,
}

impl Ledger {
    /// Runs `future` as a task that holds `entry`. It closes as completed when the future returns, as cancelled when it
    /// is aborted, as panicked when it panics.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn spawn<O, F>(&self, entry: Entry<O>, future: F) -> Task<F::Output>
    where
        O: RunOutcome,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.spawn_with(entry, future, |_| O::COMPLETED)
    }

    /// Like [`Ledger::spawn`], and `outcome_of` says from the value how the task ended.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn spawn_with<O, F>(
        &self,
        entry: Entry<O>,
        future: F,
        outcome_of: impl FnOnce(&F::Output) -> O + Send + 'static,
    ) -> Task<F::Output>
    where
        O: RunOutcome,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Task {
            handle: Some(spawn_at(
                Location::caller(),
                counted(entry, future, outcome_of),
            )),
        }
    }

    /// Runs `work`, which computes and does not wait for anybody, on a thread beside the event loop. The task holds
    /// `entry` until it is over; once begun it cannot be aborted.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "this is the place that spawns")]
    pub fn compute<O, T>(
        &self,
        entry: Entry<O>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T>
    where
        O: RunOutcome,
        T: Send + 'static,
    {
        let _spawning = Spawning::at(Location::caller());
        Task {
            handle: Some(tokio::task::spawn_blocking(move || {
                let value = work();
                entry.close(O::COMPLETED);
                value
            })),
        }
    }
}

impl<T> Task<T> {
    /// Lets the task run on alone. It stays counted.
    pub fn detach(mut self) {
        self.handle.take();
    }

    /// Waits for the task. Dropping this future aborts it.
    ///
    /// # Errors
    /// If the task panicked or was aborted.
    pub async fn join(self) -> Result<T, JoinError> {
        self.await
    }

    /// Aborts the task at its next suspension.
    pub fn abort(&self) {
        self.handle.iter().for_each(JoinHandle::abort);
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self
            .handle
            .as_mut()
            .expect("a task has its handle until it is detached, which consumes it");
        Pin::new(handle).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<T> Default for TaskSet<T> {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
        }
    }
}

impl<T: Send + 'static> TaskSet<T> {
    /// A set without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` as a task of this set that holds `entry`, closed as by [`Ledger::spawn`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn spawn<O: RunOutcome>(
        &mut self,
        entry: Entry<O>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortHandle {
        self.spawn_with(entry, future, |_| O::COMPLETED)
    }

    /// Like [`TaskSet::spawn`], and `outcome_of` says from the value how the task ended.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "this is the place that spawns")]
    pub fn spawn_with<O: RunOutcome>(
        &mut self,
        entry: Entry<O>,
        future: impl Future<Output = T> + Send + 'static,
        outcome_of: impl FnOnce(&T) -> O + Send + 'static,
    ) -> AbortHandle {
        let _spawning = Spawning::at(Location::caller());
        self.tasks.spawn(counted(entry, future, outcome_of))
    }

    /// Waits for the next task to end; `None` when there are none. Nothing is lost when this future is dropped.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.join_next().await
    }

    /// A task that has ended, if there is one.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.try_join_next()
    }

    /// Aborts every task; they are still to be joined.
    pub fn abort_all(&mut self) {
        self.tasks.abort_all();
    }

    /// Aborts every task and waits until all have ended.
    pub async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Tasks that have not been joined.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether all tasks have been joined.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// The line that is spawning a task at this moment on this thread: for a runtime's `on_task_spawn` hook, which sees the
/// line inside a library where a task was spawned by an executor.
pub fn spawning_at() -> Option<&'static Location<'static>> {
    SPAWNING_AT.with(Cell::get)
}

thread_local!(static SPAWNING_AT: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) });

/// Runs the task of an executor, which has no owner to give it to.
pub(crate) fn spawn_detached<O, F>(location: &'static Location<'static>, entry: Entry<O>, future: F)
where
    O: RunOutcome,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    spawn_at(location, counted(entry, future, |_| O::COMPLETED));
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "this is the place that spawns")]
fn spawn_at<F>(location: &'static Location<'static>, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let _spawning = Spawning::at(location);
    tokio::spawn(future)
}

/// Marks the spawning line for as long as it lives.
struct Spawning(Option<&'static Location<'static>>);

impl Spawning {
    fn at(location: &'static Location<'static>) -> Self {
        Self(SPAWNING_AT.with(|place| place.replace(Some(location))))
    }
}

impl Drop for Spawning {
    fn drop(&mut self) {
        SPAWNING_AT.with(|place| place.set(self.0));
    }
}

pin_project! {
    /// A future that holds an entry. It is dropped, at its end or before its first poll, before the entry closes. By
    /// hand, because an `async` block keeps room for its argument twice, and leaked tasks are many.
    struct Counted<F, O: RunOutcome, C> {
        #[pin]
        future: Option<F>,
        outcome_of: Option<C>,
        entry: Option<Entry<O>>,
    }
}

impl<F: Future, O: RunOutcome, C: FnOnce(&F::Output) -> O> Future for Counted<F, O, C> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("a future is not polled after its end");
        let value = ready!(future.poll(context));
        this.future.set(None);
        if let (Some(entry), Some(outcome_of)) = (this.entry.take(), this.outcome_of.take()) {
            entry.close(outcome_of(&value));
        }
        Poll::Ready(value)
    }
}

fn counted<F: Future, O: RunOutcome, C: FnOnce(&F::Output) -> O>(
    entry: Entry<O>,
    future: F,
    outcome_of: C,
) -> Counted<F, O, C> {
    Counted {
        future: Some(future),
        entry: Some(entry),
        outcome_of: Some(outcome_of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Labels;
    use crate::outcome::TaskOutcome;

    #[test]
    fn counting_adds_little_to_the_size_of_a_task() {
        async fn leaf() -> u8 {
            let buffer = [1; 4096];
            std::future::pending::<()>().await;
            buffer.iter().sum()
        }
        let entry = Ledger::default()
            .account::<TaskOutcome>(Labels::new())
            .open();
        let alone = size_of_val(&leaf());
        let counted = size_of_val(&counted(entry, leaf(), |_: &u8| TaskOutcome::Completed));
        assert!(counted - alone <= 64, "{alone} bytes became {counted}");
    }
}
