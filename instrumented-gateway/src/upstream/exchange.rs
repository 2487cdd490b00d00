//! One request to an upstream, as far as the head of its answer.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, TRANSFER_ENCODING, UPGRADE};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    response, uri,
};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use resource_ledger::{BodyOutcome, ConnectionOutcome, Entry, OwnerRef};
use tokio_util::sync::CancellationToken;

use super::Upstream;
use super::body::{UpstreamBody, Use};
use super::framing;
use super::in_flight::Place;
use super::meter::Meter;
use crate::access_log::Notes;
use crate::body::{Progress, RequestBody};
use crate::clock;
use crate::config::Http2;
use crate::error::{ForwardError, Stage};
use crate::metrics::{Rejection, UpstreamResult};
use crate::pool::{Claimant, Fate, Lease, Pool, Switched, Watched};

/// The remaining budget in whole milliseconds, as it goes on to upstreams.
pub(crate) const REQUEST_DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline-ms");

/// What is asked of an upstream, for whom, and within which bounds.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// In origin form; `Host` and the deadline are set here.
    pub(crate) request: Request<RequestBody>,
    pub(crate) owner: OwnerRef,
    /// For the head of the answer.
    pub(crate) deadline: Instant,
    pub(crate) body: BodyBound,
    /// Whether the bounds are kept; a drill only promises them.
    pub(crate) enforced: bool,
    /// Cuts the client off; `None` where the client waits for more than this exchange.
    pub(crate) cut: Option<CancellationToken>,
    pub(crate) fate: Fate,
    pub(crate) lane: Lane,
}

/// What bounds the body of the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyBound {
    /// The deadline of its head; who reads it keeps it.
    Deadline,
    /// The longest time without progress; kept by cutting.
    Idle(Option<Duration>),
}

/// Where the connection comes from.
#[derive(Debug)]
pub(crate) enum Lane {
    /// The upstream's pools, within all limits.
    Pool,
    /// The same, exempt from the pools' maximum and the in-flight limit: for what a drill leaks.
    Exempt,
    /// A pool of one request's own.
    Private(Pool),
}

/// The head of an answer, and what its body holds until it has been read.
#[derive(Debug)]
pub(crate) struct Reply {
    head: response::Parts,
    body: Incoming,
    bounds: Bounds,
    progress: Arc<Progress>,
    using: Use,
}

#[derive(Debug)]
struct Bounds {
    deadline: Instant,
    body: BodyBound,
    enforced: bool,
    cut: Option<CancellationToken>,
}

/// A connection that switched protocols, with what else the exchange uses until both sides have ended.
#[derive(Debug)]
pub(crate) struct Conduit {
    // The connection first: it is closed, then its place in flight is free.
    pub(crate) connection: Switched,
    _place: Option<Place>,
    _meter: Meter,
}

