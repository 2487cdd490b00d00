//! W3C Trace Context, Level 1: which trace a request belongs to, and the gateway's own part in it.
//!
//! A `traceparent` that keeps to the grammar is gone on with: its trace and its sampled flag stay, its parent becomes a span
//! of the gateway's own, and `tracestate` goes on untouched. Without one, or with one that is broken or repeated, a new trace
//! begins and `tracestate` is dropped, as the recommendation asks (3.2.2.3, 3.3, 4.3).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::Present;

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
/// The one flag that Level 1 defines; the others must be zero (3.2.2.5).
const SAMPLED: u8 = 0x01;
/// Of a `traceparent` of version 00.
const PARENT_LENGTH: usize = 55;

/// Makes the request's fields speak of the gateway's own span, and returns the id of the trace: 32 hexadecimal digits.
pub(super) fn go_on(headers: &mut HeaderMap, present: Present) -> String {
    let came = present.has(Present::TRACE).then(|| came(headers));
    let (trace_id, flags) = match came {
        Some(Some((trace_id, flags))) => (trace_id.to_owned(), flags & SAMPLED),
        Some(None) => {
            headers.remove(TRACE_STATE);
            begun()
        }
        None => begun(),
    };
    let (span_id, flags) = (
        digits::<16>(fastrand::u64(1..).into()),
        digits::<2>(flags.into()),
    );
    let mut parent = Vec::with_capacity(PARENT_LENGTH);
    for part in [b"00-", trace_id.as_bytes(), b"-", &span_id, b"-", &flags] {
        parent.extend_from_slice(part);
    }
    let parent = HeaderValue::try_from(parent).expect("hexadecimal digits are a field value");
    headers.insert(TRACE_PARENT, parent);
    trace_id
}

/// The trace that a request says it belongs to.
fn came(headers: &HeaderMap) -> Option<(&str, u8)> {
    let mut parents = headers.get_all(TRACE_PARENT).iter();
    match (parents.next(), parents.next()) {
        (Some(parent), None) => parent.to_str().ok().and_then(parse),
        _ => None,
    }
}

/// A trace that begins here, which nobody has asked to be sampled.
fn begun() -> (String, u8) {
    (hexadecimal::<32>(fastrand::u128(1..)), 0)
}

/// The last digits of a number, of which there is an even count.
pub(super) fn hexadecimal<const DIGITS: usize>(number: u128) -> String {
    std::str::from_utf8(&digits::<DIGITS>(number))
        .unwrap_or_default()
        .to_owned()
}

/// The same as bytes; a tenth of the time that the formatter takes, and there are four for each request.
fn digits<const DIGITS: usize>(number: u128) -> [u8; DIGITS] {
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
    let mut digits = [b'0'; DIGITS];
    for (pair, byte) in digits.rchunks_exact_mut(2).zip(number.to_le_bytes()) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
    digits
}

/// The trace id and the flags of a `traceparent` (3.2). Of a later version the parts that are known are read.
fn parse(parent: &str) -> Option<(&str, u8)> {
    let is_hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
    let mut parts = parent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(span, 16)
        && !is_zero(span)
        && is_hex(flags, 2);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    well_formed.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn gone_on(fields: &[(&'static str, &str)]) -> (String, HeaderMap) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let present = Present::of(&headers);
        let trace_id = go_on(&mut headers, present);
        assert_eq!(headers.get_all(TRACE_PARENT).iter().count(), 1);
        (trace_id, headers)
    }

    #[track_caller]
    fn kept(parent: &str, flags: &str) {
        let (trace_id, headers) = gone_on(&[
            ("traceparent", parent),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]);
        assert_eq!(trace_id, TRACE, "{parent}");
        let sent = headers[TRACE_PARENT].to_str().expect("text");
        let parts: Vec<&str> = sent.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, flags));
        assert_eq!(parts[2].len(), 16);
        assert_ne!(parts[2], SPAN, "the parent is the gateway");
        let states: Vec<_> = headers.get_all(TRACE_STATE).iter().collect();
        assert_eq!(states, ["a=1", "b=2"]);
    }

    #[test]
    fn a_trace_is_gone_on_with() {
        kept(&format!("00-{TRACE}-{SPAN}-01"), "01");
        kept(&format!("00-{TRACE}-{SPAN}-00"), "00");
        kept(&format!("00-{TRACE}-{SPAN}-ff"), "01");
        kept(&format!("cc-{TRACE}-{SPAN}-01-what-comes"), "01");
    }

    #[track_caller]
    fn begun_anew(fields: &[(&'static str, &str)]) {
        let with_state: Vec<_> = fields
            .iter()
            .copied()
            .chain([("tracestate", "a=1")])
            .collect();
        let (trace_id, headers) = gone_on(&with_state);
        assert_eq!(trace_id.len(), 32);
        assert_ne!(trace_id, TRACE);
        let sent = headers[TRACE_PARENT].to_str().expect("text");
        assert_eq!(parse(sent), Some((&*trace_id, 0)));
        assert!(!headers.contains_key(TRACE_STATE));
    }

    #[test]
    fn numbers_are_written_as_by_the_formatter() {
        assert_eq!(hexadecimal::<2>(0x1), "01");
        assert_eq!(hexadecimal::<16>(0xdead_beef), "00000000deadbeef");
        assert_eq!(hexadecimal::<32>(u128::MAX), format!("{:032x}", u128::MAX));
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        begun_anew(&[]);
        for broken in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
        ] {
            begun_anew(&[("traceparent", &broken)]);
        }
        let whole = format!("00-{TRACE}-{SPAN}-01");
        begun_anew(&[("traceparent", &whole), ("traceparent", &whole)]);
    }
}
