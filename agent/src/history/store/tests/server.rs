//! A store on loopback that answers as Prometheus does, from samples in memory, unless a test has it misbehave.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::labels::Labels;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its place among all requests, from 0.
    pub(crate) number: usize,
    /// Without `/api/v1/`.
    pub(crate) path: String,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) head: String,
}

impl Request {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn is_for_samples(&self) -> bool {
        self.path.starts_with("query")
    }

    fn number(&self, name: &str) -> i64 {
        (self.parameter(name).parse::<f64>().expect("a number") * 1000.0).round() as i64
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// From the samples.
    Truth,
    /// From the samples, once four such requests wait for it.
    TruthForFour,
    /// With a status, more header lines and a body.
    Status(u16, Vec<String>, String),
    /// With these bytes, and then an end.
    Bytes(Vec<u8>),
    /// With these bytes again and again.
    Endless(Vec<u8>),
    /// Not at all.
    Silence,
}

/// Who is being served.
struct Desk {
    open: AtomicUsize,
    most: Arc<AtomicUsize>,
    four: Barrier,
}

type Script = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Series with their samples, in milliseconds.
pub(crate) type Stored = Vec<(Labels, Vec<(i64, f64)>)>;

pub(crate) struct Server {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// The most requests that were open at once.
    pub(crate) most: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(
        stored: Stored,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, script): (_, Script) = (Arc::clone(&requests), Arc::new(script));
        let stored = Arc::new(stored);
        let most = Arc::new(AtomicUsize::new(0));
        let desk = Arc::new(Desk {
            open: AtomicUsize::new(0),
            most: Arc::clone(&most),
            four: Barrier::new(4),
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "the server of a test, ended with it"
        )]
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                let (stored, desk) = (Arc::clone(&stored), Arc::clone(&desk));
                tokio::spawn(async move {
                    // The client may leave at any moment; that is its right.
                    let _ = serve(stream, &stored, &script, &seen, &desk).await;
                });
            }
        });
        Self {
            address,
            requests,
            most,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    stored: &Stored,
    script: &Script,
    seen: &Mutex<Vec<Request>>,
    desk: &Desk,
) -> std::io::Result<()> {
    loop {
        let head = read_head(&mut stream).await?;
        let request = {
            let mut seen = seen.lock().expect("no panic");
            let request = parse(seen.len(), head);
            seen.push(request.clone());
            request
        };
        let open = desk.open.fetch_add(1, Ordering::SeqCst) + 1;
        desk.most.fetch_max(open, Ordering::SeqCst);
        let reply = script(&request);
        if matches!(reply, Reply::TruthForFour) {
            desk.four.wait().await;
        }
        // Before the answer goes out: its reader may ask again at once.
        desk.open.fetch_sub(1, Ordering::SeqCst);
        match reply {
            Reply::Truth | Reply::TruthForFour => {
                let body = truth(stored, &request);
                stream.write_all(&response(200, &[], &body)).await?;
            }
            Reply::Status(status, headers, body) => {
                stream.write_all(&response(status, &headers, &body)).await?;
            }
            Reply::Bytes(bytes) => return stream.write_all(&bytes).await,
            Reply::Endless(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Reply::Silence => {
                stream.read_u8().await?;
            }
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn parse(number: usize, head: String) -> Request {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let url = reqwest::Url::parse(&format!("http://h{target}")).expect("a target");
    Request {
        number,
        path: url.path().trim_start_matches("/api/v1/").to_owned(),
        parameters: url.query_pairs().into_owned().collect(),
        head,
    }
}

fn response(status: u16, headers: &[String], body: &str) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status} Some Reason\r\ncontent-length: {}\r\n",
        body.len()
    );
    for header in headers {
        let _ = write!(text, "{header}\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// A successful answer around its `data`.
pub(crate) fn success(data: &str) -> String {
    format!(r#"{{"status":"success","data":{data}}}"#)
}

fn truth(stored: &Stored, request: &Request) -> String {
    match &*request.path {
        "label/__name__/values" => {
            let names: BTreeSet<&str> = stored
                .iter()
                .filter_map(|(labels, _)| labels.get("__name__"))
                .collect();
            success(&serde_json::json!(names).to_string())
        }
        "series" => {
            let selector = request.parameter("match[]");
            let found: Vec<&Labels> = stored
                .iter()
                .map(|(labels, _)| labels)
                .filter(|labels| selects(selector, labels))
                .collect();
            success(&serde_json::json!(found).to_string())
        }
        "query" if request.parameter("query").starts_with("sum by (") => sums(stored, request),
        "query" => {
            let expression = request.parameter("query");
            let to = request.number("time");
            let (selector, span) = expression.rsplit_once('[').expect("a range selector");
            let from = to - millis(span.trim_end_matches(']'));
            matrix(
                stored
                    .iter()
                    .filter(|(labels, _)| selects(selector, labels))
                    .map(|(labels, samples)| {
                        // Prometheus 2 counts a sample at the left end as well.
                        let begin = samples.partition_point(|(at, _)| *at < from);
                        let end = samples.partition_point(|(at, _)| *at <= to);
                        let within = samples.get(begin..end).unwrap_or_default();
                        (labels.clone(), within.to_vec())
                    }),
            )
        }
        "query_range" => range(stored, request),
        other => panic!("nobody should ask for {other}"),
    }
}

fn range(stored: &Stored, request: &Request) -> String {
    let expression = request.parameter("query");
    let (selector, span) = expression
        .split_once("last_over_time(")
        .and_then(|(_, rest)| rest.rsplit_once('['))
        .expect("the last of each step");
    let span = millis(span.trim_end_matches([')', ']']));
    let step = millis(request.parameter("step"));
    let points: Vec<i64> = (request.number("start")..=request.number("end"))
        .step_by(step as usize)
        .collect();
    let last = |samples: &[(i64, f64)], point: i64| {
        let end = samples.partition_point(|(at, _)| *at <= point);
        let within = samples[..end].last().filter(|(at, _)| *at >= point - span);
        within.map(|(_, value)| *value)
    };
    let by: Option<Vec<&str>> = expression
        .strip_prefix("sum by (")
        .and_then(|rest| rest.split_once(')'))
        .map(|(names, _)| names.split(", ").collect());
    let mut rows: Vec<(Labels, Vec<(i64, f64)>)> = Vec::new();
    for (labels, samples) in stored
        .iter()
        .filter(|(labels, _)| selects(selector, labels))
    {
        let labels = by.as_ref().map_or_else(
            || labels.clone(),
            |by| labels.retain(|name| by.contains(&name)),
        );
        let values = points
            .iter()
            .filter_map(|point| Some((*point, last(samples, *point)?)));
        match rows.iter_mut().find(|(own, _)| *own == labels) {
            None => rows.push((labels, values.collect())),
            Some((_, sums)) => {
                for (sum, (_, value)) in sums.iter_mut().zip(values) {
                    sum.1 += value;
                }
            }
        }
    }
    matrix(rows.into_iter())
}

/// Counters as they stand, each family summed by labels; a sample stands for five minutes.
fn sums(stored: &Stored, request: &Request) -> String {
    let expression = request.parameter("query");
    let (by, selector) = expression
        .strip_prefix("sum by (")
        .and_then(|rest| rest.split_once(") ("))
        .expect("labels and a selector");
    let by: Vec<&str> = by.split(", ").collect();
    let to = request.number("time");
    let mut sums: Vec<(Labels, f64)> = Vec::new();
    for (labels, samples) in stored {
        let end = samples.partition_point(|(at, _)| *at <= to);
        let stands = samples[..end].last().filter(|(at, _)| *at > to - 300_000);
        let Some((_, value)) = stands.filter(|_| selects(selector.trim_end_matches(')'), labels))
        else {
            continue;
        };
        let own = labels.retain(|name| by.contains(&name));
        match sums.iter_mut().find(|(labels, _)| *labels == own) {
            None => sums.push((own, *value)),
            Some((_, sum)) => *sum += value,
        }
    }
    let rows: Vec<serde_json::Value> = sums
        .iter()
        .map(|(labels, sum)| {
            serde_json::json!({ "metric": labels, "value": (to as f64 / 1000.0, sum.to_string()) })
        })
        .collect();
    success(&serde_json::json!({ "resultType": "vector", "result": rows }).to_string())
}

fn matrix(rows: impl Iterator<Item = (Labels, Vec<(i64, f64)>)>) -> String {
    let rows: Vec<serde_json::Value> = rows
        .filter(|(_, values)| !values.is_empty())
        .map(|(labels, values)| {
            let values: Vec<_> = values
                .iter()
                .map(|(at, value)| (*at as f64 / 1000.0, value.to_string()))
                .collect();
            serde_json::json!({ "metric": labels, "values": values })
        })
        .collect();
    success(&serde_json::json!({ "resultType": "matrix", "result": rows }).to_string())
}

/// Whether a selector of `name="value"` and `name=~"value|value"` selects a series.
fn selects(selector: &str, labels: &Labels) -> bool {
    selector
        .trim_matches(['{', '}'])
        .split("\",")
        .all(|matcher| {
            let (name, value) = matcher
                .trim_end_matches('"')
                .split_once("=")
                .expect("a matcher");
            let own = labels.get(name).unwrap_or_default();
            match value.strip_prefix("~\"") {
                Some(any) => any.split('|').any(|value| value == own),
                None => value.trim_start_matches('"') == own,
            }
        })
}

/// `90s` or `59999ms`.
fn millis(span: &str) -> i64 {
    match span.strip_suffix("ms") {
        Some(millis) => millis.parse().expect("milliseconds"),
        None => 1000 * span.trim_end_matches('s').parse::<i64>().expect("seconds"),
    }
}
