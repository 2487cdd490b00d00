//! A ledger whose time stands still, and the questions that most tests ask it.

use resource_ledger::{AccountSnapshot, Clock, Ledger, ManualClock, OwnerId, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A ledger and the hand of its clock.
pub(crate) fn manual_ledger() -> (Ledger, ManualClock) {
    let (clock, hand) = Clock::manual();
    (
        Ledger::new(Settings {
            clock,
            ..Settings::default()
        }),
        hand,
    )
}

pub(crate) fn owner_id(request_id: &str) -> OwnerId {
    OwnerId {
        request_id: request_id.to_owned(),
        trace_id: Some("4bf92f35".to_owned()),
    }
}

/// The only account of a resource.
#[track_caller]
pub(crate) fn account_of(ledger: &Ledger, resource: &str) -> AccountSnapshot {
    let snapshot = ledger.snapshot();
    let accounts: Vec<_> = snapshot.of(resource).cloned().collect();
    <[AccountSnapshot; 1]>::try_from(accounts)
        .map(|[account]| account)
        .expect("one account of the resource")
}

/// Outcomes that have happened, with their counts.
#[track_caller]
pub(crate) fn outcomes(ledger: &Ledger, resource: &str) -> Vec<(&'static str, u64)> {
    account_of(ledger, resource)
        .closed
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Sends a request, and takes what comes until the server closes.
pub(crate) async fn exchange(mut client: DuplexStream, request: &str) -> String {
    client
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .await
        .expect("the server closes");
    answer
}

/// Runs `work` on a thread of its own that panics after it, with what `work` returned still held.
#[expect(clippy::disallowed_methods, reason = "a panic needs a thread to end")]
pub(crate) fn panic_holding<T>(work: impl FnOnce() -> T + Send + 'static) {
    let panicked = std::thread::spawn(move || {
        let _held = work();
        // Unlike `panic!`, it prints nothing: these panics are meant.
        std::panic::resume_unwind(Box::new("meant"));
    });
    assert!(panicked.join().is_err());
}
