//! The same over TLS and HTTP/2, where a connection carries many exchanges and its socket stands behind two protocols.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use web_config::Connection;

use super::{CONFIG, calm_down, happened, storm_over, told};
use crate::support::{
    Certificates, Gateway, Http2Upstream, Kernel, Spawner, TestBody, endless, full,
};

/// Answers as the path says; `close`, `reset`, `garbage` and `half` end the whole connection.
async fn behave(request: Request<Incoming>, broken: CancellationToken) -> Response<TestBody> {
    let path = request.uri().path().rsplit('/').next().unwrap_or_default();
    let mut response = Response::new(match path {
        "big" => full(vec![b'x'; 300_000]),
        "404" => full(vec![b'x'; 5000]),
        "stall" => endless("begun"),
        _ => full("[1]"),
    });
    match path {
        "404" => *response.status_mut() = StatusCode::NOT_FOUND,
        "slow" => tokio::time::sleep(Duration::from_millis(30)).await,
        "hang" => std::future::pending().await,
        "close" | "reset" | "garbage" | "half" | "late-reset" => {
            broken.cancel();
            std::future::pending().await
        }
        "early" => {}
        _ => {
            let _ = request.into_body().collect().await;
        }
    }
    response
}

async fn serve(connection: Connection) {
    let broken = CancellationToken::new();
    let service = service_fn(|request| {
        let behaved = behave(request, broken.clone());
        async move { Ok::<_, std::convert::Infallible>(behaved.await) }
    });
    // What may switch to another protocol comes over HTTP/1.1.
    let is_http1 = connection.protocol() == Some(b"http/1.1");
    let io = TokioIo::new(connection);
    let served = async {
        if is_http1 {
            let _ = http1::Builder::new().serve_connection(io, service).await;
        } else {
            let http2 = http2::Builder::new(Spawner);
            let _ = http2.serve_connection(io, service).await;
        }
    };
    tokio::select! {
        () = served => {}
        () = broken.cancelled() => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_storm_over_shared_connections() {
    let certificates = Certificates::new();
    let one = Http2Upstream::serving(Some(certificates.server(&["h2", "http/1.1"])), serve).await;
    let two = Http2Upstream::serving(None, serve).await;
    let kernel = Kernel::new(&[one.address, two.address]);
    let authority = certificates.folder().join("ca.pem");
    let tls = format!(
        "\"https://{}\"], max_streams: 3, tls: {{ ca_file: {}, server_name: localhost }}",
        one.address,
        authority.display()
    );
    let config = CONFIG.replace("\"{0}\"]", &tls).replace(
        "\"{1}\"]",
        "\"{1}\"], http2: prior_knowledge, max_streams: 4",
    );
    let gateway = Arc::new(Gateway::start(&config, &[one.address, two.address]).await);
    told(storm_over(&gateway, kernel).await, 1);
    calm_down(&gateway).await;
    happened(
        &gateway,
        [
            ("pool_connection", ["error", "idle_timeout", "max_requests"]),
            ("request", ["completed", "client_gone", "timed_out"]),
            ("response_body", ["complete", "abandoned", "failed"]),
            ("fan_out_task", ["completed", "failed", "timed_out"]),
        ],
    );
}
