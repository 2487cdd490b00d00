//! Who a request is: the id by which logs, listings, upstreams and the client name it, and its trace.

use http::{HeaderMap, HeaderName, HeaderValue};
use resource_ledger::OwnerId;

use super::trace;
use crate::fields::Present;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;

/// The request's id and its trace. An id that came is kept where the peer is trusted, since others could forge one to hide
/// among another's log lines; a trace goes on whoever sent it. The fields are set to both, for upstreams.
pub(super) fn identify(
    headers: &mut HeaderMap,
    present: Present,
    peer_is_trusted: bool,
) -> OwnerId {
    let may_keep = peer_is_trusted && present.has(Present::X_REQUEST_ID);
    let came = may_keep.then(|| came(headers)).flatten();
    let request_id = match came {
        Some(id) => id.to_owned(),
        None => {
            let id = trace::hexadecimal::<32>(fastrand::u128(..));
            let value = HeaderValue::from_str(&id).expect("hexadecimal digits are a field value");
            headers.insert(REQUEST_ID, value);
            id
        }
    };
    OwnerId {
        request_id,
        trace_id: Some(trace::go_on(headers, present)),
    }
}

/// Letters, digits and the marks of the usual id schemes; short enough to be repeated in logs and answers.
fn came(headers: &HeaderMap) -> Option<&str> {
    let mut ids = headers.get_all(REQUEST_ID).iter();
    match (ids.next(), ids.next()) {
        (Some(id), None) => id.to_str().ok().filter(|id| is_request_id(id)),
        _ => None,
    }
}

fn is_request_id(id: &str) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&b))
}

/// Puts the id on an answer that has none, so that a client can name the request.
pub(super) fn echo_id(id: &str, headers: &mut HeaderMap) {
    if !headers.contains_key(REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(id)
    {
        headers.insert(REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(ids: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(REQUEST_ID, HeaderValue::from_static(id));
        }
        headers
    }

    fn identified(headers: &mut HeaderMap, peer_is_trusted: bool) -> OwnerId {
        let present = Present::of(headers);
        identify(headers, present, peer_is_trusted)
    }

    #[track_caller]
    fn made(mut headers: HeaderMap, peer_is_trusted: bool) {
        let id = identified(&mut headers, peer_is_trusted).request_id;
        assert_eq!(id.len(), 32, "{id}");
        let values: Vec<_> = headers.get_all(REQUEST_ID).iter().collect();
        assert_eq!(values, [id.as_str()]);
    }

    #[test]
    fn a_request_id_is_kept_from_trusted_peers_or_made() {
        let mut kept = headers(&["0af7-6:9"]);
        assert_eq!(identified(&mut kept, true).request_id, "0af7-6:9");
        assert_eq!(kept[REQUEST_ID], "0af7-6:9");
        made(headers(&["0af7-6:9"]), false);
        for unusable in [&[][..], &[""], &["a b"], &["a\"b"], &["a", "b"]] {
            made(headers(unusable), true);
        }
    }
}
