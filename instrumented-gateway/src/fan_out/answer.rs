//! The JSON object that answers a fan-out, in the configured order of its calls.

use bytes::BytesMut;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use resource_ledger::RequestOutcome;

use super::call::{CallError, Called};
use crate::body::GatewayBody;
use crate::config::Policy;

const GATEWAY_COMPLETE: HeaderName = HeaderName::from_static("x-gateway-complete");

/// A call's name as it stands in the answer: quoted, escaped, with its colon.
#[derive(Debug)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn new(name: &str) -> Self {
        Self(format!("{}:", serde_json::Value::from(name)))
    }
}

/// The answer to what the calls gave; `None` stands for a call that another's failure cancelled.
pub(super) fn answer(
    policy: Policy,
    keys: &[Key],
    called: Vec<Option<Called>>,
) -> Response<GatewayBody> {
    let complete = called.iter().all(|called| matches!(called, Some(Ok(_))));
    let deadline = called
        .iter()
        .any(|called| matches!(called, Some(Err(CallError::Deadline(_)))));
    if complete || policy == Policy::Partial {
        let mut response = json(
            StatusCode::OK,
            partial(keys, &called),
            RequestOutcome::Completed,
        );
        if policy == Policy::Partial {
            let complete = HeaderValue::from_static(if complete { "true" } else { "false" });
            response.headers_mut().insert(GATEWAY_COMPLETE, complete);
        }
        return response;
    }
    let errors = errors_only(keys, &called);
    if deadline {
        json(
            StatusCode::GATEWAY_TIMEOUT,
            errors,
            RequestOutcome::TimedOut,
        )
    } else {
        json(StatusCode::BAD_GATEWAY, errors, RequestOutcome::Failed)
    }
}

/// What arrived, and the failures beside it.
fn partial(keys: &[Key], called: &[Option<Called>]) -> BytesMut {
    let mut object = Object::new();
    for (key, called) in keys.iter().zip(called) {
        if let Some(Ok(piece)) = called {
            object.member(key, piece);
        }
    }
    if let Some(errors) = errors(keys, called) {
        object.member(&Key::new("errors"), &errors.close());
    }
    object.close()
}

/// No partial data: the failures alone. Calls that were cancelled because of them are not among them.
fn errors_only(keys: &[Key], called: &[Option<Called>]) -> BytesMut {
    let mut object = Object::new();
    let errors = errors(keys, called).unwrap_or_else(Object::new);
    object.member(&Key::new("errors"), &errors.close());
    object.close()
}

fn errors(keys: &[Key], called: &[Option<Called>]) -> Option<Object> {
    let mut errors = None;
    for (key, called) in keys.iter().zip(called) {
        if let Some(Err(error)) = called {
            let reason = serde_json::Value::from(error.to_string()).to_string();
            errors
                .get_or_insert_with(Object::new)
                .member(key, reason.as_bytes());
        }
    }
    errors
}

/// A JSON object under construction.
struct Object(BytesMut);

impl Object {
    fn new() -> Self {
        Self(BytesMut::from(&b"{"[..]))
    }

    fn member(&mut self, key: &Key, value: &[u8]) {
        if self.0.len() > 1 {
            self.0.extend_from_slice(b",");
        }
        self.0.extend_from_slice(key.0.as_bytes());
        self.0.extend_from_slice(value);
    }

    fn close(mut self) -> BytesMut {
        self.0.extend_from_slice(b"}");
        self.0
    }
}

fn json(status: StatusCode, body: BytesMut, outcome: RequestOutcome) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::full(body.freeze()).ending(outcome));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
