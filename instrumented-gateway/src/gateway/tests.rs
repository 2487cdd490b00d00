use std::net::SocketAddr;

use http_body_util::BodyExt as _;
use resource_ledger::{OwnerId, Settings};
use tokio_metrics::TaskMonitor;

use super::*;
use crate::clock;
use crate::drill::Drills;
use crate::metrics::Page;
use crate::pool::SocketGate;
use crate::upstream::Upstream;

struct Subject {
    front: Front,
    ledger: Ledger,
    page: Page,
    client: Client,
}

fn subject() -> Subject {
    let config = Config::parse(
        "listen: 127.0.0.1:0\nupstreams: [{ name: a, endpoints: [\"http://127.0.0.1:1\"] }]\nroutes: [{ path: /a, proxy: a }]\n",
    )
    .expect("a configuration");
    let ledger = Ledger::new(Settings::default());
    let recorder = Page::recorder();
    let fan_out_tasks = TaskMonitor::new();
    let gate = SocketGate::default();
    let meters = crate::metrics::UpstreamMeters::detached();
    let front = Front::new(
        &config,
        &Parts {
            ledger: &ledger,
            recorder: &recorder,
            upstreams: &[Upstream::new(&config.upstreams[0], &ledger, meters, &gate)],
            drills: &Drills::new(&ledger),
            fan_out_tasks: &fan_out_tasks,
            logger: None,
        },
    );
    let page = Page::new(
        recorder,
        ledger.clone(),
        fan_out_tasks,
        Vec::new(),
        Vec::new(),
    );
    Subject {
        front,
        ledger,
        page,
        client: Client::new(SocketAddr::from(([127, 0, 0, 1], 1))),
    }
}

impl Subject {
    /// What becomes of a handler, for a request of the only route.
    async fn conclude(
        &self,
        handled: impl Future<Output = Response<GatewayBody>>,
    ) -> Response<Answer> {
        let table = self.front.table();
        let ends = &table.routes[0].ends;
        let owner = Owner::begin(&ends.requests, OwnerId::default());
        let record = Record::new(&ends.meters);
        let response = self.front.supervise(&owner, handled).await;
        exchange::answer(response, owner, record, &self.client)
    }

    #[track_caller]
    fn counts(&self, code: &str, outcome: &str) {
        let text = self.page.render(&SocketGate::default());
        let series = format!(r#"gateway_requests_total{{route="/a",code="{code}"}} 1"#);
        assert!(text.contains(&series), "no {series} in\n{text}");
        let snapshot = self.ledger.snapshot();
        let account = snapshot
            .of("request")
            .find(|account| account.route.as_deref() == Some("/a"))
            .expect("an account");
        assert_eq!((account.open, account.closed_as(outcome)), (0, 1));
    }
}

#[tokio::test]
async fn a_panic_is_500_and_counted() {
    let subject = subject();
    let response = subject
        .conclude(async { panic!("a mistake of ours") })
        .await;
    assert_eq!(response.status(), 500);
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "the gateway made a mistake\n");
    subject.counts("500", "failed");
    let text = subject.page.render(&SocketGate::default());
    assert!(text.contains("gateway_handler_panics_total 1"), "{text}");
}

#[tokio::test]
async fn an_answer_is_counted_when_it_is_dropped() {
    let subject = subject();
    let answer = plain(StatusCode::OK, "x".to_owned(), RequestOutcome::Completed);
    let response = subject.conclude(async { answer }).await;
    assert_eq!(subject.ledger.snapshot().open("request"), 1);
    drop(response);
    subject.counts("200", "completed");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_499() {
    let subject = subject();
    let mut waiting = Box::pin(subject.conclude(std::future::pending()));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(waiting.as_mut().poll(context).is_ready())
    });
    assert!(!polled.await);
    drop(waiting);
    subject.counts("499", "client_gone");
}

#[tokio::test]
async fn a_deadline_is_shortened_by_trusted_peers_alone() {
    let subject = subject();
    let mut table = subject.front.table();
    drop(subject);
    let alone = Arc::get_mut(&mut table).expect("alone");
    alone.trusted_peers = vec!["10.0.0.0/8".parse().expect("a network")];
    let budget = |milliseconds: &str, peer: &str| {
        let request = Request::builder()
            .header("x-request-deadline-ms", milliseconds)
            .body(())
            .expect("a request");
        let origin = table.origin(&Client::new(std::net::SocketAddr::new(
            peer.parse().expect("an address"),
            1,
        )));
        let (fields, present) = (request.headers(), Present::of(request.headers()));
        let deadline = table.routes[0].deadline(fields, present, &origin);
        deadline
            .saturating_duration_since(clock::now())
            .as_secs_f64()
            .round()
    };
    assert_eq!(budget("2000", "10.1.1.1"), 2.0);
    assert_eq!(budget("2000", "11.1.1.1"), 60.0);
    assert_eq!(budget("90000", "10.1.1.1"), 60.0);
    assert_eq!(budget("soon", "10.1.1.1"), 60.0);
}
