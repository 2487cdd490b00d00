//! A task's entry closes with the task, whatever ends that.

use std::future::{pending, ready};
use std::panic::{Location, resume_unwind};
use std::sync::{Arc, Mutex};

use resource_ledger::{
    Entry, Filter, Labels, Ledger, Owner, OwnerId, ServiceTaskOutcome, Task, TaskOutcome, TaskSet,
    spawning_at,
};
use tokio::sync::oneshot;

use crate::support::outcomes;

fn entry(ledger: &Ledger) -> Entry<TaskOutcome> {
    ledger.account::<TaskOutcome>(Labels::new()).open()
}

/// What a task holds: tells how many tasks were counted when it was let go.
struct Witness(Ledger, Arc<Mutex<Vec<u64>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.1
            .lock()
            .unwrap()
            .push(self.0.snapshot().open("fan_out_task"));
    }
}

#[tokio::test]
async fn a_task_that_returns_is_completed_before_its_value_is_there() {
    let ledger = Ledger::default();
    assert_eq!(
        ledger
            .spawn(entry(&ledger), ready(7))
            .await
            .expect("it returns"),
        7
    );
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("completed", 1)]);
}

#[tokio::test]
async fn the_value_says_how_the_task_ended() {
    let ledger = Ledger::default();
    let outcome_of = |value: &Result<(), ()>| {
        if value.is_ok() {
            TaskOutcome::Completed
        } else {
            TaskOutcome::TimedOut
        }
    };
    for value in [Ok(()), Err(())] {
        let task = ledger.spawn_with(entry(&ledger), ready(value), outcome_of);
        assert_eq!(task.join().await.expect("it returns"), value);
    }
    assert_eq!(
        outcomes(&ledger, "fan_out_task"),
        [("completed", 1), ("timed_out", 1)]
    );
}

#[tokio::test]
async fn a_task_that_panics_is_panicked() {
    let ledger = Ledger::default();
    let task = ledger.spawn(entry(&ledger), async {
        tokio::task::yield_now().await;
        resume_unwind(Box::new("meant"))
    });
    let task: Task<()> = task;
    assert!(task.await.expect_err("it panics").is_panic());
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("panicked", 1)]);
}

#[tokio::test]
async fn a_task_whose_handle_is_dropped_is_cancelled() {
    let ledger = Ledger::default();
    let (started, has_started) = oneshot::channel();
    let (gone, is_gone) = oneshot::channel::<()>();
    let task = ledger.spawn(entry(&ledger), async move {
        let _gone = gone;
        started.send(()).expect("the test waits");
        pending::<()>().await;
    });
    has_started.await.expect("it runs");
    drop(task);
    is_gone.await.expect_err("dropped, not sent");
    // The future is dropped before its entry: give the runtime its turn.
    tokio::task::yield_now().await;
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("cancelled", 1)]);
}

#[tokio::test]
async fn a_task_aborted_before_its_first_poll_is_cancelled() {
    let ledger = Ledger::default();
    let task = ledger.spawn(entry(&ledger), async {
        unreachable!("it is aborted before it runs")
    });
    task.abort();
    let task: Task<()> = task;
    assert!(task.join().await.expect_err("aborted").is_cancelled());
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("cancelled", 1)]);
}

#[tokio::test]
async fn joining_is_owning_as_well() {
    let ledger = Ledger::default();
    let task = ledger.spawn(entry(&ledger), pending::<()>());
    let mut joined = Box::pin(task.join());
    tokio::select! { biased; _ = &mut joined => unreachable!("it never ends"), () = ready(()) => {} }
    drop(joined);
    tokio::task::yield_now().await;
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("cancelled", 1)]);
}

#[tokio::test]
async fn a_detached_task_runs_on_and_stays_counted() {
    let ledger = Ledger::default();
    let (finish, finished) = oneshot::channel::<()>();
    let (ended, has_ended) = oneshot::channel::<()>();
    ledger
        .spawn(entry(&ledger), async move {
            let _ended = ended;
            finished.await
        })
        .detach();
    tokio::task::yield_now().await;
    assert_eq!(ledger.snapshot().open("fan_out_task"), 1);
    finish.send(()).expect("it still waits");
    has_ended.await.expect_err("dropped, not sent");
    tokio::task::yield_now().await;
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("completed", 1)]);
}

#[tokio::test]
async fn what_a_task_held_is_gone_before_its_entry() {
    let ledger = Ledger::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let witness = || Witness(ledger.clone(), Arc::clone(&seen));
    let held = witness();
    ledger
        .spawn(entry(&ledger), async move { drop(held) })
        .await
        .expect("it returns");
    let held = witness();
    let aborted = ledger.spawn(entry(&ledger), async move {
        let _held = held;
        pending::<()>().await;
    });
    tokio::task::yield_now().await;
    aborted.abort();
    aborted.await.expect_err("aborted");
    let held = witness();
    let unpolled = ledger.spawn(entry(&ledger), async move {
        let _held = held;
    });
    unpolled.abort();
    unpolled.await.expect_err("aborted");
    assert_eq!(*seen.lock().unwrap(), [1, 1, 1]);
}

