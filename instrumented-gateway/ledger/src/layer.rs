//! A `tower` layer for servers: one `request` entry for each request, and its owner for whatever works for it.
//!
//! The owner begins when the service is called and ends when the answer's body is dropped, which a server does last. In
//! between it travels in the request's extensions, as an [`OwnerRef`]. Only `tower-layer` and `tower-service` are needed:
//! the same layer stands in an axum router and, by hyper-util's `TowerToHyperService`, under a bare hyper server.
//! It changes nothing that goes over the wire: no field is added, and the body's frames, end and length pass as they are.

mod body;
mod identity;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use http::{Extensions, Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::account::{Account, Labels};
use crate::ledger::Ledger;
use crate::outcome::RequestOutcome;
use crate::owner::{Owner, OwnerRef};
pub use body::OwnedBody;
use identity::Identities;

/// Routes whose accounts the layer keeps at hand; those after are looked up in the ledger, which has a bound of its own.
const ROUTES_KEPT: usize = 1000;

/// Finds the configured path of the route that a request has matched, in what the router left in its extensions.
pub type RouteOf = for<'e> fn(&'e Extensions) -> Option<&'e str>;

/// Counts the requests of a service, and gives each an owner.
///
/// The outcome is `completed` when the answer was sent in full, whatever its status, unless the handler says another: a
/// [`RequestOutcome`] in the response's extensions. It is `client_gone` where the answer was dropped before its end, and
/// `failed` where the service gave an error, its body broke off, or either panicked.
///
/// A request that is upgraded ends with its answer: count the tunnel by an entry of its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use axum::{Extension, Router, extract::MatchedPath, routing::get};
/// use resource_ledger::{CountingLayer, Labels, Ledger, OwnerRef};
///
/// let ledger = Ledger::default();
/// let requests = CountingLayer::new(&ledger)
///     .routed_by(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str));
/// let sessions = ledger.service_account("db_session", Labels::new().upstream("orders"));
/// let orders = move |Extension(owner): Extension<OwnerRef>| async move {
///     let _session = sessions.open_for(Some(&owner), None); // orphaned, should it outlive the request
///     "no orders"
/// };
/// let router: Router = Router::new().route("/orders/{id}", get(orders)).layer(requests);
/// # use {axum::body::Body, tower::ServiceExt};
/// # let request = http::Request::get("/orders/7").body(Body::empty()).unwrap();
/// # let response = router.oneshot(request).await.unwrap();
/// # assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.unwrap(), "no orders");
/// # let snapshot = ledger.snapshot();
/// # let requests = snapshot.of("request").find(|account| account.route.as_deref() == Some("/orders/{id}"));
/// # assert_eq!(requests.unwrap().closed_as("completed"), 1);
/// # }
/// ```
#[derive(Clone)]
pub struct CountingLayer(Arc<Shared>);

struct Shared {
    account: Account<RequestOutcome>,
    location: &'static Location<'static>,
    route_of: Option<RouteOf>,
    routes: RwLock<HashMap<Box<str>, Account<RequestOutcome>>>,
    identities: Identities,
}

/// A service whose requests are counted: what [`CountingLayer`] makes of another.
#[derive(Clone, Debug)]
pub struct CountingService<S> {
    inner: S,
    layer: CountingLayer,
}

pin_project! {
    /// The answer to a counted request, on its way.
    #[derive(Debug)]
    pub struct CountingFuture<F> {
        // Before the request: what the handler holds is released before its owner ends.
        #[pin]
        inner: F,
        request: Option<Working>,
    }
}

/// A request at work. Dropped while its handler or body runs, it has been ended by a panic.
#[derive(Debug)]
struct Working {
    owner: Owner,
    running: bool,
    /// Its answer has no content, whatever the length that it declares (RFC 9110, 9.3.2).
    is_head: bool,
}

impl CountingLayer {
    /// Counts all requests under one account without a route, with the caller's file as its site.
    #[track_caller]
    pub fn new(ledger: &Ledger) -> Self {
        Self::with_account(ledger.account(Labels::new()))
    }

