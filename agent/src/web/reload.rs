//! `POST /-/reload`: the configuration is read again, where `web.enable_reload` allows it.
//!
//! As in Prometheus the answer is 200 where the new configuration is in use and 500 with every mistake where it is not;
//! where it is not allowed, 403. Another method is refused, so that no link can do it.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::agent::Reloader;

/// The guard of all pages stands before it.
pub(super) fn router(reloader: Reloader) -> Router {
    Router::new()
        .route("/-/reload", post(reload).put(reload))
        .with_state(reloader)
}

async fn reload(State(reloader): State<Reloader>) -> Response {
    if !reloader.config().web.enable_reload {
        let why = "Reloading over HTTP is not enabled; set web.enable_reload, or send SIGHUP.\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    match reloader.reload().await {
        Ok(reloaded) if reloaded.needs_restart.is_empty() => {
            "The configuration is in use.\n".into_response()
        }
        Ok(reloaded) => format!(
            "The configuration is in use; these keys count only after a restart: {}.\n",
            reloaded.needs_restart.join(", ")
        )
        .into_response(),
        Err(error) => {
            let why = format!("The old configuration stays in use. {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
        }
    }
}
