//! The webhook that a real Alertmanager notifies: it keeps every notification, as the on-call engineer's telephone would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

#[derive(Clone)]
pub(crate) struct Receiver {
    notifications: Arc<Mutex<Vec<Value>>>,
    address: SocketAddr,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port on loopback");
        let address = listener.local_addr().expect("a bound listener");
        let receiver = Receiver {
            notifications: Arc::default(),
            address,
        };
        let kept = receiver.notifications.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| receive(kept.clone(), request));
                    // Alertmanager may close whenever it likes.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        receiver
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many notifications of each alertname told of a firing alert.
    pub(crate) fn firing(&self) -> BTreeMap<String, usize> {
        self.count("firing")
    }

    /// How many notifications of each alertname told of a resolved alert.
    pub(crate) fn resolved(&self) -> BTreeMap<String, usize> {
        self.count("resolved")
    }

    fn count(&self, status: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for notification in self
            .notifications
            .lock()
            .expect("no panic while held")
            .iter()
        {
            if notification["status"] == status {
                let name = notification["groupLabels"]["alertname"]
                    .as_str()
                    .unwrap_or("?")
                    .to_owned();
                *counts.entry(name).or_default() += 1;
            }
        }
        counts
    }
}

async fn receive(
    kept: Arc<Mutex<Vec<Value>>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    if let Ok(body) = request.into_body().collect().await {
        let value = serde_json::from_slice(&body.to_bytes()).expect("Alertmanager sends JSON");
        kept.lock().expect("no panic while held").push(value);
    }
    Ok(Response::new(Empty::new()))
}
