mod faults;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use resource_ledger::{Ledger, Settings};
use server::{Reply, Request, Server, Stored, success};

use super::*;
use crate::catalogue::Catalogue;
use crate::history::Slice;

/// What the store says, what was unknown, and how it ended.
struct Got {
    listing: Arc<Listing>,
    slices: Vec<Slice>,
    unknown: Vec<Unknown>,
    end: Result<(), StoreError>,
}

/// Settings with which no test waits.
fn impatient() -> StoreSettings {
    StoreSettings {
        timeout: Duration::from_secs(10),
        pauses: (Duration::from_millis(1), Duration::from_millis(4)),
        ..StoreSettings::default()
    }
}

fn range(from: i64, to: i64, step: Option<u64>) -> Range {
    Range {
        from: Timestamp::from_millis(from),
        to: Timestamp::from_millis(to),
        step: step.map(Duration::from_secs),
    }
}

async fn try_read(url: &str, range: Range, settings: StoreSettings) -> Result<Got, StoreError> {
    let store = Store::new(url, settings)?;
    let wanted = Wanted::of_catalogue(&Catalogue::built_in(), ["some_extra"]);
    let listing = Arc::new(store.list(&wanted, &range).await?);
    let mut reader = store.read(
        Arc::clone(&listing),
        range,
        &Ledger::new(Settings::default()),
    );
    let mut got = Got {
        listing,
        slices: Vec::new(),
        unknown: Vec::new(),
        end: Ok(()),
    };
    let mut before = None;
    while let Some(stretch) = reader.next().await {
        match stretch {
            Ok(stretch) => {
                assert!(
                    before.is_none_or(|before| before == stretch.from),
                    "stretches touch"
                );
                before = Some(stretch.to);
                got.slices.extend(stretch.slices);
                got.unknown.extend(stretch.unknown);
            }
            Err(error) => got.end = Err(error),
        }
    }
    Ok(got)
}

async fn read(server: &Server, range: Range) -> Got {
    try_read(&server.url(), range, impatient())
        .await
        .expect("a listing")
}

impl Got {
    /// Series in exposition syntax with their samples.
    fn series(&self) -> BTreeMap<String, Vec<(i64, f64)>> {
        let mut series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
        for slice in &self.slices {
            for (index, value) in &slice.samples {
                let own = self.listing.table.get(*index).expect("a known series");
                let name = format!("{}{}", own.name, own.labels);
                series
                    .entry(name)
                    .or_default()
                    .push((slice.at.millis(), *value));
            }
        }
        series
    }
}

fn labels(name: &str, job: &str, instance: &str) -> Labels {
    [("__name__", name), ("job", job), ("instance", instance)]
        .into_iter()
        .collect()
}

/// A sample every 15 s, from 0 to an hour.
fn hour(labels: Labels) -> (Labels, Vec<(i64, f64)>) {
    (
        labels,
        (0..=240)
            .map(|index| (index * 15_000, index as f64))
            .collect(),
    )
}

const HOUR: i64 = 3_600_000;

fn one_service() -> Stored {
    vec![
        (labels("up", "shop", "a:1"), Vec::new()),
        hour(labels("process_open_fds", "shop", "a:1")),
        hour(labels("some_extra", "shop", "a:1")),
        hour(labels("of_no_interest", "shop", "a:1")),
    ]
}

/// Every sample of the service once.
#[track_caller]
fn check_whole(got: &Got) {
    assert_eq!(got.end, Ok(()));
    assert_eq!(got.unknown, []);
    let expected: BTreeMap<String, Vec<(i64, f64)>> = ["process_open_fds", "some_extra"]
        .into_iter()
        .map(|name| {
            (
                format!("{name}{{instance=\"a:1\",job=\"shop\"}}"),
                hour(Labels::empty()).1,
            )
        })
        .collect();
    assert!(got.series() == expected, "{:?}", got.series());
    assert!(got.slices.is_sorted_by_key(|slice| slice.at));
}

#[tokio::test]
async fn every_sample_comes_once_in_order_whatever_the_stretches() {
    let server = Server::start(one_service(), |_| Reply::Truth).await;
    let got = read(&server, range(0, HOUR, None)).await;
    check_whole(&got);
    let asked = server
        .requests()
        .iter()
        .filter(|request| request.is_for_samples())
        .count();
    assert!(asked > 1, "{asked} stretches");
    assert_eq!(
        got.listing.table.len(),
        3,
        "`up` is listed, and what nobody wants is not"
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.head.starts_with("GET /"))
    );
}

