//! Answers that hyper can make something of, and another recipient something else.
//!
//! hyper's client refuses what breaks HTTP's framing. It takes a transfer coding that it does not know for a part of the
//! content, and a length beside `chunked` for nothing (RFC 9112, 6.1 and 6.3); a gateway that passed those on would frame
//! them anew and say something else than the upstream did. They are refused, and their connection closed.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::fields::members;

/// The first status that is none of HTTP's (RFC 9110, 15).
const PAST_STATUSES: u16 = 600;

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// RFC 9110, 15.
    #[error("its status is none of HTTP's")]
    Status,
    /// RFC 9112, 6.1.
    #[error("it has another transfer coding than one `chunked`")]
    TransferCoding,
    /// RFC 9112, 6.3.
    #[error("it has both a length and a transfer coding")]
    TwoFramings,
    /// RFC 9112, 6.3.
    #[error("its length is no number, or more than one")]
    Length,
}

/// Refuses an ambiguous answer to a `method`; afterwards its length is one number, and there is none where there can be no
/// content of a length.
pub(super) fn settle(
    method: &Method,
    status: StatusCode,
    fields: &mut HeaderMap,
) -> Result<(), Flaw> {
    if status.as_u16() >= PAST_STATUSES {
        return Err(Flaw::Status);
    }
    let without_length = status.is_informational() || status == StatusCode::NO_CONTENT;
    let without_content =
        without_length || status == StatusCode::NOT_MODIFIED || method == Method::HEAD;
    if fields.contains_key(TRANSFER_ENCODING) {
        if !without_content && !is_chunked_once(fields) {
            return Err(Flaw::TransferCoding);
        }
        if !without_content && fields.contains_key(CONTENT_LENGTH) {
            return Err(Flaw::TwoFramings);
        }
        fields.remove(TRANSFER_ENCODING);
        fields.remove(CONTENT_LENGTH);
    }
    if without_length {
        fields.remove(CONTENT_LENGTH);
    }
    one_length(fields)
}

fn is_chunked_once(fields: &HeaderMap) -> bool {
    let mut codings = members(fields, &TRANSFER_ENCODING);
    let first = codings.next();
    first.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) && codings.next().is_none()
}

/// Makes equal repeated lengths one, and refuses different ones.
fn one_length(fields: &mut HeaderMap) -> Result<(), Flaw> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let (Some(first), more) = (lengths.next(), lengths.next().is_some()) else {
        return Ok(());
    };
    if !more && first.as_bytes().iter().all(u8::is_ascii_digit) && !first.is_empty() {
        return Ok(());
    }
    let mut length = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        let text = value.to_str().map_err(|_| Flaw::Length)?;
        for member in text.split(',').map(str::trim) {
            let digits = !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_digit());
            let number = member.parse::<u64>().ok().filter(|_| digits);
            let number = number.ok_or(Flaw::Length)?;
            if *length.get_or_insert(number) != number {
                return Err(Flaw::Length);
            }
        }
    }
    if let Some(length) = length {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of an answer's framing fields, or what is wrong with it.
    #[track_caller]
    fn check(method: Method, status: u16, pairs: &[(&'static str, &'static str)], expected: &str) {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        let said = match settle(&method, status, &mut fields) {
            Err(flaw) => flaw.to_string(),
            Ok(()) => fields
                .iter()
                .map(|(name, value)| format!("{name}: {};", value.to_str().expect("text")))
                .collect(),
        };
        assert_eq!(said, expected, "{method} {status} {pairs:?}");
    }

    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";

    #[test]
    fn one_framing_is_left() {
        check(Method::GET, 200, &[], "");
        check(Method::GET, 200, &[(LENGTH, "5")], "content-length: 5;");
        check(Method::GET, 200, &[(LENGTH, "5, 5")], "content-length: 5;");
        check(
            Method::GET,
            200,
            &[(LENGTH, "5"), (LENGTH, "05")],
            "content-length: 5;",
        );
        check(Method::GET, 200, &[(CODING, "Chunked")], "");
        check(Method::HEAD, 200, &[(LENGTH, "5")], "content-length: 5;");
        check(
            Method::HEAD,
            200,
            &[(LENGTH, "5"), (CODING, "gzip, chunked")],
            "",
        );
        check(Method::GET, 304, &[(LENGTH, "5")], "content-length: 5;");
        check(Method::GET, 204, &[(LENGTH, "5")], "");
        check(Method::GET, 101, &[(LENGTH, "5"), (CODING, "chunked")], "");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let coding = "it has another transfer coding than one `chunked`";
        for value in ["gzip, chunked", "chunked, chunked", "gzip", "identity", ""] {
            check(Method::GET, 200, &[(CODING, value)], coding);
        }
        let both = "it has both a length and a transfer coding";
        check(
            Method::GET,
            200,
            &[(CODING, "chunked"), (LENGTH, "5")],
            both,
        );
        let length = "its length is no number, or more than one";
        for value in [
            "5, 6",
            "+5",
            "-1",
            "",
            "5,",
            "0x5",
            "18446744073709551616,5",
        ] {
            check(Method::HEAD, 200, &[(LENGTH, value)], length);
        }
        check(Method::GET, 600, &[], "its status is none of HTTP's");
    }
}
