mod receivers;

use std::collections::VecDeque;

use leak_detect::Timestamp;
use resource_ledger::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::http_client::HttpSettings;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the Alertmanager of a test does with one request.
#[derive(Clone, Debug)]
enum Act {
    Answer(&'static str),
    /// Reads the request and never answers.
    Hang,
    /// Closes without a word.
    Close,
}

const TAKEN: Act = Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");

/// An Alertmanager on a raw socket that follows a script, and then takes everything.
struct Peer {
    address: String,
    /// The request line, the headers and the alerts of each request.
    received: mpsc::Receiver<(String, Vec<Value>)>,
    _task: Task<()>,
}

impl Peer {
    async fn new(script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    fn on(listener: TcpListener, script: &[Act]) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let (sender, received) = mpsc::channel(1000);
        let ledger = Ledger::new(Settings::default());
        let entry = ledger.account::<ServiceTaskOutcome>(Account::new()).open();
        let mut script: VecDeque<Act> = script.to_vec().into();
        let task = ledger.spawn(entry, async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Some(request) = read_request(&mut stream).await {
                    sender.send(request).await.unwrap();
                    match script.pop_front().unwrap_or(TAKEN) {
                        Act::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        Act::Hang => {
                            kept.push(stream);
                            break;
                        }
                        Act::Close => break,
                    }
                }
            }
        });
        Self {
            address,
            received,
            _task: task,
        }
    }

    fn config(&self) -> AlertmanagerSet {
        at(&self.address)
    }

    /// The next request's jobs.
    async fn jobs(&mut self) -> Vec<String> {
        let (_, alerts) = clock::timeout(PATIENCE, self.received.recv())
            .await
            .unwrap()
            .unwrap();
        alerts
            .iter()
            .map(|alert| alert["labels"]["job"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The settings of an Alertmanager at an address.
fn at(address: &str) -> AlertmanagerSet {
    AlertmanagerSet {
        scheme: "http".to_owned(),
        path_prefix: String::new(),
        timeout: Duration::from_millis(300),
        groups: vec![Group::of_addresses([address.to_owned()], Labels::empty())],
        providers: Vec::new(),
        relabelling: Relabelling::default(),
        alert_relabelling: Relabelling::default(),
        http: HttpSettings::default(),
    }
}

fn alerting(alertmanagers: Vec<AlertmanagerSet>) -> Alerting {
    Alerting {
        alertmanagers,
        ..Alerting::default()
    }
}

fn notifier(alertmanagers: Vec<AlertmanagerSet>) -> Notifier {
    Notifier::start(&alerting(alertmanagers), &Ledger::new(Settings::default()))
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<Value>)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap();
            if body.len() >= length {
                return Some((head.to_owned(), serde_json::from_str(body).unwrap()));
            }
        }
        let mut chunk = [0; 65_536];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn alert(job: &str) -> OutgoingAlert {
    OutgoingAlert {
        labels: [("alertname", "ResourceLeak"), ("job", job)]
            .into_iter()
            .collect(),
        annotations: [("summary", "a \"leak\"\nü")].into_iter().collect(),
        starts_at: Timestamp::from_millis(1_800_000_000_123),
        ends_at: Timestamp::from_millis(1_800_000_240_000),
        generator_url: "http://127.0.0.1:9465/leaks/1".to_owned(),
        resolved: false,
    }
}

fn start(peers: &[&Peer]) -> Notifier {
    notifier(peers.iter().map(|peer| peer.config()).collect())
}

/// Waits until a count is reached: it is raised after the answer has been read, a moment after the peer wrote it.
async fn until(notifier: &Notifier, peer: usize, result: &'static str, count: u64) {
    let reached = async {
        while notifier.deliveries()[peer].results[result] < count {
            tokio::task::yield_now().await;
        }
    };
    if clock::timeout(PATIENCE, reached).await.is_err() {
        panic!("never {count} {result}: {:?}", notifier.deliveries());
    }
}

#[tokio::test]
async fn what_goes_over_the_wire_is_alertmanagers_api() {
    let mut peer = Peer::new(&[]).await;
    let notifier = start(&[&peer]);
    notifier.send(&[alert("gateway")]);
    let (head, alerts) = clock::timeout(PATIENCE, peer.received.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(
        head.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"),
        "{head}"
    );
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("content-type: application/json"), "{head}");
    assert!(
        !lower.contains("content-encoding"),
        "Alertmanager 0.25 reads no gzip: {head}"
    );
    assert_eq!(
        alerts,
        [json!({
            "labels": {"alertname": "ResourceLeak", "job": "gateway"},
            "annotations": {"summary": "a \"leak\"\nü"},
            "startsAt": "2027-01-15T08:00:00.123Z",
            "endsAt": "2027-01-15T08:04:00.000Z",
            "generatorURL": "http://127.0.0.1:9465/leaks/1",
        })]
    );
    until(&notifier, 0, "ok", 1).await;
}

#[tokio::test]
async fn every_alertmanager_gets_every_alert_whatever_the_others_do() {
    let mut well = Peer::new(&[]).await;
    let mut hung = Peer::new(&vec![Act::Hang; 1000]).await;
    let mut broken = Peer::new(&[Act::Answer(
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops",
    )])
    .await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = at(&nobody.local_addr().unwrap().to_string());
    drop(nobody);
    let notifier = notifier(vec![well.config(), hung.config(), broken.config(), nowhere]);
    notifier.send(&[alert("a"), alert("b")]);
    assert_eq!(well.jobs().await, ["a", "b"]);
    assert_eq!(hung.jobs().await, ["a", "b"]);
    assert_eq!(broken.jobs().await, ["a", "b"]);
    assert_eq!(broken.jobs().await, ["a", "b"], "tried again");
    until(&notifier, 0, "ok", 2).await;
    until(&notifier, 1, "failed", 2).await;
    until(&notifier, 2, "ok", 2).await;
    until(&notifier, 3, "failed", 4).await;
    assert_eq!(
        notifier.deliveries()[3].queue_length,
        2,
        "kept until somebody is there"
    );
}

#[tokio::test]
async fn one_that_comes_back_is_given_the_newest_message_of_each_alert() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let notifier = notifier(vec![at(&address.to_string())]);
    notifier.send(&[alert("a"), alert("b")]);
    until(&notifier, 0, "failed", 2).await;
    let newer = OutgoingAlert {
        ends_at: Timestamp::from_millis(1_800_000_300_000),
        ..alert("a")
    };
    notifier.send(&[newer]);
    let mut peer = Peer::on(TcpListener::bind(address).await.unwrap(), &[]);
    let (_, alerts) = clock::timeout(PATIENCE, peer.received.recv())
        .await
        .unwrap()
        .unwrap();
    let mut ends: Vec<(&str, &str)> = alerts
        .iter()
        .map(|alert| {
            (
                alert["labels"]["job"].as_str().unwrap(),
                alert["endsAt"].as_str().unwrap(),
            )
        })
        .collect();
    ends.sort_unstable();
    assert_eq!(
        ends,
        [
            ("a", "2027-01-15T08:05:00.000Z"),
            ("b", "2027-01-15T08:04:00.000Z")
        ]
    );
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again_and_the_next_alert_is() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut peer = Peer::new(&[Act::Answer(answer)]).await;
        let notifier = start(&[&peer]);
        notifier.send(&[alert("a"), alert("b")]);
        assert_eq!(peer.jobs().await, ["a", "b"]);
        until(&notifier, 0, "refused", 2).await;
        notifier.send(&[alert("c")]);
        assert_eq!(peer.jobs().await, ["c"]);
        until(&notifier, 0, "ok", 1).await;
        assert_eq!(notifier.deliveries()[0].results["refused"], 2);
    }
}