impl Reply {
    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The version of HTTP that the upstream answered in.
    pub(crate) fn version(&self) -> Version {
        self.head.version
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Takes the connection of an answer that switched protocols.
    ///
    /// # Errors
    /// If hyper does not let it go.
    pub(crate) async fn switch(self) -> Result<(response::Parts, Conduit), ForwardError> {
        let Use {
            lease,
            place,
            mut meter,
        } = self.using;
        meter.will_end(Some(UpstreamResult::Failed));
        let connection = lease.switch().await.ok_or(ForwardError::Switched)?;
        meter.will_end(Some(UpstreamResult::Ok));
        let conduit = Conduit {
            connection,
            _place: place,
            _meter: meter,
        };
        Ok((self.head, conduit))
    }

    /// The answer is none that can be passed on: its connection is closed.
    pub(crate) fn refuse(self) {
        let Use {
            lease, mut meter, ..
        } = self.using;
        meter.will_end(Some(UpstreamResult::Failed));
        lease.close(ConnectionOutcome::Error);
    }

    /// Counts the body under `entry`, whose site is the place that is responsible for reading it.
    pub(crate) fn count(self, entry: Entry<BodyOutcome>) -> Response<UpstreamBody> {
        let Self {
            head,
            body,
            bounds,
            progress,
            using,
        } = self;
        using
            .lease
            .watch(&entry.handle(), &progress, bounds.watched());
        Response::from_parts(head, UpstreamBody::new(body, entry, progress, using))
    }
}

impl Bounds {
    fn watched(self) -> Watched {
        let promised = match self.body {
            BodyBound::Deadline => Some(self.deadline),
            BodyBound::Idle(idle) => idle.map(|idle| clock::now() + idle),
        };
        match self.body {
            BodyBound::Deadline if self.enforced => Watched::Deadline(self.deadline),
            BodyBound::Idle(Some(idle)) if self.enforced => {
                Watched::Progress(idle, self.cut.unwrap_or_default())
            }
            _ => Watched::Unenforced(promised),
        }
    }
}

impl Upstream {
    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn send(&self, exchange: Exchange) -> Result<Reply, ForwardError> {
        let place = match exchange.lane {
            Lane::Exempt => None,
            Lane::Pool | Lane::Private(_) => Some(self.enter()?),
        };
        let mut meter = Meter::start(&self.common.meters);
        let progress = Arc::clone(exchange.request.body().progress());
        let notes = exchange.request.extensions().get::<Notes>().cloned();
        if let Some(notes) = &notes {
            notes.upload(&progress);
        }
        let bounds = Bounds {
            deadline: exchange.deadline,
            body: exchange.body,
            enforced: exchange.enforced,
            cut: exchange.cut.clone(),
        };
        match self.exchange(exchange).await {
            Ok((response, lease)) => {
                progress.mark_answered();
                meter.head_received();
                let (head, body) = response.into_parts();
                let using = Use {
                    lease,
                    place,
                    meter,
                };
                Ok(Reply {
                    head,
                    body,
                    bounds,
                    progress,
                    using,
                })
            }
            Err(error) => {
                // What the client did wrong is not the upstream's failure, whatever the exchange made of it.
                let error = progress.upload_fault().map_or(error, ForwardError::from);
                meter.will_end(error.result());
                if let Some(notes) = &notes {
                    notes.failed(self.name(), &error);
                }
                Err(error)
            }
        }
    }

    fn enter(&self) -> Result<Place, ForwardError> {
        self.in_flight.enter().ok_or_else(|| {
            self.common.meters.rejected(Rejection::InFlight);
            ForwardError::InFlightLimit
        })
    }

    /// What HTTP/1.1's reader refuses by itself.
    fn is_too_large(&self, fields: &HeaderMap) -> bool {
        fields.len() > self.config.max_response_headers
            || head_bytes(fields) > self.config.max_response_header_bytes
    }

    async fn exchange(
        &self,
        mut exchange: Exchange,
    ) -> Result<(Response<Incoming>, Lease), ForwardError> {
        let may_switch = exchange.request.headers().contains_key(UPGRADE);
        let notes = exchange.request.extensions_mut().remove::<Notes>();
        let claimant = Claimant {
            alone: may_switch && self.config.http2 != Http2::PriorKnowledge,
            owner: exchange.owner,
            deadline: exchange.deadline,
            enforced: exchange.enforced,
            exempt: matches!(exchange.lane, Lane::Exempt),
            cut: exchange.cut,
        };
        let mut request = exchange.request;
        let method = request.method().clone();
        let mut again = false;
        loop {
            let (mut lease, host) = self
                .lease(&exchange.lane, &claimant, &exchange.fate, again)
                .await?;
            address(&mut request, &lease, host, claimant.deadline)?;
            if let Some(notes) = &notes {
                notes.attempt(self.name(), again);
            }
            request.extensions_mut().clone_from(&self.interim);
            let (is_reused, is_stream) = (lease.is_reused(), lease.http2_scheme().is_some());
            let may_repeat = (is_reused || is_stream) && !again;
            let spare = may_repeat.then(|| copy(&request)).flatten();
            let sent = within(&claimant, pin!(lease.send(request))).await;
            let failure = match sent {
                Ok(Ok(mut response)) => {
                    let error = match refusal(&method, may_switch, &mut response) {
                        Ok(()) if is_stream && self.is_too_large(response.headers()) => {
                            self.common.meters.response_head_too_large();
                            ForwardError::ResponseHeadTooLarge
                        }
                        Ok(()) => return Ok((response, lease)),
                        Err(error) => error,
                    };
                    lease.close(ConnectionOutcome::Error);
                    return Err(error);
                }
                Ok(Err(failure)) => failure,
                Err(_) => {
                    lease.close(ConnectionOutcome::Error);
                    return Err(ForwardError::TimedOut(Stage::ResponseHead));
                }
            };
            let (error, unsent) = split(failure);
            let stale = closed_by_peer(&error);
            let spare = spare.filter(|request| {
                was_refused(&error) || stale && is_reused && is_idempotent(request.method())
            });
            lease.close(if error.is_user() {
                ConnectionOutcome::ClientGone
            } else if stale {
                ConnectionOutcome::PeerClosed
            } else {
                ConnectionOutcome::Error
            });
            match unsent.or(spare) {
                Some(repeated) if may_repeat => request = repeated,
                _ if error.is_user() => return Err(ForwardError::RequestBody(error)),
                _ if error.is_parse_too_large() => {
                    self.common.meters.response_head_too_large();
                    return Err(ForwardError::ResponseHeadTooLarge);
                }
                _ => return Err(ForwardError::Upstream(error)),
            }
            again = true;
        }
    }
}

/// Refuses an answer that must not be passed on.
fn refusal(
    method: &Method,
    may_switch: bool,
    response: &mut Response<Incoming>,
) -> Result<(), ForwardError> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
        return Err(ForwardError::Switched);
    }
    framing::settle(method, status, response.headers_mut()).map_err(ForwardError::Ambiguous)
}