    /// Counts under an account of one's own: the one of a route, where each route has its layer. Listings show the
    /// caller's line.
    #[track_caller]
    pub fn with_account(account: Account<RequestOutcome>) -> Self {
        Self::of(account, Location::caller(), None)
    }

    /// Counts each route by itself. `route_of` reads the *configured* path (axum's `MatchedPath`) and never sees that of
    /// the request, which would be a series for each. What has matched no route stays in the account without one.
    #[must_use]
    pub fn routed_by(self, route_of: RouteOf) -> Self {
        Self::of(self.0.account.clone(), self.0.location, Some(route_of))
    }

    fn of(
        account: Account<RequestOutcome>,
        location: &'static Location<'static>,
        route_of: Option<RouteOf>,
    ) -> Self {
        Self(Arc::new(Shared {
            account,
            location,
            route_of,
            routes: RwLock::default(),
            identities: Identities::new(),
        }))
    }

    /// Begins a request, and leaves its owner in its extensions.
    fn begin<B>(&self, request: &mut Request<B>) -> Working {
        let shared = &*self.0;
        let id = shared.identities.of(request.headers());
        let route = shared
            .route_of
            .and_then(|route_of| route_of(request.extensions()));
        let owner = match route {
            None => Owner::begin_at(shared.location, &shared.account, id),
            Some(route) => Owner::begin_at(shared.location, &shared.account_of(route), id),
        };
        request
            .extensions_mut()
            .insert::<OwnerRef>(owner.reference());
        Working {
            owner,
            running: false,
            is_head: request.method() == Method::HEAD,
        }
    }
}

impl Shared {
    fn account_of(&self, route: &str) -> Account<RequestOutcome> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = known.get(route) {
            return account.clone();
        }
        drop(known);
        let account = self.account.on_route(route);
        let mut known = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < ROUTES_KEPT {
            known.insert(route.into(), account.clone());
        }
        account
    }
}

impl<S> Layer<S> for CountingLayer {
    type Service = CountingService<S>;

    fn layer(&self, inner: S) -> CountingService<S> {
        CountingService {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S, Q, A> Service<Request<Q>> for CountingService<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    A: Body,
{
    type Response = Response<OwnedBody<A>>;
    type Error = S::Error;
    type Future = CountingFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let mut working = self.layer.begin(&mut request);
        let inner = working.run(|| self.inner.call(request));
        CountingFuture {
            inner,
            request: Some(working),
        }
    }
}

impl<F, A, E> Future for CountingFuture<F>
where
    F: Future<Output = Result<Response<A>, E>>,
    A: Body,
{
    type Output = Result<Response<OwnedBody<A>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let working = this
            .request
            .as_mut()
            .expect("a future is not polled after its end");
        let answered = ready!(working.run(|| this.inner.poll(context)));
        let Some(working) = this.request.take() else {
            unreachable!("it was there a line before");
        };
        Poll::Ready(match answered {
            Ok(response) => Ok(working.answered(response)),
            Err(error) => {
                working.owner.will_end(RequestOutcome::Failed);
                Err(error)
            }
        })
    }
}

impl Working {
    /// Runs code that is not ours: should it panic, the request has failed, wherever the panic is caught.
    fn run<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.running = true;
        let value = run();
        self.running = false;
        value
    }

    fn answered<A: Body>(self, response: Response<A>) -> Response<OwnedBody<A>> {
        let status = response.status();
        let no_content = self.is_head
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let announced = response.extensions().get::<RequestOutcome>().copied();
        let outcome = announced.unwrap_or(RequestOutcome::Completed);
        let declared = body::declared_length(response.headers());
        response.map(|body| OwnedBody::new(body, self, outcome, (!no_content).then_some(declared)))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.running {
            self.owner.will_end(RequestOutcome::Failed);
        }
    }
}

impl fmt::Debug for CountingLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CountingLayer")
            .field("account", &self.0.account)
            .field("routed", &self.0.route_of.is_some())
            .finish_non_exhaustive()
    }
}
