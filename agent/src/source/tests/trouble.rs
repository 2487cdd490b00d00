//! Stores that misbehave, one by one: what is said of each, and that nothing of it counts as gone, over or new.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::config::Source;
use crate::history::store::tests::server::{Request, success};
use crate::history::store::{Beat, Fault, Store, StoreSettings, Wanted};
use crate::labels::Labels;
use leak_detect::Timestamp;

/// How a store misbehaves, the kind that is counted, and what is said.
type Case = (fn(&Request) -> Reply, &'static str, &'static str);

fn status(status: u16, headers: &[&str], body: &str) -> Reply {
    let headers = headers.iter().map(|line| (*line).to_owned()).collect();
    Reply::Status(status, headers, body.to_owned())
}

const EMPTY: &str = r#"{"resultType":"matrix","result":[]}"#;

/// Those that halve questions come last: halves are asked for a while.
const CASES: [Case; 17] = [
    (
        |_| {
            status(
                400,
                &[],
                r#"{"status":"error","error":"invalid parameter"}"#,
            )
        },
        "status",
        "HTTP status 400: invalid parameter",
    ),
    (|_| status(401, &[], ""), "status", "HTTP status 401"),
    (
        |_| status(404, &[], "<html>"),
        "status",
        "HTTP status 404: <html>",
    ),
    (
        |_| status(429, &["retry-after: 1"], "slowly"),
        "status",
        "HTTP status 429: slowly",
    ),
    (
        |_| status(500, &[], "oops"),
        "status",
        "HTTP status 500: oops",
    ),
    (|_| status(503, &[], ""), "status", "HTTP status 503"),
    (
        |_| Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"status\":".to_vec()),
        "broken_off",
        "the answer broke off after 10 bytes",
    ),
    (
        |_| Reply::Bytes(Vec::new()),
        "connection",
        "the connection broke before the response began",
    ),
    (
        |_| {
            let body =
                success(EMPTY).replace("\"data\"", r#""warnings":["store-2 is down"],"data""#);
            status(200, &[], &body)
        },
        "partial",
        "the answer is partial: store-2 is down",
    ),
    (
        |_| {
            let body = success(EMPTY).replace("\"data\"", r#""isPartial":true,"data""#);
            status(200, &[], &body)
        },
        "partial",
        "the answer is partial",
    ),
    (
        |_| status(206, &[], &success(EMPTY)),
        "partial",
        "the answer is partial: HTTP status 206",
    ),
    (
        |_| status(200, &[], &success(EMPTY)[..40]),
        "unreadable",
        "the answer is not that of Prometheus' HTTP API",
    ),
    (
        |_| status(302, &["location: http://127.0.0.1:1/api/v1/query"], ""),
        "redirect",
        "it redirects to http://127.0.0.1:1/api/v1/query, which is not followed",
    ),
    (
        |_| Reply::Silence,
        "timeout",
        "no whole answer within 1.5 s",
    ),
    (
        |_| status(422, &[], r#"{"status":"error","error":"too many samples"}"#),
        "status",
        "HTTP status 422: too many samples",
    ),
    (
        |_| status(200, &[], r#"{"status":"error","error":"no luck"}"#),
        "refused",
        "the store says: no luck",
    ),
    (
        |_| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n{\"status\":                 ".to_vec()),
        "body_size_limit",
        "the answer is larger than 1048576 bytes",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_store_does_is_said_and_ends_nothing() {
    let world = World::of(&[
        ("a:1", Shape::Leaking { hours: 30.0 }),
        ("b:1", Shape::Healthy),
    ]);
    let place = Arc::new(AtomicUsize::new(usize::MAX));
    let current = Arc::clone(&place);
    let server = Server::start(world.stored(), move |request| {
        let case = CASES.get(current.load(Ordering::SeqCst));
        case.map_or(Reply::Truth, |(reply, ..)| reply(request))
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let more = "    timeout: 1500ms\n    body_size_limit: 1MB\n";
    let watcher = Watcher::of(&server, directory.path(), more).await;
    let before = watcher.firing().await;
    for (number, (_, kind, expected)) in CASES.into_iter().enumerate() {
        let errors = |metrics: &str| -> f64 {
            let wanted = format!("kind=\"{kind}\"}} ");
            let line = metrics
                .lines()
                .find_map(|line| Some(line.split_once(&wanted)?.1));
            line.expect("a counter").parse().expect("a number")
        };
        let counted = errors(&watcher.text("/metrics").await);
        place.store(number, Ordering::SeqCst);
        let down = |data: &Value| {
            let source = &data["sources"][0];
            let error = source["lastError"].as_str().unwrap_or_default();
            (source["health"] == "down" && error.contains(expected)).then_some(())
        };
        watcher.until("/api/v1/targets", expected, down).await;
        let metrics = watcher.text("/metrics").await;
        assert!(errors(&metrics) > counted, "{kind}: {metrics}");
        place.store(usize::MAX, Ordering::SeqCst);
        let up = |data: &Value| (data["sources"][0]["health"] == "up").then_some(());
        watcher
            .until("/api/v1/targets", "a source that is up", up)
            .await;
    }
    assert_eq!(watcher.firing().await["activeAt"], before["activeAt"]);
    let leaks = watcher.data("/api/v1/leaks").await;
    assert_eq!(leaks["leaks"].as_array().map(Vec::len), Some(1), "{leaks}");
    let targets = watcher.data("/api/v1/targets").await;
    assert_eq!(targets["activeTargets"].as_array().map(Vec::len), Some(2));
    watcher.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_up_is_zero_is_listed_and_one_that_is_scraped_counts_once() {
    let world = World::of(&[
        ("a:1", Shape::Healthy),
        ("127.0.0.1:9", Shape::Healthy),
        ("down:1", Shape::Down),
    ]);
    let server = Server::start(world.stored(), |_| Reply::Truth).await;
    let directory = tempfile::tempdir().expect("a directory");
    // Nobody listens there: the agent scrapes it, and fails, and believes itself.
    let more =
        "scrape_configs: [{ job_name: shop, static_configs: [{ targets: [\"127.0.0.1:9\"] }] }]\n";
    let watcher = Watcher::of(&server, directory.path(), more).await;
    let of_all = |data: &Value| {
        let targets = data["activeTargets"].as_array()?.iter();
        let shown = targets.map(|own| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&own["labels"]["instance"]), text(&own["health"]))
        });
        let shown: Vec<(String, String)> = shown.collect();
        (shown.len() == 3 && shown.iter().all(|(_, health)| health != "unknown")).then_some(shown)
    };
    let shown = watcher
        .until("/api/v1/targets", "three targets that are known", of_all)
        .await;
    let expected = [("127.0.0.1:9", "down"), ("a:1", "up"), ("down:1", "down")];
    let expected = expected.map(|(name, health)| (name.to_owned(), health.to_owned()));
    assert_eq!(shown, expected);
    let metrics = watcher.text("/metrics").await;
    let watched = metrics
        .lines()
        .find_map(|line| line.strip_prefix("leak_agent_series_watched "));
    assert_eq!(watched, Some("1"), "the descriptors of one instance");
    watcher.running.shutdown().await;
}

#[tokio::test]
async fn a_question_that_is_too_much_is_halved_and_stays_so() {
    let world = World::of(&[("a:1", Shape::Healthy)]);
    let server = Server::start(world.stored(), |request| {
        // As a store with a limit on what one query may touch.
        if request.parameter("query").matches('|').count() > 3 {
            status(422, &[], r#"{"status":"error","error":"too many"}"#)
        } else {
            Reply::Truth
        }
    })
    .await;
    let mut settings = StoreSettings::of_source(&Source::at(Arc::from(server.url())));
    settings.tenant = Some(Arc::from("team-a"));
    let store = Store::new(&server.url(), settings).expect("a store");
    let wanted = Wanted::of_catalogue(&crate::catalogue::Catalogue::built_in(), []);
    let mut beat = Beat::new(&wanted);
    let names = BTreeSet::from(["instance", "job"]);
    let (from, to) = (world.now.shifted(-60.0), world.now);
    let first = store.increment(&mut beat, from, to, &names).await;
    assert!(first.unknown.is_empty() && first.knows_targets, "{first:?}");
    assert_eq!(first.samples.len(), 4, "{first:?}");
    assert!(
        first.samples.iter().all(|(_, values)| values.len() == 2),
        "{first:?}"
    );
    let total = [
        ("__name__", "http_requests_total"),
        ("instance", "a:1"),
        ("job", "shop"),
    ];
    let total: Labels = total.into_iter().collect();
    assert_eq!(first.sums, [(total, 2e9)], "both codes in one sum");
    let asked = server.requests().len();
    store.increment(&mut beat, from, to, &names).await;
    let again = &server.requests()[asked..];
    assert!(again.len() < asked, "what was refused is not asked again");
    let tenant = |request: &Request| request.head.contains("x-scope-orgid: team-a");
    assert!(server.requests().iter().all(tenant));
}

#[tokio::test]
async fn more_samples_than_the_limit_are_not_taken() {
    let world = World::of(&[("a:1", Shape::Healthy)]);
    let server = Server::start(world.stored(), |_| Reply::Truth).await;
    let settings = StoreSettings {
        answer_samples: 1,
        ..StoreSettings::default()
    };
    let store = Store::new(&server.url(), settings).expect("a store");
    let wanted = [Wanted {
        family: Arc::from("process_open_fds"),
        summed: false,
        only_listed: false,
    }];
    let mut beat = Beat::new(&wanted);
    let (from, to): (Timestamp, Timestamp) = (world.now.shifted(-60.0), world.now);
    let got = store
        .increment(&mut beat, from, to, &BTreeSet::from(["job"]))
        .await;
    assert_eq!(
        got.unknown,
        [("process_open_fds".to_owned(), Fault::TooMany(1))]
    );
}
