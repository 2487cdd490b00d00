//! What is read of a request before it is routed: whether it can be trusted.
//!
//! hyper's server refuses what breaks HTTP's framing; it accepts what a gateway must not pass on (RFC 9112, 3.2 and 6.1):
//! a Host that is missing, repeated or no host, and transfer codings that not every recipient understands.

use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};

use crate::fields::{Present, members};
use crate::hop::Origin;
use crate::metrics::RouteLimit;

const DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline-ms");

/// Why a request is answered before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("CONNECT is not supported")]
    Connect,
    #[error("the request has no Host")]
    NoHost,
    #[error("the request has more than one Host")]
    RepeatedHost,
    #[error("the Host is not a host name or address with an optional port")]
    InvalidHost,
    #[error("the Host and the request target name different hosts")]
    TwoHosts,
    #[error("the request target has another scheme than http or https")]
    Scheme,
    #[error("the request target is for https, the connection is not")]
    Insecure,
    #[error("the target `*` is for OPTIONS only")]
    Asterisk,
    #[error("a TRACE has no content")]
    TraceContent,
    #[error("Max-Forwards is no number, or more than one")]
    MaxForwards,
    #[error("no expectation but `100-continue` is met")]
    Expectation,
    #[error("the request has been here before, by its Via")]
    Loop,
    #[error("`chunked` stands twice in Transfer-Encoding")]
    ChunkedTwice,
    #[error("no transfer coding but `chunked` is supported")]
    TransferCoding,
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    #[error("the request has too many fields")]
    TooManyFields,
    #[error("the request target is too long")]
    UriTooLong,
    #[error("no route matches this path")]
    Unmatched,
    #[error("the request's content is larger than {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: u64 },
    #[error("too many requests in flight on this route")]
    InFlight,
    #[error("too many requests wait for an answer on this route")]
    Pending,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            // No method of ours (RFC 9110, 9.3.6): a tunnel to wherever the client says is what a gateway is not.
            Self::Connect | Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Insecure => StatusCode::MISDIRECTED_REQUEST,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            // The fault of a configuration, not of the client: 508 tells whoever looks for it, where 400 would not.
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::NoHost
            | Self::RepeatedHost
            | Self::InvalidHost
            | Self::TwoHosts
            | Self::Scheme
            | Self::Asterisk
            | Self::TraceContent
            | Self::MaxForwards
            | Self::ChunkedTwice
            | Self::DotSegment => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Unmatched => StatusCode::NOT_FOUND,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InFlight | Self::Pending => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The limit that it tells of, if it is one.
    pub(crate) fn limit(self) -> Option<RouteLimit> {
        match self {
            Self::UriTooLong => Some(RouteLimit::Uri),
            Self::TooManyFields => Some(RouteLimit::RequestHead),
            Self::BodyTooLarge { .. } => Some(RouteLimit::RequestBody),
            Self::InFlight => Some(RouteLimit::InFlight),
            Self::Pending => Some(RouteLimit::Pending),
            _ => None,
        }
    }
}

/// Refuses what must not be passed on; afterwards Host is the one that the request means (RFC 9112, 3.2.2).
pub(crate) fn check<B>(
    request: &mut Request<B>,
    present: Present,
    origin: &Origin,
) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    if present.has(Present::TRANSFER_ENCODING) {
        check_transfer_encoding(request.headers())?;
    }
    let authority = request.uri().authority();
    check_host(request.version(), request.headers(), authority.is_some())?;
    if let Some(authority) = authority {
        match request.uri().scheme_str() {
            Some("http") => {}
            Some("https") if origin.secure || origin.trusted => {}
            // RFC 9110, 7.4.
            Some("https") => return Err(Refusal::Insecure),
            _ => return Err(Refusal::Scheme),
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::InvalidHost)?;
        if !is_host(&host) {
            return Err(Refusal::InvalidHost);
        }
        // In HTTP/1.1 the target wins; in HTTP/2 it was no proxy that said so (RFC 9113, 8.3.1).
        let came = request.headers().get(HOST);
        let differs =
            came.is_some_and(|came| !came.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
        if request.version() == Version::HTTP_2 && differs {
            return Err(Refusal::TwoHosts);
        }
        request.headers_mut().insert(HOST, host);
    }
    if present.has(Present::EXPECT) {
        check_expectations(request.version(), request.headers())?;
    }
    Ok(())
}

/// HTTP/1.0 has no expectations (RFC 9110, 10.1.1).
fn check_expectations(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    if version == Version::HTTP_10 {
        return Ok(());
    }
    let met = members(headers, &EXPECT).all(|member| member.eq_ignore_ascii_case("100-continue"));
    met.then_some(()).ok_or(Refusal::Expectation)
}

fn check_host(version: Version, headers: &HeaderMap, has_authority: bool) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(Refusal::NoHost),
        (None, _) if version == Version::HTTP_2 && !has_authority => Err(Refusal::NoHost),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::RepeatedHost),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(Refusal::InvalidHost),
    }
}

fn is_host(value: &HeaderValue) -> bool {
    if is_plain_name(value.as_bytes()) {
        return true;
    }
    let Ok(text) = value.to_str() else {
        return false;
    };
    text.parse::<Authority>().is_ok_and(|authority| {
        let port = text.get(authority.host().len()..).unwrap_or_default();
        let port_is_one = port.is_empty() || port == ":" || authority.port_u16().is_some();
        !authority.host().is_empty() && !text.contains('@') && port_is_one
    })
}

/// A name or an address of version 4, maybe with a port: nearly every Host, told at a glance.
fn is_plain_name(host: &[u8]) -> bool {
    let colon = host.iter().position(|byte| *byte == b':');
    let (name, port) = host.split_at(colon.unwrap_or(host.len()));
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.iter().all(is_part) && (port.len() <= 1 || is_port(&port[1..]))
}

fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .fold(0, |port, digit| port * 10 + u32::from(digit - b'0'))
            <= 0xffff
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = 0;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let text = value.to_str().map_err(|_| Refusal::TransferCoding)?;
        for coding in text.split(',') {
            if !coding.trim().eq_ignore_ascii_case("chunked") {
                return Err(Refusal::TransferCoding);
            }
            codings += 1;
        }
    }
    if codings > 1 {
        return Err(Refusal::ChunkedTwice);
    }
    Ok(())
}

/// The remaining budget in milliseconds that a peer passed on.
pub(crate) fn deadline_milliseconds(headers: &HeaderMap, present: Present) -> Option<u64> {
    if !present.has(Present::X_REQUEST_DEADLINE) {
        return None;
    }
    headers.get(DEADLINE)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
