//! The addresses of the interface, and what each of them answers.

use axum::body::HttpBody as _;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, response::Html};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use web_config::Protection;

use crate::agent::{Reader, Reloader, Seen};
use crate::alert::Alert;
use crate::incident::{Incident, IncidentId};
use crate::pair;
use crate::plot::{self, Size};
use crate::telemetry;
use crate::web::filter::{Filter, address};
use crate::web::shell::{PAGE_POLICY, PICTURE_POLICY, Place, STYLE, STYLE_PATH, Shell};
use crate::web::view::{LeakView, Overview, most_urgent_first};
use crate::web::{api, leak, reload, suspects, targets, words};

/// After how many seconds a page reloads itself.
const REFRESH_SECONDS: u32 = 15;
/// A droplet, drawn by hand.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 1C5 5.5 3 8 3 10.5a5 5 0 0 0 10 0C13 8 11 5.500 8 1z" fill="#1F6FD6"/></svg>"##;

/// The whole interface, for who may come in.
pub(crate) fn router(reader: Reader, reloader: Reloader, protection: &Protection) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/targets", get(target_list))
        .route("/leaks/{id}", get(incident))
        .route("/api/v1/leaks", get(leaks))
        .route("/api/v1/leaks/{id}", get(one_leak))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/targets", get(api_targets))
        .route(pair::PATH, get(pair_report))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(|| async { "The agent is up.\n" }))
        .route("/-/ready", get(ready))
        .route(
            STYLE_PATH,
            get(|| async { picture_or_style("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/icon.svg",
            get(|| async { picture_or_style("image/svg+xml", ICON) }),
        )
        .with_state(reader)
        .merge(reload::router(reloader))
        .fallback(nowhere)
        .layer(from_fn_with_state(protection.clone(), guard))
}

/// Lets through who may come in, and says in every answer to a browser, unless it has said so itself: load nothing,
/// guess nothing, keep nothing, tell nobody.
async fn guard(State(protection): State<Protection>, request: Request, next: Next) -> Response {
    let mut response = match protection.authorize(request.headers()).await {
        Err(unauthorized) => {
            let challenge = [unauthorized.challenge()];
            (
                unauthorized.status(),
                challenge,
                format!("{unauthorized}\n"),
            )
                .into_response()
        }
        // A form on somebody's page is sent with the reader's own password.
        Ok(()) if !request.method().is_safe() && request.headers().contains_key(header::ORIGIN) => {
            (
                StatusCode::FORBIDDEN,
                "A web page cannot change anything here.\n",
            )
                .into_response()
        }
        Ok(()) if !request.body().is_end_stream() => (
            StatusCode::PAYLOAD_TOO_LARGE,
            [(header::CONNECTION, "close")],
            "A request has no body here.\n",
        )
            .into_response(),
        Ok(()) => next.run(request).await,
    };
    let defaults: [(HeaderName, &str); 5] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "deny"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in defaults {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    protection.dress(response.headers_mut());
    response
}

/// What a reader may say in a query; a field that is empty says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    /// `off`: the page does not reload itself.
    refresh: String,
    /// `narrow` or `low`: the picture for a phone, or for a list.
    size: String,
    /// The number of a page of a list; the first where it is no number.
    page: String,
    workload: String,
    signal: String,
    cause: String,
    state: String,
    job: String,
    health: String,
}

impl Asked {
    fn reloads(&self) -> bool {
        self.refresh != "off"
    }

    fn page(&self) -> usize {
        self.page.parse().unwrap_or(1)
    }

    fn size(&self) -> Size {
        match &*self.size {
            "narrow" => Size::NARROW,
            "low" => Size {
                height: 240,
                ..Size::WIDE
            },
            _ => Size::WIDE,
        }
    }
}

/// A page in its shell, with the policy of pages.
fn dressed(shell: &Shell<'_>, content: Markup) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    (policy, Html(shell.wrap(content).into_string())).into_response()
}

async fn front(State(reader): State<Reader>, Query(asked): Query<Asked>) -> Response {
    let Ok(overview) = reader.look(Overview::of).await else {
        return busy();
    };
    let wanted = suspects::Wanted {
        page: asked.page(),
        reloads: asked.reloads(),
        filter: Filter {
            workload: asked.workload,
            signal: asked.signal,
            cause: asked.cause,
            state: asked.state,
        },
    };
    let shell = Shell {
        root: "",
        place: Place::Suspects,
        title: &suspects::title(&overview),
        now: overview.now.seconds(),
        refresh_seconds: wanted.reloads.then_some(REFRESH_SECONDS),
        toggle: &address(&wanted.filter.query(), wanted.page, !wanted.reloads),
    };
    dressed(&shell, suspects::page(&overview, &wanted))
}

async fn target_list(State(reader): State<Reader>, Query(asked): Query<Asked>) -> Response {
    let Ok(overview) = reader.look(Overview::of).await else {
        return busy();
    };
    let wanted = targets::Wanted {
        page: asked.page(),
        reloads: asked.reloads(),
        job: asked.job,
        health: asked.health,
    };
    let shell = Shell {
        root: "",
        place: Place::Targets,
        title: "targets \u{b7} Leakwatch",
        now: overview.now.seconds(),
        refresh_seconds: wanted.reloads.then_some(REFRESH_SECONDS),
        toggle: &address(&wanted.query(), wanted.page, !wanted.reloads),
    };
    dressed(&shell, targets::page(&overview, &wanted))
}

/// One incident: its page, or its picture where the address ends in `.svg`.
async fn incident(
    State(reader): State<Reader>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let (id, is_picture) = name
        .strip_suffix(".svg")
        .map_or((&*name, false), |id| (id, true));
    let view = match find(&reader, id).await {
        Ok(Some((view, _))) => view,
        Ok(None) => {
            return missing(
                "../",
                "There is no such incident. One that is over is kept for 30 days.",
            );
        }
        Err(busy) => return busy,
    };
    if !is_picture {
        let title = format!("{} \u{b7} Leakwatch", words::subject(&view.incident));
        let shell = Shell {
            root: "../",
            place: Place::Other,
            title: &title,
            now: view.now,
            refresh_seconds: asked.reloads().then_some(REFRESH_SECONDS),
            toggle: &address("", 1, !asked.reloads()),
        };
        return dressed(&shell, leak::page(&view));
    }
    match plot::svg(&view.plot(), asked.size()) {
        Ok(svg) => {
            let headers = [
                (header::CONTENT_TYPE, "image/svg+xml"),
                (header::CONTENT_SECURITY_POLICY, PICTURE_POLICY),
            ];
            (headers, svg).into_response()
        }
        Err(error) => {
            tracing::error!(%error, incident = id, "a plot cannot be drawn");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The plot cannot be drawn; the log says why.\n",
            )
                .into_response()
        }
    }
}

/// The view of an incident and the address of its page, by the text that somebody gave for its id.
async fn find(reader: &Reader, id: &str) -> Result<Option<(LeakView, String)>, Response> {
    let Some(id) = IncidentId::parse(id) else {
        return Ok(None);
    };
    reader
        .look(move |seen| LeakView::of(seen, &id))
        .await
        .map_err(|_| busy())
}

/// Which leaks are wanted.
#[derive(Debug, Default, Deserialize)]
struct Chosen {
    /// `living` or `ended`; both where absent.
    state: Option<String>,
}

async fn leaks(State(reader): State<Reader>, Query(chosen): Query<Chosen>) -> Response {
    let wanted = match chosen.state.as_deref() {
        None => None,
        Some("living") => Some(true),
        Some("ended") => Some(false),
        Some(_) => {
            return failure(
                StatusCode::BAD_REQUEST,
                "bad_data",
                "`state` is `living` or `ended`",
            );
        }
    };
    let look = move |seen: &Seen<'_>| -> Vec<(Incident, String, String)> {
        let chosen = seen
            .engine
            .incidents()
            .filter(|own| wanted.is_none_or(|living| own.is_living() == living));
        chosen
            .map(|own| {
                (
                    own.clone(),
                    seen.engine.first_action_of(own),
                    seen.engine.page_of(own),
                )
            })
            .collect()
    };
    let Ok(mut found) = reader.look(look).await else {
        return busy();
    };
    found.sort_by(|(left, ..), (right, ..)| {
        let living = right.is_living().cmp(&left.is_living());
        living.then_with(|| most_urgent_first(left, right))
    });
    let list: Vec<_> = found
        .iter()
        .map(|(own, first_action, url)| api::leak(own, first_action, url))
        .collect();
    Json(api::success(json!({ "leaks": list }))).into_response()
}

