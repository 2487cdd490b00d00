//! A service with instances that leak or do not, as a store would hold it; and an agent that watches the store.

use std::path::Path;
use std::time::Duration;

use leak_detect::Timestamp;
use serde_json::Value;

use crate::agent::{Agent, Running};
use crate::clock;
use crate::config::Config;
use crate::history::store::tests::server::{Server, Stored};
use crate::labels::Labels;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an instance does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Healthy,
    /// Nobody could scrape it for days.
    Down,
    /// It has leaked descriptors for so long, 40 an hour.
    Leaking {
        hours: f64,
    },
}

/// Instances of one service, sampled every half minute for four days, and for ten minutes to come.
pub(super) struct World {
    pub(super) now: Timestamp,
    instances: Vec<(String, Shape)>,
}

impl World {
    pub(super) fn of(instances: &[(&str, Shape)]) -> Self {
        Self {
            now: clock::now(),
            instances: instances
                .iter()
                .map(|(name, shape)| ((*name).to_owned(), *shape))
                .collect(),
        }
    }

    pub(super) fn stored(&self) -> Stored {
        let mut stored = Vec::new();
        for (number, (instance, shape)) in self.instances.iter().enumerate() {
            let labels = |name: &str| -> Labels {
                [("__name__", name), ("job", "shop"), ("instance", instance)]
                    .into_iter()
                    .collect()
            };
            let now = self.now.seconds();
            let samples = |value: &dyn Fn(f64) -> f64| {
                (-11_520..20)
                    .map(|index| {
                        let at = now + 30.0 * f64::from(index) + 3.0 * number as f64;
                        ((at * 1000.0).round() as i64, value(at))
                    })
                    .collect::<Vec<_>>()
            };
            let noise = |at: f64| {
                let mut hash =
                    (at as u64 ^ (number as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                hash ^= hash >> 29;
                (hash % 2001) as f64 / 1000.0 - 1.0
            };
            let fds = |at: f64| {
                let leaked = match shape {
                    Shape::Healthy | Shape::Down => 0.0,
                    Shape::Leaking { hours } => {
                        (at - (now - 3600.0 * hours)).max(0.0) * 40.0 / 3600.0
                    }
                };
                (60.0 + 5.0 * noise(at) + leaked).floor()
            };
            if matches!(shape, Shape::Down) {
                stored.push((labels("up"), samples(&|_| 0.0)));
                continue;
            }
            stored.push((labels("up"), samples(&|_| 1.0)));
            stored.push((labels("process_open_fds"), samples(&fds)));
            stored.push((labels("process_max_fds"), samples(&|_| 65_536.0)));
            stored.push((
                labels("process_start_time_seconds"),
                samples(&|_| (now - 20.0 * 86_400.0).floor()),
            ));
            for code in ["200", "500"] {
                stored.push((
                    labels("http_requests_total").with("code", code),
                    samples(&|at| ((at - now) * 20.0).floor() + 1e9),
                ));
            }
        }
        stored
    }
}

/// An agent that watches a store five times a second.
pub(super) struct Watcher {
    pub(super) running: Running,
    client: reqwest::Client,
}

impl Watcher {
    /// `more` stands after the source.
    pub(super) async fn of(server: &Server, directory: &Path, more: &str) -> Self {
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 200ms }}\n\
             storage: {{ path: {directory:?} }}\n\
             web: {{ listen: \"127.0.0.1:0\" }}\n\
             sources:\n  - url: {}\n    query_offset: 0s\n{more}",
            server.url()
        );
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Self {
            running: Agent::start(config).await.expect("the agent starts"),
            client: crate::http_client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    pub(super) async fn text(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.running.web_addr());
        let answer = self.client.get(url).send().await.expect("an answer");
        answer.text().await.expect("a text")
    }

    /// `data` of an answer of the API.
    pub(super) async fn data(&self, path: &str) -> Value {
        let answer: Value = serde_json::from_str(&self.text(path).await).expect("JSON");
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// When was judged first, as soon as it was.
    pub(super) async fn first_judgement(&self) -> f64 {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let searching = async {
            loop {
                looks.tick().await;
                let metrics = self.text("/metrics").await;
                let at = metrics
                    .lines()
                    .find_map(|line| {
                        line.strip_prefix("leak_agent_last_evaluation_timestamp_seconds ")
                    })
                    .expect("the metric");
                let at: f64 = at.parse().expect("a number");
                if at > 0.0 {
                    return at;
                }
            }
        };
        clock::timeout(PATIENCE, searching)
            .await
            .expect("a judgement")
    }

    /// What `find` finds in an answer of the API, as soon as it finds something.
    pub(super) async fn until<T>(
        &self,
        path: &str,
        what: &str,
        find: impl Fn(&Value) -> Option<T>,
    ) -> T {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let searching = async {
            loop {
                looks.tick().await;
                if let Some(found) = find(&self.data(path).await) {
                    return found;
                }
            }
        };
        match clock::timeout(PATIENCE, searching).await {
            Ok(found) => found,
            Err(_) => panic!(
                "{what} did not come about; {path} says {}",
                self.data(path).await
            ),
        }
    }

    /// The first alert that fires.
    pub(super) async fn firing(&self) -> Value {
        let find = |data: &Value| {
            let mut alerts = data["alerts"].as_array()?.iter();
            alerts.find(|alert| alert["state"] == "firing").cloned()
        };
        self.until("/api/v1/alerts", "a firing alert", find).await
    }
}