#[tokio::test]
async fn a_set_ends_with_its_owner() {
    let ledger = Ledger::default();
    let mut set = TaskSet::new();
    let owner = Owner::begin(&ledger.account(Labels::new()), OwnerId::default());
    let tasks = ledger.account::<TaskOutcome>(Labels::new());
    let open = || tasks.open_for(Some(&owner.reference()), None);
    set.spawn(open(), ready(1));
    set.spawn_with(open(), ready(2), |_| TaskOutcome::Failed);
    let panicking = set.spawn(open(), async { resume_unwind(Box::new("meant")) });
    let hanging = set.spawn(open(), pending());
    assert_eq!(set.len(), 4);
    let mut ended = Vec::new();
    while ended.len() < 3 {
        ended.push(set.join_next().await.expect("four were spawned"));
    }
    let mut values: Vec<i32> = ended
        .iter()
        .filter_map(|ended| ended.as_ref().ok())
        .copied()
        .collect();
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
    let panicked = ended.into_iter().find_map(Result::err).expect("one panics");
    assert_eq!((panicked.id(), panicked.is_panic()), (panicking.id(), true));
    assert!(!hanging.is_finished() && !set.is_empty() && set.try_join_next().is_none());
    drop(set);
    tokio::task::yield_now().await;
    let expected = [
        ("completed", 1),
        ("failed", 1),
        ("cancelled", 1),
        ("panicked", 1),
    ];
    assert_eq!(outcomes(&ledger, "fan_out_task"), expected);
    drop(owner);
}

#[tokio::test]
async fn a_set_can_be_shut_down_and_joined() {
    let ledger = Ledger::default();
    let mut set = TaskSet::new();
    (0..3).for_each(|_| drop(set.spawn(entry(&ledger), pending::<()>())));
    set.abort_all();
    assert!(
        set.join_next()
            .await
            .expect("three were spawned")
            .expect_err("aborted")
            .is_cancelled()
    );
    set.shutdown().await;
    assert!(set.join_next().await.is_none());
    assert_eq!(outcomes(&ledger, "fan_out_task"), [("cancelled", 3)]);
}

/// Drops and panics on many threads at once, and a look at the sums meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_tasks_that_end_in_every_way_leave_nothing() {
    let ledger = Ledger::default();
    let account = ledger.account::<TaskOutcome>(Labels::new());
    let mut set = TaskSet::new();
    let mut handles = Vec::new();
    for number in 0..10_000_u32 {
        let inner = ledger.service_account("inner", Labels::new()).open();
        handles.push(set.spawn(account.open(), async move {
            let _inner = inner;
            match number % 4 {
                0 => tokio::task::yield_now().await,
                1 => resume_unwind(Box::new("meant")),
                _ => pending().await,
            }
        }));
        if number % 4 == 2 {
            handles
                .swap_remove(number as usize / 2 % handles.len())
                .abort();
        }
        if number % 100 == 0 {
            let snapshot = ledger.snapshot();
            assert!(
                snapshot
                    .accounts
                    .iter()
                    .all(|account| account.opened == account.closed_total() + account.open)
            );
        }
    }
    set.shutdown().await;
    let snapshot = ledger.snapshot();
    assert_eq!(
        (snapshot.open("fan_out_task"), snapshot.open("inner")),
        (0, 0)
    );
    assert!(
        snapshot
            .accounts
            .iter()
            .all(|account| account.opened == 10_000 && account.closed_total() == 10_000)
    );
}

#[test]
fn the_hook_of_a_runtime_sees_the_line_that_spawns() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&places);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_task_spawn(move |meta| {
            seen.lock()
                .unwrap()
                .push((spawning_at(), meta.spawned_at().line()))
        })
        .build()
        .expect("a runtime");
    let ledger = Ledger::default();
    let upkeep = || ledger.account::<ServiceTaskOutcome>(Labels::new()).open();
    let line = runtime.block_on(async {
        let line = line!() + 1;
        let first = ledger.spawn(upkeep(), ready(()));
        let mut set = TaskSet::new();
        set.spawn(upkeep(), ready(()));
        first.await.expect("it returns");
        set.join_next().await.expect("one").expect("it returns");
        line
    });
    assert_eq!(spawning_at(), None);
    let places: Vec<_> = places.lock().unwrap().drain(..).collect();
    let lines: Vec<_> = places
        .iter()
        .map(|(place, spawned)| (place.map(Location::line), *spawned))
        .collect();
    assert_eq!(lines, [(Some(line), line), (Some(line + 2), line + 2)]);
    assert!(
        places
            .iter()
            .all(|(place, _)| place.is_some_and(|place| place.file() == file!()))
    );
    assert_eq!(ledger.oldest(&Filter::default(), 1).total, 0);
}
