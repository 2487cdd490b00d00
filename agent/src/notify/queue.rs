//! The alerts that wait for one Alertmanager: the newest message of each, in the order in which they came.
//!
//! Bounded: where there is no room the oldest is dropped, which the caller counts. A message that could not be delivered
//! goes back to its place unless a newer one of its alert has come in between.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::alert::OutgoingAlert;
use crate::labels::Labels;

/// A message, and the labels of its alert as they were before any relabelling: two alerts that are relabelled into one
/// must not replace each other's messages.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Queued {
    pub(super) alert: Labels,
    pub(super) message: OutgoingAlert,
}

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
    pub(super) fn push(&self, messages: impl IntoIterator<Item = Queued>) -> usize {
        let mut waiting = self.lock();
        for Queued { alert, message } in messages {
            if waiting.newest.insert(alert.clone(), message).is_none() {
                waiting.order.push_back(alert);
            }
        }
        let dropped = waiting.order.len().saturating_sub(self.capacity);
        for _ in 0..dropped {
            if let Some(alert) = waiting.order.pop_front() {
                waiting.newest.remove(&alert);
            }
        }
        drop(waiting);
        self.changed.notify_one();
        dropped
    }

    /// The oldest messages, at most so many; waits for one. `None` when the queue is closed and empty.
    pub(super) async fn take(&self, most: usize) -> Option<Vec<Queued>> {
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

    /// Puts messages back to the front, but for those that newer ones have replaced; how many were dropped because there
    /// is no room any more. `None` once the queue is closed: then nothing is put back.
    pub(super) fn put_back(&self, batch: Vec<Queued>) -> Option<usize> {
        let mut waiting = self.lock();
        if waiting.closed {
            return None;
        }
        let mut dropped = 0;
        for Queued { alert, message } in batch.into_iter().rev() {
            if waiting.newest.contains_key(&alert) {
                continue;
            }
            if waiting.order.len() >= self.capacity {
                dropped += 1;
                continue;
            }
            waiting.order.push_front(alert.clone());
            waiting.newest.insert(alert, message);
        }
        Some(dropped)
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
    fn pop(&mut self, most: usize) -> Vec<Queued> {
        let count = most.min(self.order.len());
        let alerts: Vec<Labels> = self.order.drain(..count).collect();
        alerts
            .into_iter()
            .filter_map(|alert| {
                let message = self.newest.remove(&alert)?;
                Some(Queued { alert, message })
            })
            .collect()
    }
}
