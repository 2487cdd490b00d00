//! A counted body closes its entry when and as it ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use resource_ledger::{BodyOutcome, CountedBody, Filter, Labels, Ledger};

use crate::support::{account_of, manual_ledger, outcomes};

/// Gives the frames one by one, and says no more about its end than it is told to.
struct Script {
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    hint: SizeHint,
    knows_its_end: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if self.frames.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.frames.remove(0)))
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

fn script(frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>) -> Script {
    Script {
        frames: frames.into_iter().collect(),
        hint: SizeHint::default(),
        knows_its_end: false,
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::trailers(
        [("digest".parse().unwrap(), "x".parse().unwrap())]
            .into_iter()
            .collect(),
    ))
}

/// What `held` gives is still held when the answer is taken; `None` is an entry that is open.
#[track_caller]
fn check<T>(
    expected: Option<&str>,
    work: impl FnOnce(&dyn Fn(Script) -> CountedBody<Script>) -> T,
) {
    let (ledger, _hand) = manual_ledger();
    let account = ledger.account::<BodyOutcome>(Labels::new());
    let _held = work(&|script| CountedBody::new(script, account.open()));
    let ended = outcomes(&ledger, "response_body");
    assert_eq!(
        ended.iter().map(|(word, _)| *word).collect::<Vec<_>>(),
        expected.into_iter().collect::<Vec<_>>()
    );
    assert!(ended.iter().all(|(_, count)| *count == 1));
}

/// Reads so many frames.
#[track_caller]
fn read(mut body: CountedBody<Script>, frames: usize) -> CountedBody<Script> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    for _ in 0..frames {
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_ready());
    }
    body
}

#[test]
fn a_body_read_to_its_end_is_complete_and_closed_though_still_held() {
    check(Some("complete"), |counted| {
        read(counted(script([data("a"), data("b")])), 3)
    });
    check(Some("complete"), |counted| read(counted(script([])), 1));
}

#[test]
fn a_body_that_says_it_has_ended_needs_no_none() {
    check(Some("complete"), |counted| {
        read(
            counted(Script {
                knows_its_end: true,
                ..script([data("a"), data("b")])
            }),
            2,
        )
    });
    check(None, |counted| {
        read(
            counted(Script {
                knows_its_end: true,
                ..script([data("a"), data("b")])
            }),
            1,
        )
    });
}

#[test]
fn a_body_known_to_be_empty_is_complete_from_the_start() {
    check(Some("complete"), |counted| {
        counted(Script {
            knows_its_end: true,
            ..script([])
        })
    });
    let (ledger, _hand) = manual_ledger();
    let _body = CountedBody::new(Empty::<Bytes>::new(), ledger.account(Labels::new()).open());
    assert_eq!(outcomes(&ledger, "response_body"), [("complete", 1)]);
}

#[test]
fn trailers_are_the_end() {
    check(Some("complete"), |counted| {
        read(counted(script([data("a"), trailers()])), 2)
    });
    check(None, |counted| {
        read(counted(script([data("a"), trailers()])), 1)
    });
}

#[test]
fn with_no_data_left_only_trailers_can_be_missed() {
    let exhausted = || Script {
        hint: SizeHint::with_exact(0),
        ..script([data("a"), data("b")])
    };
    check(None, |counted| read(counted(exhausted()), 1));
    check(Some("complete"), |counted| {
        drop(read(counted(exhausted()), 1))
    });
    check(Some("complete"), |counted| drop(counted(exhausted())));
}

#[test]
fn an_error_is_failed() {
    check(Some("failed"), |counted| {
        read(counted(script([data("a"), Err("reset")])), 2)
    });
}

#[test]
fn a_body_dropped_part_way_is_abandoned_and_one_never_polled_unread() {
    check(Some("abandoned"), |counted| {
        drop(read(counted(script([data("a"), data("b")])), 1))
    });
    check(Some("unread"), |counted| drop(counted(script([data("a")]))));
    check(None, |counted| {
        read(counted(script([data("a"), data("b")])), 1)
    });
}

