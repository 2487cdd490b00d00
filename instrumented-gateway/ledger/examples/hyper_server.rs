//! A bare hyper server that counts its requests and connections: `cargo run -p resource-ledger --example hyper_server`,
//! then `curl 127.0.0.1:8080/` and `curl 127.0.0.1:8080/metrics`.
//!
//! Three lines count every request (each marked `// counts`); the connections' tasks are counted by being spawned
//! through the ledger, and end with the server.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use resource_ledger::{ConnectionTaskOutcome, CountingLayer, Exporter, Labels, Ledger, TaskSet};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    let ledger = Ledger::default(); // counts
    serve(listener, &ledger).await
}

/// Serves until accepting fails.
async fn serve(listener: TcpListener, ledger: &Ledger) -> io::Result<()> {
    let requests = CountingLayer::new(ledger); // counts
    let metrics = Arc::new(Metrics::new(ledger));
    let answer = service_fn(move |request: Request<Incoming>| {
        let metrics = Arc::clone(&metrics);
        async move {
            let text = match request.uri().path() {
                "/metrics" => metrics.render(),
                _ => "hello\n".to_owned(),
            };
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
        }
    });
    let service = ServiceBuilder::new().layer(requests).service(answer); // counts

    let tasks = ledger.account::<ConnectionTaskOutcome>(Labels::new());
    let mut connections = TaskSet::new();
    loop {
        // The ended ones are joined on the way, so that the set does not grow.
        while connections.try_join_next().is_some() {}
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(tasks.open(), async move {
            // A client that leaves is no error of the server's.
            let _ = connection.await;
        });
    }
}

/// The exposition text.
struct Metrics {
    recorder: PrometheusRecorder,
    exporter: Exporter,
}

impl Metrics {
    fn new(ledger: &Ledger) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let exporter = Exporter::new(ledger.clone());
        exporter.describe(&recorder);
        Self { recorder, exporter }
    }

    fn render(&self) -> String {
        let render = |_: &_| self.recorder.handle().render();
        self.exporter.render(&self.recorder, render)
    }
}

#[cfg(test)]
mod tests {
    use resource_ledger::ServiceTaskOutcome;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn it_counts_what_it_serves() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let ledger = Ledger::default();
        let entry = ledger.account::<ServiceTaskOutcome>(Labels::new()).open();
        let server = ledger.spawn(entry, {
            let ledger = ledger.clone();
            async move { serve(listener, &ledger).await }
        });
        let get = async |path: &str| {
            let mut client = TcpStream::connect(address).await.expect("the server");
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer");
            answer
        };
        assert!(get("/").await.ends_with("\r\n\r\nhello\n"));
        let metrics = get("/metrics").await;
        let counted = "resource_ledger_closed_total{resource=\"request\"";
        let line = metrics
            .lines()
            .find(|line| line.starts_with(counted) && line.contains("completed"));
        assert!(line.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
        // The scrape is a request of the server itself.
        let open = "resource_ledger_open{resource=\"request\"";
        let line = metrics.lines().find(|line| line.starts_with(open));
        assert!(line.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
        server.abort();
        let _ = server.join().await;
        assert_eq!(ledger.oldest(&Default::default(), 10).total, 0);
    }
}
