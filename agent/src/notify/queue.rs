//! The alerts that wait for one Alertmanager: the newest message of each, in the order in which they came.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::alert::OutgoingAlert;
use crate::labels::Labels;

/// A bounded queue with one taker.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    waiting: Mutex<Waiting>,
    changed: Notify,
    closing: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Labels>,
    newest: HashMap<Labels, OutgoingAlert>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            waiting: Mutex::default(),
            changed: Notify::new(),
            closing: Notify::new(),
        }
    }

    /// Adds messages; how many of the oldest had to be dropped for them.
    pub(super) fn push(&self, alerts: &[OutgoingAlert]) -> usize {
        let mut waiting = self.lock();
        for alert in alerts {
            if waiting
                .newest
                .insert(alert.labels.clone(), alert.clone())
                .is_none()
            {
                waiting.order.push_back(alert.labels.clone());
            }
        }
        let dropped = waiting.order.len().saturating_sub(self.capacity);
        for _ in 0..dropped {
            if let Some(labels) = waiting.order.pop_front() {
                waiting.newest.remove(&labels);
            }
        }
        drop(waiting);
        self.changed.notify_one();
        dropped
    }

    /// The oldest messages, at most so many; waits for one. `None` when the queue is closed and empty.
    pub(super) async fn take(&self, most: usize) -> Option<Vec<OutgoingAlert>> {
        loop {
            {
                let mut waiting = self.lock();
                let batch = waiting.pop(most);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Puts messages back to the front, but for those that newer ones have replaced. Not once the queue is closed:
    /// whether they were put back.
    pub(super) fn put_back(&self, batch: Vec<OutgoingAlert>) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return false;
        }
        for alert in batch.into_iter().rev() {
            if !waiting.newest.contains_key(&alert.labels) && waiting.order.len() < self.capacity {
                waiting.order.push_front(alert.labels.clone());
                waiting.newest.insert(alert.labels.clone(), alert);
            }
        }
        true
    }

    /// Takes nothing back any more, and ends the taker when it is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
        self.closing.notify_one();
    }

    /// Waits until the queue is closed; for its one taker.
    pub(super) async fn until_closed(&self) {
        self.closing.notified().await;
    }

    pub(super) fn len(&self) -> usize {
        self.lock().order.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn pop(&mut self, most: usize) -> Vec<OutgoingAlert> {
        let count = most.min(self.order.len());
        let labels: Vec<Labels> = self.order.drain(..count).collect();
        labels
            .iter()
            .filter_map(|labels| self.newest.remove(labels))
            .collect()
    }
}
