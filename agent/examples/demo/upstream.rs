//! A role: an upstream service that answers at once, or hangs when it is told to: `POST /hang`, and `DELETE /hang` to
//! answer again, also what hung.
//!
//! It never ends an idle connection by itself, so that what the gateway keeps is the gateway's doing.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Json;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::child::{self, Parent};

/// What it reports when it is ready.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Its port on loopback.
    pub(crate) port: u16,
}

/// Serves until the parent is gone.
pub(crate) async fn run() -> anyhow::Result<()> {
    // A leak in the gateway is a socket here as well.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let parent = Parent::take()?;
    let router = Router::new()
        .route("/content/{id}", get(article))
        .route("/likes/{id}", get(likes))
        .route("/adverts/{id}", get(advert))
        .route("/hang", post(hang).delete(answer))
        .with_state(watch::Sender::new(false));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    child::report(&Ready {
        port: listener.local_addr()?.port(),
    })?;
    tokio::select! {
        served = axum::serve(listener, router).into_future() => Ok(served?),
        () = parent.ended() => Ok(()),
    }
}

async fn article(
    State(hangs): State<watch::Sender<bool>>,
    Path(id): Path<String>,
) -> Json<serde_json::Value> {
    served(&hangs).await;
    let text = "All the news that fits. ".repeat(80);
    Json(serde_json::json!({ "id": id, "title": "An article", "text": text }))
}

async fn likes(
    State(hangs): State<watch::Sender<bool>>,
    Path(id): Path<String>,
) -> Json<serde_json::Value> {
    served(&hangs).await;
    Json(serde_json::json!({ "of": id, "likes": 42 }))
}

async fn advert(
    State(hangs): State<watch::Sender<bool>>,
    Path(id): Path<String>,
) -> Json<serde_json::Value> {
    served(&hangs).await;
    Json(serde_json::json!({ "beside": id, "advert": "Buy a subscription" }))
}

async fn hang(State(hangs): State<watch::Sender<bool>>) {
    hangs.send_replace(true);
}

async fn answer(State(hangs): State<watch::Sender<bool>>) {
    hangs.send_replace(false);
}

/// The service's own work: a few milliseconds, or as long as it hangs.
async fn served(hangs: &watch::Sender<bool>) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(2..8))).await;
    // The sender lives as long as the process; an error would mean that it ends anyway.
    let _ = hangs.subscribe().wait_for(|hangs| !hangs).await;
}
