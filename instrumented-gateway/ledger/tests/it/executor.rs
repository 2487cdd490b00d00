//! hyper's background tasks are counted under the place that made the executor.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};

use hyper::rt::Executor;
use resource_ledger::{CountingExecutor, Filter, Labels, Ledger, ServiceTaskOutcome, spawning_at};

use crate::support::outcomes;

#[test]
fn the_place_that_made_the_executor_stands_for_its_tasks() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&places);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_task_spawn(move |_| {
            seen.lock()
                .unwrap()
                .push(spawning_at().map(|place| place.line()))
        })
        .build()
        .expect("a runtime");
    let ledger = Ledger::default();
    let line = line!() + 1;
    let executor = CountingExecutor::new(&ledger);
    runtime.block_on(async {
        // As hyper would, from somewhere inside.
        executor.execute(pending::<()>());
        executor.clone().execute(ready(()));
        tokio::task::yield_now().await;
        assert_eq!(outcomes(&ledger, "connection_task"), [("completed", 1)]);
        let listing = ledger.oldest(&Filter::resource("connection_task"), 10);
        assert_eq!(
            listing.entries[0].site,
            format!("ledger/tests/it/executor.rs:{line}")
        );
    });
    drop(runtime);
    assert_eq!(
        outcomes(&ledger, "connection_task"),
        [("completed", 1), ("cancelled", 1)]
    );
    assert_eq!(*places.lock().unwrap(), [Some(line), Some(line)]);
}

#[tokio::test]
async fn an_executor_can_count_under_an_account_of_ones_own() {
    let ledger = Ledger::default();
    let account = ledger.account::<ServiceTaskOutcome>(Labels::new().site("http2"));
    CountingExecutor::with_account(account).execute(ready(()));
    tokio::task::yield_now().await;
    assert_eq!(outcomes(&ledger, "service_task"), [("completed", 1)]);
    assert_eq!(&*ledger.snapshot().accounts[0].site, "http2");
}