async fn within<F: Future + Unpin>(
    claimant: &Claimant,
    future: F,
) -> Result<F::Output, clock::Elapsed> {
    if claimant.enforced {
        clock::timeout_at(claimant.deadline, future).await
    } else {
        Ok(future.await)
    }
}

/// What depends on the endpoint, its protocol and the moment of sending.
fn address(
    request: &mut Request<RequestBody>,
    lease: &Lease,
    host: HeaderValue,
    deadline: Instant,
) -> Result<(), ForwardError> {
    let left = deadline.saturating_duration_since(clock::now());
    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let fields = request.headers_mut();
    fields.insert(REQUEST_DEADLINE, HeaderValue::from(left));
    let Some(scheme) = lease.http2_scheme() else {
        fields.insert(HOST, host);
        if request.version() == Version::HTTP_2 {
            // Sent over HTTP/2 before, and refused.
            *request.version_mut() = Version::HTTP_11;
            *request.uri_mut() = target_of(request.uri(), None)?;
        }
        return Ok(());
    };
    // RFC 9113, 8.2.2 and 8.3.1: framing is the protocol's, and `:authority` stands for Host.
    fields.remove(HOST);
    fields.remove(TRANSFER_ENCODING);
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = target_of(request.uri(), Some((scheme, host)))?;
    Ok(())
}

/// The same path and query, in origin form or for an endpoint.
fn target_of(uri: &Uri, endpoint: Option<(uri::Scheme, HeaderValue)>) -> Result<Uri, ForwardError> {
    let mut parts = uri::Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    if let Some((scheme, host)) = endpoint {
        parts.scheme = Some(scheme);
        let authority = uri::Authority::try_from(host.as_bytes());
        parts.authority = Some(authority.map_err(|_| ForwardError::Target)?);
    }
    Uri::from_parts(parts).map_err(|_| ForwardError::Target)
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// The request once more, where it has no content, which is gone once sent.
fn copy(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut copy = Request::new(request.body().spare()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Whether the upstream says that it has not looked at the request: it refused the stream, or went away before it
/// (RFC 9113, 8.7). Any request may be sent again then.
fn was_refused(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(|error| {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused && error.is_reset() || error.is_go_away())
    })
}

/// The size of a head as HTTP/2 counts it: each field with 32 bytes on top (RFC 9113, 6.5.2).
fn head_bytes(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn split(
    mut failure: TrySendError<Request<RequestBody>>,
) -> (hyper::Error, Option<Request<RequestBody>>) {
    let unsent = failure.take_message();
    (failure.into_error(), unsent)
}

/// Whether the connection was closed before an answer began, as an upstream does with one that was idle for too long.
fn closed_by_peer(error: &hyper::Error) -> bool {
    use std::error::Error;
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    let broken = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| {
            matches!(
                source.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
            )
        });
    let broken = broken || http2_error(error).is_some_and(h2::Error::is_io);
    broken || error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}
