//! What tells one request from another: the id and the trace that came with it, or a number of our own.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName};

use crate::owner::OwnerId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// A longer id is no id: it would be repeated in every listing.
const LONGEST_REQUEST_ID: usize = 128;

/// Names the requests of one layer.
#[derive(Debug)]
pub(super) struct Identities {
    /// Tells two processes, or two layers, apart.
    prefix: u64,
    next: AtomicU64,
}

impl Identities {
    pub(super) fn new() -> Self {
        Self {
            // The keys of a fresh hasher are random, and no random numbers are needed elsewhere.
            prefix: RandomState::new().hash_one(0) & 0xffff_ffff,
            next: AtomicU64::new(1),
        }
    }

    /// The request's own `x-request-id`, or a number; and the trace of its `traceparent`.
    pub(super) fn of(&self, headers: &HeaderMap) -> OwnerId {
        let came = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let request_id = came.filter(|id| is_request_id(id)).map_or_else(
            || {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                format!("{:08x}-{number}", self.prefix)
            },
            str::to_owned,
        );
        let parent = headers.get(TRACE_PARENT).and_then(|id| id.to_str().ok());
        OwnerId {
            request_id,
            trace_id: parent.and_then(trace_id).map(str::to_owned),
        }
    }
}

fn is_request_id(id: &str) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The trace id of a `traceparent` (W3C Trace Context, 3.2.2).
fn trace_id(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == length && text.bytes().all(digit)
    };
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let ends = version != "00" || parts.next().is_none();
    let well_formed = is_hex(version, 2) && version != "ff" && is_hex(flags, 2) && ends;
    let ids = is_hex(trace, 32) && !is_zero(trace) && is_hex(span, 16) && !is_zero(span);
    (well_formed && ids).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[track_caller]
    fn check(parent: &str, expected: Option<&str>) {
        assert_eq!(trace_id(parent), expected, "{parent}");
    }

    #[test]
    fn a_trace_is_read_from_a_well_formed_parent_only() {
        check(&format!("00-{TRACE}-00f067aa0ba902b7-01"), Some(TRACE));
        // A later version may append.
        check(&format!("01-{TRACE}-00f067aa0ba902b7-01-new"), Some(TRACE));
        check(&format!("00-{TRACE}-00f067aa0ba902b7-01-new"), None);
        check(&format!("ff-{TRACE}-00f067aa0ba902b7-01"), None);
        check(&format!("00-{TRACE}-0000000000000000-01"), None);
        check(&format!("00-{TRACE}-00f067aa0ba902b7"), None);
        check(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None);
        check(
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            None,
        );
        check("", None);
    }

    #[test]
    fn a_request_keeps_its_id_or_gets_one_that_no_other_has() {
        let identities = Identities::new();
        let of = |id: &str| {
            let headers = [(REQUEST_ID, id.parse().expect("a value"))];
            identities.of(&headers.into_iter().collect()).request_id
        };
        assert_eq!(of("a-1"), "a-1");
        let (blank, long) = (of("two words"), of(&"x".repeat(129)));
        assert!(
            blank.ends_with("-1") && long.ends_with("-2"),
            "{blank} {long}"
        );
        assert_ne!(identities.of(&HeaderMap::new()).request_id, long);
    }
}
