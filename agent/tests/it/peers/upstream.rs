//! An upstream in the test's own process that can be made slow or made to hang, and never closes an idle connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Clone)]
pub(crate) struct Upstream {
    address: SocketAddr,
    temper: Arc<Temper>,
}

#[derive(Default)]
struct Temper {
    hangs: AtomicBool,
    delay_millis: AtomicU64,
}

impl Upstream {
    pub(crate) async fn start(name: &'static str) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port on loopback");
        let upstream = Upstream {
            address: listener.local_addr().expect("a bound listener"),
            temper: Arc::new(Temper::default()),
        };
        let temper = upstream.temper.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let temper = temper.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(name, temper.clone(), request));
                    // The gateway may close whenever it likes.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        upstream
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers nothing, or answers again.
    pub(crate) fn hang(&self, hangs: bool) {
        self.temper.hangs.store(hangs, Ordering::SeqCst);
    }

    /// From now on answers after `delay`.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.temper.delay_millis.store(
            u64::try_from(delay.as_millis()).expect("a short delay"),
            Ordering::SeqCst,
        );
    }
}

async fn answer(
    name: &'static str,
    temper: Arc<Temper>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if temper.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    // The delay is the upstream's behaviour, not a wait of the test.
    tokio::time::sleep(Duration::from_millis(
        temper.delay_millis.load(Ordering::SeqCst),
    ))
    .await;
    let body = format!(
        r#"{{"upstream":"{name}","path":"{}","padding":"{}"}}"#,
        request.uri(),
        "x".repeat(600)
    );
    let answer = Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(body));
    Ok(answer.expect("constant fields are valid"))
}