async fn one_leak(State(reader): State<Reader>, Path(id): Path<String>) -> Response {
    match find(&reader, &id).await {
        Ok(Some((view, url))) => Json(api::success(api::whole_leak(&view, &url))).into_response(),
        Ok(None) => failure(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such incident",
        ),
        Err(busy) => busy,
    }
}

async fn alerts(State(reader): State<Reader>) -> Response {
    let look = |seen: &Seen<'_>| -> Vec<(Alert, Option<f64>)> {
        let value = |alert: &Alert| {
            seen.engine
                .incident(&alert.incident)
                .map(|own| own.evidence.value)
        };
        seen.engine
            .alerts()
            .map(|alert| (alert.clone(), value(alert)))
            .collect()
    };
    match reader.look(look).await {
        Ok(found) => Json(api::success(api::alerts(&found))).into_response(),
        Err(_) => busy(),
    }
}

async fn api_targets(State(reader): State<Reader>) -> Response {
    let look = |seen: &Seen<'_>| (Overview::of(seen), std::sync::Arc::clone(&seen.roll));
    match reader.look(look).await {
        Ok((overview, roll)) => Json(api::success(api::targets(
            &overview.targets,
            &roll,
            &overview.sources,
        )))
        .into_response(),
        Err(_) => busy(),
    }
}

