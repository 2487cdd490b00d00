//! Requests that the gateway answers as their final recipient, although it is only on their way.
//!
//! `OPTIONS *` asks about the server itself (RFC 9110, 9.3.7), and OPTIONS and TRACE count down `Max-Forwards` and are
//! answered where it has run out (7.6.2). A TRACE is answered with what came, less what is nobody else's business (9.3.8).

use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, MAX_FORWARDS, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use resource_ledger::RequestOutcome;

use super::request::Refusal;
use crate::body::GatewayBody;
use crate::fields::members;

/// What a TRACE does not repeat.
const CONFIDENTIAL: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE");

/// The gateway's own answer, where the request goes no further; else it is counted on its way.
pub(super) fn answer<B: Body>(
    request: &mut Request<B>,
) -> Result<Option<Response<GatewayBody>>, Refusal> {
    let is_options = request.method() == Method::OPTIONS;
    if request.uri().path() == "*" {
        return if is_options {
            Ok(Some(options()))
        } else {
            Err(Refusal::Asterisk)
        };
    }
    let is_trace = request.method() == Method::TRACE;
    if is_trace && !request.body().is_end_stream() {
        return Err(Refusal::TraceContent);
    }
    if !is_options && !is_trace {
        return Ok(None);
    }
    match forwards_left(request.headers())? {
        None => Ok(None),
        Some(0) if is_trace => Ok(Some(trace(request))),
        Some(0) => Ok(Some(options())),
        Some(left) => {
            let left = HeaderValue::from(left - 1);
            request.headers_mut().insert(MAX_FORWARDS, left);
            Ok(None)
        }
    }
}

/// How often a request may still be forwarded; more than can be counted is as often as can be.
fn forwards_left(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    if !headers.contains_key(MAX_FORWARDS) {
        return Ok(None);
    }
    let mut values = members(headers, &MAX_FORWARDS);
    match (values.next(), values.next()) {
        (Some(digits), None) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => Err(Refusal::MaxForwards),
    }
}

fn options() -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::empty().ending(RequestOutcome::Completed));
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

fn trace<B>(request: &Request<B>) -> Response<GatewayBody> {
    let version = match request.version() {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    let mut message = format!("TRACE {} {version}\r\n", request.uri()).into_bytes();
    for (name, value) in request.headers() {
        if CONFIDENTIAL.contains(name) {
            continue;
        }
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    let mut response = Response::new(GatewayBody::full(message));
    let kind = HeaderValue::from_static("message/http");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