#[tokio::test]
async fn with_a_step_each_point_is_what_was_there_within_the_step() {
    let mut stored = one_service();
    // It is scraped for half an hour only.
    stored[1].1.truncate(120);
    for code in ["200", "500"] {
        stored.push(hour(
            labels("http_requests_total", "shop", "a:1").with("code", code),
        ));
    }
    let server = Server::start(stored, |_| Reply::Truth).await;
    let got = read(&server, range(60_000, HOUR, Some(60))).await;
    assert_eq!(got.end, Ok(()));
    let series = got.series();
    let fds = &series[r#"process_open_fds{instance="a:1",job="shop"}"#];
    let expected: Vec<(i64, f64)> = (1..=30)
        .map(|minute| (minute * 60_000, (minute * 4).min(119) as f64))
        .collect();
    assert_eq!(*fds, expected, "and nothing is invented after its end");
    let requests = &series[r#"http_requests_total{instance="a:1",job="shop"}"#];
    assert_eq!(requests.len(), 60);
    assert_eq!(requests[59], (HOUR, 480.0), "both codes in one sum");
}

#[tokio::test]
async fn what_passes_is_asked_again_and_the_store_is_heard() {
    let faults: [fn(&Request) -> Reply; 5] = [
        |_| Reply::Status(503, vec!["retry-after: 0".to_owned()], "busy".to_owned()),
        |_| {
            Reply::Status(
                429,
                vec!["retry-after: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()],
                String::new(),
            )
        },
        |_| Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"status\":".to_vec()),
        |_| Reply::Bytes(Vec::new()),
        |request| {
            let data = if request.is_for_samples() {
                r#"{"resultType":"matrix","result":[]}"#
            } else {
                "[]"
            };
            let body = success(data).replace("\"data\"", "\"isPartial\":true,\"data\"");
            Reply::Status(200, Vec::new(), body)
        },
    ];
    for fault in faults {
        let server = Server::start(one_service(), move |request| {
            let again = request.number % 2 == 0;
            if again { fault(request) } else { Reply::Truth }
        })
        .await;
        check_whole(&read(&server, range(0, HOUR, None)).await);
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_is_asked_for_in_halves() {
    let is_long = |request: &Request| {
        let query = request.parameter("query");
        request.is_for_samples()
            && !["[225s]", "[226s]"]
                .iter()
                .any(|span| query.ends_with(span))
    };
    let replies: [fn() -> Reply; 3] = [
        || {
            let body = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#;
            Reply::Status(422, Vec::new(), body.to_owned())
        },
        || Reply::Status(504, Vec::new(), String::new()),
        || {
            Reply::Endless(
                b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"success\",\"data\":[                    "
                    .to_vec(),
            )
        },
    ];
    for reply in replies {
        let server = Server::start(one_service(), move |request| {
            if is_long(request) {
                reply()
            } else {
                Reply::Truth
            }
        })
        .await;
        let settings = StoreSettings {
            answer_bytes: 20_000,
            ..impatient()
        };
        let got = try_read(&server.url(), range(0, HOUR - 1, None), settings)
            .await
            .expect("a listing");
        let spans: Vec<String> = server
            .requests()
            .iter()
            .map(|request| request.parameter("query").to_owned())
            .collect();
        assert_eq!(got.unknown, [], "{spans:?}");
        assert_eq!(
            got.series().values().map(Vec::len).collect::<Vec<_>>(),
            [240, 240]
        );
    }
}

#[tokio::test]
async fn series_above_the_limit_are_dropped_and_counted() {
    let stored = (0..10)
        .map(|index| hour(labels("process_open_fds", "shop", &index.to_string())))
        .collect();
    let server = Server::start(stored, |_| Reply::Truth).await;
    let settings = StoreSettings {
        series: 4,
        ..impatient()
    };
    let got = try_read(&server.url(), range(0, HOUR, None), settings)
        .await
        .expect("a listing");
    assert_eq!(
        (
            got.listing.table.len(),
            got.listing.dropped,
            got.series().len()
        ),
        (4, 6, 4)
    );
}

#[tokio::test]
async fn at_most_four_questions_are_asked_at_once_and_four_are() {
    let stored: Stored = (0..8)
        .flat_map(|job| {
            (0..501).map(move |index| {
                (
                    labels(
                        "process_open_fds",
                        &format!("job-{job}"),
                        &index.to_string(),
                    ),
                    vec![(1000, 1.0)],
                )
            })
        })
        .collect();
    // Nobody is answered before four have asked: fewer would wait for ever.
    let server = Server::start(stored, |request| {
        if request.is_for_samples() {
            Reply::TruthForFour
        } else {
            Reply::Truth
        }
    })
    .await;
    let got = read(&server, range(0, 60_000, None)).await;
    assert_eq!((got.end, got.slices.len()), (Ok(()), 1));
    assert_eq!(got.slices[0].samples.len(), 8 * 501);
    assert_eq!(server.most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn values_for_a_picture_are_read_as_they_are() {
    let server = Server::start(one_service(), |_| Reply::Truth).await;
    let store = Store::new(&server.url(), impatient()).expect("a store");
    let expression = "last_over_time({__name__=\"process_open_fds\"}[900s])";
    let at = Timestamp::from_millis;
    let values = store
        .values(expression, at(0), at(HOUR), Duration::from_secs(1800))
        .await
        .expect("values");
    let expected = vec![(at(0), 0.0), (at(1_800_000), 120.0), (at(HOUR), 240.0)];
    assert_eq!(
        values,
        [(labels("process_open_fds", "shop", "a:1"), expected)]
    );
}
