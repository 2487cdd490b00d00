//! A plain tokio worker, no HTTP: each job asks three services at once, under one deadline, and one of them hangs.
//! `cargo run -p resource-ledger --example worker`.
//!
//! Three lines (each marked `// counts`) make the calls countable: how many are out, who waits for them, since when. Take
//! the deadline away and `overdue` says so within seconds; let a call outlive its job and it is `orphaned`.

use std::time::Duration;

use resource_ledger::{
    Account, Filter, Labels, Ledger, Owner, OwnerId, RequestOutcome, TaskOutcome, TaskSet,
};

/// What the worker asks, and how long each takes to answer; the last never does.
const SERVICES: [(&str, Duration); 3] = [
    ("articles", Duration::from_millis(5)),
    ("likes", Duration::from_millis(10)),
    ("comments", Duration::MAX),
];
const DEADLINE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() {
    let ledger = Ledger::default();
    let worker = Worker::new(&ledger);
    for job in 1..=3 {
        let (arrived, open) = tokio::join!(worker.work(job), open_calls(&ledger));
        println!("job {job}: {arrived:?}; while it waited, {open}");
    }
    let snapshot = ledger.snapshot();
    for account in snapshot.of("fan_out_task") {
        let upstream = account.upstream.as_deref().unwrap_or_default();
        let (opened, open) = (account.opened, account.open);
        let timed_out = account.closed_as("timed_out");
        println!("{upstream}: {opened} calls, {timed_out} timed out, {open} open");
    }
}

/// Who waits for what, in the middle of a job.
async fn open_calls(ledger: &Ledger) -> String {
    tokio::time::sleep(DEADLINE / 2).await;
    let listing = ledger.oldest(&Filter::resource("fan_out_task"), 10);
    let call = |call: &resource_ledger::OpenEntry| {
        let owner = call.owner.as_ref().map(|owner| owner.request_id.as_str());
        format!("{:?} was open for {:?}", call.upstream.as_deref(), owner)
    };
    listing
        .entries
        .iter()
        .map(call)
        .collect::<Vec<_>>()
        .join(", ")
}

struct Worker {
    ledger: Ledger,
    jobs: Account<RequestOutcome>,
    calls: [Account<TaskOutcome>; 3],
}

impl Worker {
    fn new(ledger: &Ledger) -> Self {
        Self {
            ledger: ledger.clone(),
            jobs: ledger.account(Labels::new()), // counts
            calls: SERVICES.map(|(service, _)| ledger.account(Labels::new().upstream(service))), // counts
        }
    }

    /// The services that answered in time.
    async fn work(&self, job: u64) -> Vec<&'static str> {
        let id = OwnerId {
            request_id: format!("job {job}"),
            trace_id: None,
        };
        // Declared before what it owns, and so dropped after it.
        let owner = Owner::begin(&self.jobs, id);
        let deadline = self.ledger.now() + DEADLINE;
        let mut calls = TaskSet::new();
        for (account, (service, takes)) in self.calls.iter().zip(SERVICES) {
            let entry = account.open_for(Some(&owner.reference()), Some(deadline)); // counts
            let call = async move {
                let answered =
                    tokio::time::timeout_at(deadline.into(), tokio::time::sleep(takes)).await;
                answered.map(|()| service)
            };
            calls.spawn_with(entry, call, |answered| match answered {
                Ok(_) => TaskOutcome::Completed,
                Err(_) => TaskOutcome::TimedOut,
            });
        }
        let mut arrived = Vec::new();
        while let Some(call) = calls.join_next().await {
            arrived.extend(call.expect("a call does not panic"));
        }
        owner.end(RequestOutcome::Completed);
        arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_call_that_hangs_ends_with_its_job() {
        let ledger = Ledger::default();
        let worker = Worker::new(&ledger);
        let (arrived, open) = tokio::join!(worker.work(1), open_calls(&ledger));
        assert_eq!(arrived, ["articles", "likes"]);
        assert_eq!(open, "Some(\"comments\") was open for Some(\"job 1\")");
        let snapshot = ledger.snapshot();
        let ended = |outcome| {
            snapshot
                .of("fan_out_task")
                .map(|call| call.closed_as(outcome))
                .sum::<u64>()
        };
        assert_eq!((ended("completed"), ended("timed_out")), (2, 1));
        assert_eq!(ledger.oldest(&Filter::default(), 10).total, 0);
    }
}
