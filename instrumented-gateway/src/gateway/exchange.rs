//! The end of a request, whichever way it comes: counted once, with the status and the time it took.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use resource_ledger::{Owner, RequestOutcome};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::identity;
use crate::access_log::Line;
use crate::body::GatewayBody;
use crate::clock;
use crate::error::{ForwardError, client_closed_request};
use crate::metrics::RouteMeters;
use crate::tunnel::Tunnel;
use crate::upstream::Place;

/// Counts its request when it is dropped: with the status that was sent, or as 499 where the client left before that, or
/// before all of the answer was taken.
#[derive(Debug)]
pub(crate) struct Record {
    meters: RouteMeters,
    began: Instant,
    sent: Option<StatusCode>,
    line: Option<Box<Line>>,
    /// Among the requests of its route.
    _place: Option<Place>,
}

impl Record {
    /// A request whose head is there.
    pub(crate) fn new(meters: &RouteMeters) -> Self {
        Self {
            meters: meters.clone(),
            began: clock::now(),
            sent: None,
            line: None,
            _place: None,
        }
    }

    /// The same, written to the access log when it ends.
    pub(crate) fn logged(mut self, line: Option<Box<Line>>) -> Self {
        self.line = line;
        self
    }

    /// The same, with a place that is free again when it ends.
    pub(crate) fn within(mut self, place: Place) -> Self {
        self._place = Some(place);
        self
    }

    /// Why the request did not go well.
    pub(crate) fn reason(&mut self, reason: impl FnOnce() -> String) {
        if let Some(line) = &mut self.line {
            line.reason(reason);
        }
    }

    /// The answer is as good as sent.
    pub(crate) fn sent(mut self, status: StatusCode) {
        self.sent = Some(status);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let status = self.sent.unwrap_or_else(client_closed_request);
        let duration = clock::now().saturating_duration_since(self.began);
        self.meters.ended(status, duration);
        if let Some(line) = &mut self.line {
            if self.sent.is_none() {
                line.reason(|| ForwardError::ClientGone.to_string());
            }
            line.end(status, duration);
        }
    }
}

/// The body of an answer, with the record of its request.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    // In this order: the body ends the owner, then the request is counted.
    body: GatewayBody,
    /// Gone where the request goes on as a tunnel.
    record: Option<Record>,
}

/// A request that goes on as a tunnel once its answer's head has been sent; until then it ends as `client_gone`.
#[derive(Debug)]
pub(crate) struct Engaged {
    // In this order: the tunnel is closed, the owner ends, then the request is counted.
    tunnel: Box<Tunnel>,
    owner: Owner,
    record: Record,
}

impl Engaged {
    /// Runs the tunnel to its end.
    pub(crate) async fn run(self, cut: &CancellationToken) {
        let Self {
            tunnel,
            owner,
            mut record,
        } = self;
        record.sent = Some(StatusCode::SWITCHING_PROTOCOLS);
        let outcome = tunnel.run(cut).await;
        match outcome {
            RequestOutcome::TimedOut => record.reason(|| "the tunnel stood still".to_owned()),
            RequestOutcome::Failed => record.reason(|| "the upstream broke off".to_owned()),
            RequestOutcome::ClientGone => record.reason(|| ForwardError::ClientGone.to_string()),
            _ => {}
        }
        owner.end(outcome);
    }
}

/// Makes an answer of what a handler gave; from here on the server holds the request's owner.
pub(crate) fn answer(
    mut response: Response<GatewayBody>,
    owner: Owner,
    record: Record,
    client: &Client,
) -> Response<Answer> {
    identity::echo_id(&owner.reference().id().request_id, response.headers_mut());
    let status = response.status();
    response.map(|mut body| {
        if let Some(tunnel) = body.take_tunnel() {
            client.limit_stall(tunnel.idle_timeout());
            client.switch_to(Engaged {
                tunnel,
                owner,
                record,
            });
            return Answer {
                status,
                body,
                record: None,
            };
        }
        client.answers(body.progress().cloned());
        let mut answer = Answer {
            status,
            body: body.owned_by(owner),
            record: Some(record),
        };
        // What is all there is taken together with the head.
        if answer.body.progress().is_none() {
            answer.settle();
        }
        answer
    })
}

impl Answer {
    fn settle(&mut self) {
        if let Some(record) = &mut self.record {
            record.sent = Some(self.status);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = ForwardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(line) = self.record.as_mut().and_then(|record| record.line.as_mut()) {
            match &frame {
                Some(Ok(frame)) => line.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(error)) => line.reason(|| error.to_string()),
                None => {}
            }
        }
        let more = matches!(&frame, Some(Ok(frame)) if !frame.is_trailers());
        // An upstream that breaks off is no client that left.
        if !more || self.body.is_end_stream() {
            self.settle();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
