//! A store that makes its samples up when it is asked: a thousand instances and what each of them exposes.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, Query, State};
use axum::routing::get;
use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Settings, Task};
use tokio::net::TcpListener;

/// Series of one instance beside its ledger's.
const FAMILIES: [&str; 7] = [
    "up",
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "go_goroutines",
    "http_requests_total",
];

/// Series of one instance.
const SERIES_OF_AN_INSTANCE: u64 = 20;

/// Instances of one job.
const INSTANCES_OF_A_JOB: u64 = 10;

/// The store, which ends when it is dropped.
pub(crate) struct Store {
    url: String,
    desk: Arc<Desk>,
    _serving: Task<()>,
}

struct Desk {
    series: Vec<Series>,
    open: AtomicUsize,
    most: AtomicUsize,
    questions: AtomicUsize,
}

struct Series {
    name: &'static str,
    job: String,
    instance: u64,
    /// Its labels as JSON.
    metric: String,
}

type Parameters = HashMap<String, String>;

impl Store {
    pub(crate) async fn start(series: u64) -> std::io::Result<Self> {
        let desk = Arc::new(Desk {
            series: (0..series).map(Series::numbered).collect(),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            questions: AtomicUsize::new(0),
        });
        let router = axum::Router::new()
            .route("/api/v1/{*path}", get(answer))
            .with_state(Arc::clone(&desk));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let ledger = Ledger::new(Settings::default());
        let entry = ledger.account::<ServiceTaskOutcome>(Labels::new()).open();
        let serving = ledger.spawn(entry, async move {
            // It ends with the process.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            url,
            desk,
            _serving: serving,
        })
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The most questions that were open at once.
    pub(crate) fn most(&self) -> usize {
        self.desk.most.load(Ordering::Relaxed)
    }

    pub(crate) fn questions(&self) -> usize {
        self.desk.questions.load(Ordering::Relaxed)
    }
}

impl Series {
    fn numbered(number: u64) -> Self {
        let (instance, own) = (
            number / SERIES_OF_AN_INSTANCE,
            number % SERIES_OF_AN_INSTANCE,
        );
        let job = format!("job-{}", instance / INSTANCES_OF_A_JOB);
        let name = FAMILIES.get(own as usize).copied();
        let more = match name {
            Some("http_requests_total") => ",\"code\":\"200\"".to_owned(),
            Some(_) => String::new(),
            None => format!(
                ",\"resource\":\"response_body\",\"upstream\":\"u{own}\",\"route\":\"/r/*\",\"site\":\"shop/src/main.rs\""
            ),
        };
        let name = name.unwrap_or("resource_ledger_open");
        let metric = format!(
            "{{\"__name__\":\"{name}\",\"job\":\"{job}\",\"instance\":\"10.0.{}.{}:8080\",\"namespace\":\"shop\"{more}}}",
            instance / 250,
            instance % 250
        );
        Self {
            name,
            job,
            instance,
            metric,
        }
    }

    fn value(&self, at: u64) -> u64 {
        let mut noise = (at ^ self.instance << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        noise ^= noise >> 29;
        let day = at % 86_400;
        let load = day.min(86_400 - day) / 864;
        match self.name {
            "up" => 1,
            "process_max_fds" => 65_536,
            "process_start_time_seconds" => 1_600_000_000,
            "http_requests_total" => at * 20,
            "process_resident_memory_bytes" => 200_000_000 + load * 1_000_000 + noise % 4_000_000,
            _ => 20 + load + noise % 9,
        }
    }
}

async fn answer(
    State(desk): State<Arc<Desk>>,
    Path(path): Path<String>,
    Query(parameters): Query<Parameters>,
) -> String {
    desk.questions.fetch_add(1, Ordering::Relaxed);
    let open = desk.open.fetch_add(1, Ordering::Relaxed) + 1;
    desk.most.fetch_max(open, Ordering::Relaxed);
    // Others are accepted meanwhile, as by a store that reads from its disk.
    tokio::task::yield_now().await;
    let data = match &*path {
        "label/__name__/values" => {
            let names: BTreeSet<&str> = desk.series.iter().map(|own| own.name).collect();
            serde_json::json!(names).to_string()
        }
        "series" => desk.listed(&parameters),
        "query_range" => desk.range(&parameters),
        _ => r#"{"resultType":"matrix","result":[]}"#.to_owned(),
    };
    desk.open.fetch_sub(1, Ordering::Relaxed);
    format!(r#"{{"status":"success","data":{data}}}"#)
}

impl Desk {
    fn selected(&self, selector: &str) -> impl Iterator<Item = &Series> {
        let values = |label: &str| -> Option<BTreeSet<String>> {
            let (_, rest) = selector.split_once(&format!("{label}="))?;
            let rest = rest.trim_start_matches(['~', '"']);
            let (values, _) = rest.split_once('"')?;
            Some(values.split('|').map(str::to_owned).collect())
        };
        let (names, jobs) = (values("__name__"), values("job"));
        self.series.iter().filter(move |own| {
            names.as_ref().is_none_or(|names| names.contains(own.name))
                && jobs.as_ref().is_none_or(|jobs| jobs.contains(&own.job))
        })
    }

    fn listed(&self, parameters: &Parameters) -> String {
        let selector = parameters.get("match[]").map_or("", String::as_str);
        let metrics: Vec<&str> = self.selected(selector).map(|own| &*own.metric).collect();
        format!("[{}]", metrics.join(","))
    }

    fn range(&self, parameters: &Parameters) -> String {
        let text = |name: &str| parameters.get(name).map_or("", String::as_str);
        let seconds = |name: &str| text(name).parse::<f64>().unwrap_or(0.0) as u64;
        let step: u64 = text("step").trim_end_matches('s').parse().unwrap_or(300);
        let expression = text("query");
        let mut rows = String::from(r#"{"resultType":"matrix","result":["#);
        for (number, own) in self.selected(expression).enumerate() {
            let comma = if number > 0 { "," } else { "" };
            let metric = if expression.starts_with("sum") {
                own.metric
                    .replace("\"__name__\":\"http_requests_total\",", "")
                    .replace(",\"code\":\"200\"", "")
            } else {
                own.metric.clone()
            };
            let _ = write!(rows, "{comma}{{\"metric\":{metric},\"values\":[");
            for (place, at) in (seconds("start")..=seconds("end"))
                .step_by(step as usize)
                .enumerate()
            {
                let comma = if place > 0 { "," } else { "" };
                let _ = write!(rows, "{comma}[{at},\"{}\"]", own.value(at));
            }
            rows.push_str("]}");
        }
        rows.push_str("]}");
        rows
    }
}
