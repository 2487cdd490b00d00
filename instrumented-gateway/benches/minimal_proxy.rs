//! The least that a proxy can be over hyper, to hold the gateway against: `minimal_proxy LISTEN UPSTREAM`.
//!
//! One thread, keep-alive on both sides, bodies streamed, and nothing else: no limit, no time-out, no duty of an
//! intermediary, no count. `/home` asks the upstream for `/a`, `/b` and `/c` and joins the answers to one JSON object.
//! What a gateway costs is the difference to this, built with the same flags and profile.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Sent = Either<Incoming, Empty<Bytes>>;
type Answer = Either<Streamed, Full<Bytes>>;

/// Connections to one upstream.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    host: HeaderValue,
    idle: Arc<Mutex<Vec<client::SendRequest<Sent>>>>,
}

/// An answer's body, whose connection is free again once it has been read.
struct Streamed {
    body: Incoming,
    ended: bool,
    connection: Option<client::SendRequest<Sent>>,
    upstream: Upstream,
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse());
    let (Some(Ok(listen)), Some(Ok(upstream))) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other(
            "minimal_proxy LISTEN UPSTREAM, both as 127.0.0.1:80",
        ));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(listen, Upstream::at(upstream)))
}

async fn serve(listen: SocketAddr, upstream: Upstream) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = upstream.clone();
        let service = service_fn(move |request| {
            let upstream = upstream.clone();
            async move { Ok::<_, Infallible>(upstream.answer(request).await) }
        });
        spawn(async move {
            let _ = server::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Upstream {
    fn at(address: SocketAddr) -> Self {
        let host = HeaderValue::from_str(&address.to_string());
        Self {
            address,
            host: host.expect("digits and dots are a field value"),
            idle: Arc::default(),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let answered = if request.uri().path() == "/home" {
            self.joined()
                .await
                .map(|response| response.map(Either::Right))
        } else {
            let response = self.ask(request.map(Either::Left)).await;
            response.map(|response| response.map(Either::Left))
        };
        answered.unwrap_or_else(|error| {
            let mut response = Response::new(Either::Right(Full::from(error.to_string())));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }

    /// Three answers at once, as one.
    async fn joined(&self) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let get = async |path: &'static str| {
            let mut request = Request::new(Either::Right(Empty::new()));
            *request.method_mut() = Method::GET;
            *request.uri_mut() = Uri::from(PathAndQuery::from_static(path));
            self.ask(request)
                .await?
                .into_body()
                .collect()
                .await
                .map(|body| body.to_bytes())
        };
        let (a, b, c) = tokio::try_join!(get("/a"), get("/b"), get("/c"))?;
        let parts: [&[u8]; 7] = [b"{\"a\":", &a, b",\"b\":", &b, b",\"c\":", &c, b"}"];
        let mut response = Response::new(Full::from(parts.concat()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    async fn ask(&self, mut request: Request<Sent>) -> Result<Response<Streamed>, hyper::Error> {
        request
            .headers_mut()
            .insert(header::HOST, self.host.clone());
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        Ok(response.map(|body| Streamed {
            body,
            ended: false,
            connection: Some(connection),
            upstream: self.clone(),
        }))
    }

    fn idle(&self) -> Option<client::SendRequest<Sent>> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    async fn connection(&self) -> Result<client::SendRequest<Sent>, hyper::Error> {
        while let Some(mut idle) = self.idle() {
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        let stream = TcpStream::connect(self.address).await;
        // A benchmark whose upstream is gone has nothing to measure.
        let stream = stream.unwrap_or_else(|error| panic!("{}: {error}", self.address));
        let _ = stream.set_nodelay(true);
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let ended = self.ended || self.body.is_end_stream();
        if let Some(connection) = self.connection.take().filter(|_| ended) {
            let idle = &self.upstream.idle;
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it counts nothing: that is what it is for"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