#[test]
fn a_drain_that_reaches_the_end_is_called_so_and_one_that_gives_up_is_not() {
    let rest = || script([data("a"), data("b"), data("c")]);
    check(Some("drained"), |counted| {
        read(read(counted(rest()), 1).drained(), 3)
    });
    check(Some("abandoned"), |counted| {
        drop(read(read(counted(rest()), 1).drained(), 1))
    });
    check(Some("unread"), |counted| {
        drop(read(counted(rest()).drained(), 1))
    });
    check(Some("failed"), |counted| {
        read(counted(script([data("a"), Err("reset")])).drained(), 2)
    });
}

#[test]
fn what_a_handle_announces_is_what_dropping_says() {
    let announced = |body: CountedBody<Script>| {
        body.handle().will_close(BodyOutcome::Failed);
        body
    };
    check(Some("failed"), |counted| {
        drop(announced(counted(script([data("a")]))))
    });
    check(Some("complete"), |counted| {
        read(announced(counted(script([data("a")]))), 2)
    });
}

#[test]
fn the_body_can_be_taken_out_with_its_entry() {
    check(None, |counted| counted(script([data("a")])).into_parts());
    check(Some("abandoned"), |counted| {
        drop(counted(script([data("a")])).into_parts())
    });
}

/// A body that cannot be moved once it has been polled.
struct Pinned(PhantomPinned);

impl Body for Pinned {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[tokio::test]
async fn any_body_can_be_counted_unpin_or_not() {
    let ledger = Ledger::default();
    let mut body = pin!(CountedBody::new(
        Pinned(PhantomPinned),
        ledger.account(Labels::new()).open()
    ));
    assert!(
        poll_fn(|context| body.as_mut().poll_frame(context))
            .await
            .is_none()
    );
    assert_eq!(outcomes(&ledger, "response_body"), [("complete", 1)]);
}

#[tokio::test]
async fn every_frame_passes() {
    let (ledger, _hand) = manual_ledger();
    let body = CountedBody::new(
        script([data("a"), data("b"), trailers()]),
        ledger.account(Labels::new()).open(),
    );
    let collected = body.collect().await.expect("the script has no error");
    assert_eq!(
        collected
            .trailers()
            .and_then(|trailers| trailers.get("digest"))
            .expect("sent"),
        "x"
    );
    assert_eq!(collected.to_bytes(), "ab");
}

#[tokio::test]
async fn hints_pass_at_every_step() {
    let ledger = Ledger::default();
    let mut plain = Full::new(Bytes::from_static(b"twelve bytes"));
    let mut counted = CountedBody::new(plain.clone(), ledger.account(Labels::new()).open());
    for _ in 0..3 {
        assert_eq!(counted.size_hint().exact(), plain.size_hint().exact());
        assert_eq!(counted.is_end_stream(), plain.is_end_stream());
        let same: (Option<Result<_, Infallible>>, _) = (counted.frame().await, plain.frame().await);
        let bytes = |frame: Option<Result<Frame<Bytes>, Infallible>>| {
            frame.map(|frame| frame.unwrap().into_data().ok())
        };
        assert_eq!(bytes(same.0), bytes(same.1));
    }
}

#[tokio::test]
async fn progress_renews_the_deadline() {
    let (ledger, hand) = manual_ledger();
    let entry = ledger.account::<BodyOutcome>(Labels::new()).open();
    let frames = script([data("a"), data("b"), data("c")]);
    let mut body = CountedBody::new(frames, entry).renew_on_progress(Duration::from_secs(60));
    let deadline =
        |ledger: &Ledger| ledger.oldest(&Filter::default(), 1).entries[0].deadline_seconds;
    assert_eq!(deadline(&ledger), Some(60.0));
    for _ in 0..2 {
        hand.advance(Duration::from_secs(50));
        assert_eq!(deadline(&ledger), Some(10.0));
        poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert_eq!(deadline(&ledger), Some(60.0));
    }
    hand.advance(Duration::from_secs(63));
    assert_eq!(account_of(&ledger, "response_body").overdue, 1);
}