async fn metrics(State(reader): State<Reader>) -> Response {
    match reader.look(telemetry::exposition).await {
        Ok(text) => ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(_) => busy(),
    }
}

/// What the other member of a pair asks for.
async fn pair_report(State(reader): State<Reader>) -> Response {
    let look = |seen: &Seen<'_>| {
        let is_paired = !seen.config.pair.peers.is_empty();
        is_paired.then(|| {
            let asker = seen.asker;
            seen.engine.report(asker.run, asker.shard.clone(), seen.now)
        })
    };
    match reader.look(look).await {
        Ok(Some(report)) => Json(json!({ "status": "success", "data": report })).into_response(),
        Ok(None) => failure(
            StatusCode::NOT_FOUND,
            "not_found",
            "this agent has no `pair` in its configuration",
        ),
        Err(_) => busy(),
    }
}

/// Ready once the loop answers: then it has read its state and judges.
async fn ready(State(reader): State<Reader>) -> Response {
    match reader.look(|_| ()).await {
        Ok(()) => "The agent is ready.\n".into_response(),
        Err(_) => busy(),
    }
}

async fn nowhere(address: Uri) -> Response {
    if address.path().starts_with("/api/") {
        return failure(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this address",
        );
    }
    missing("/", "There is nothing at this address.")
}

fn missing(root: &'static str, why: &str) -> Response {
    let page = html! { p { (why) } p { a href=(root) { "To the page of suspects" } } };
    (StatusCode::NOT_FOUND, Html(page.into_string())).into_response()
}

fn busy() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "5")],
        "The agent is busy or ending.\n",
    )
        .into_response()
}

fn failure(status: StatusCode, kind: &str, error: &str) -> Response {
    (status, Json(api::failure(kind, error))).into_response()
}

fn picture_or_style(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "max-age=300"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests;