#[tokio::test]
async fn one_alert_that_cannot_be_read_costs_the_others_nothing() {
    let unreadable = Act::Answer("HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 0\r\n\r\n");
    let mut peer = Peer::new(&[unreadable.clone(), TAKEN, unreadable, TAKEN]).await;
    let notifier = start(&[&peer]);
    notifier.send(&[alert("a"), alert("b"), alert("c")]);
    assert_eq!(peer.jobs().await, ["a", "b", "c"]);
    for job in ["a", "b", "c"] {
        assert_eq!(peer.jobs().await, [job]);
    }
    until(&notifier, 0, "ok", 2).await;
    until(&notifier, 0, "refused", 4).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_its_head_is_an_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"sta",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\nx",
    ] {
        let mut peer = Peer::new(&[Act::Answer(answer), Act::Close]).await;
        let notifier = start(&[&peer]);
        notifier.send(&[alert("a")]);
        assert_eq!(peer.jobs().await, ["a"]);
        until(&notifier, 0, "ok", 1).await;
        assert_eq!(notifier.deliveries()[0].queue_length, 0);
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_or_is_cut_short_is_a_failure_and_is_tried_again() {
    for act in [Act::Hang, Act::Close, Act::Answer("HTTP/1.1 5")] {
        let mut peer = Peer::new(&[act]).await;
        let notifier = start(&[&peer]);
        notifier.send(&[alert("a")]);
        assert_eq!(peer.jobs().await, ["a"]);
        until(&notifier, 0, "failed", 1).await;
        assert_eq!(peer.jobs().await, ["a"]);
        until(&notifier, 0, "ok", 1).await;
    }
}

#[tokio::test]
async fn many_alerts_go_in_batches_and_in_order() {
    let mut peer = Peer::new(&[]).await;
    let notifier = start(&[&peer]);
    let jobs: Vec<String> = (0..150).map(|job| format!("{job:03}")).collect();
    notifier.send(&jobs.iter().map(|job| alert(job)).collect::<Vec<_>>());
    let mut received = Vec::new();
    let mut sizes = Vec::new();
    while received.len() < jobs.len() {
        let batch = peer.jobs().await;
        sizes.push(batch.len());
        received.extend(batch);
    }
    assert_eq!(sizes, [64, 64, 22]);
    assert_eq!(received, jobs);
}

#[tokio::test]
async fn closing_delivers_what_is_queued_and_waits_for_nobody_longer_than_asked() {
    let mut peer = Peer::new(&[]).await;
    let hung = Peer::new(&vec![Act::Hang; 100]).await;
    let notifier = start(&[&peer, &hung]);
    notifier.send(&[alert("a")]);
    clock::timeout(PATIENCE, notifier.close(Duration::from_millis(500)))
        .await
        .unwrap();
    assert_eq!(peer.jobs().await, ["a"]);
}

fn queued(job: &str) -> Queued {
    let message = alert(job);
    Queued {
        alert: message.labels.clone(),
        message,
    }
}

#[test]
fn a_full_queue_drops_the_oldest_and_says_so() {
    let queue = Queue::new(3);
    assert_eq!(queue.push(["a", "b", "c", "a"].map(queued)), 0);
    assert_eq!(queue.push(["d", "e"].map(queued)), 2);
    assert_eq!(queue.len(), 3);
    assert_eq!(
        queue.put_back(vec![queued("a"), queued("c")]),
        Some(1),
        "there is no room for one, and a newer message of the other"
    );
    assert_eq!(queue.len(), 3);
    queue.close();
    assert_eq!(queue.put_back(vec![queued("a")]), None);
}

#[tokio::test]
async fn what_is_too_much_now_is_tried_again_after_the_pause_that_was_asked_for() {
    let busy = Act::Answer(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n",
    );
    let mut peer = Peer::new(&[busy]).await;
    let notifier = start(&[&peer]);
    let since = clock::instant();
    notifier.send(&[alert("a")]);
    assert_eq!(peer.jobs().await, ["a"]);
    until(&notifier, 0, "failed", 1).await;
    assert_eq!(peer.jobs().await, ["a"]);
    assert!(since.elapsed() >= Duration::from_secs(2));
    until(&notifier, 0, "ok", 1).await;
}

#[tokio::test]
async fn a_failure_amid_the_search_for_the_bad_one_loses_none_of_the_others() {
    let unreadable = Act::Answer("HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 0\r\n\r\n");
    let mut peer = Peer::new(&[unreadable, TAKEN, Act::Close]).await;
    let notifier = start(&[&peer]);
    notifier.send(&[alert("a"), alert("b"), alert("c")]);
    assert_eq!(peer.jobs().await, ["a", "b", "c"]);
    assert_eq!(peer.jobs().await, ["a"]);
    assert_eq!(peer.jobs().await, ["b"]);
    assert_eq!(
        peer.jobs().await,
        ["b", "c"],
        "what was not delivered goes on"
    );
    until(&notifier, 0, "ok", 3).await;
}

#[tokio::test]
async fn a_slow_alertmanager_delays_no_other() {
    let slow = Peer::new(&vec![Act::Hang; 100]).await;
    let mut quick = Peer::new(&[]).await;
    let patient = AlertmanagerSet {
        timeout: PATIENCE,
        ..slow.config()
    };
    let notifier = notifier(vec![patient, quick.config()]);
    for round in 0..20 {
        let job = round.to_string();
        notifier.send(&[alert(&job)]);
        assert_eq!(quick.jobs().await, [job]);
    }
    assert_eq!(
        notifier.deliveries()[0].queue_length,
        19,
        "one is under way to the slow one, the newest of each other waits"
    );
}

#[tokio::test]
async fn a_resolved_message_waits_for_an_alertmanager_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let notifier = notifier(vec![at(&address.to_string())]);
    notifier.send(&[alert("a")]);
    until(&notifier, 0, "failed", 1).await;
    let resolved = OutgoingAlert {
        ends_at: Timestamp::from_millis(1_800_000_030_000),
        resolved: true,
        ..alert("a")
    };
    notifier.send(&[resolved]);
    let mut peer = Peer::on(TcpListener::bind(address).await.unwrap(), &[]);
    let (_, alerts) = clock::timeout(PATIENCE, peer.received.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["startsAt"], "2027-01-15T08:00:00.123Z");
    assert_eq!(alerts[0]["endsAt"], "2027-01-15T08:00:30.000Z");
}
