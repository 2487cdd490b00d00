//! Services that expose what a test says, scraped by an engine at a steady interval.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::alert::{AlertName, AlertState, OutgoingAlert};
use crate::config::Config;
use crate::discovery::Target;
use crate::engine::{Effects, Engine, EvidenceRequest, Saved, StateChange};
use crate::incident::Incident;
use crate::labels::Labels;
use crate::scrape::{Notes, Sample, Scrape, ScrapeError};

pub(crate) const START: f64 = 1_800_000_000.0;

/// One process with an exposition.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    values: BTreeMap<(String, Labels), f64>,
    pub(crate) is_down: bool,
}

impl Service {
    fn new(started: f64) -> Self {
        let mut service = Self {
            values: BTreeMap::new(),
            is_down: false,
        };
        service.set("process_start_time_seconds", &[], started);
        service
    }

    pub(crate) fn set(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.values
            .insert((name.to_owned(), labels.iter().copied().collect()), value);
    }

    pub(crate) fn add(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        *self
            .values
            .entry((name.to_owned(), labels.iter().copied().collect()))
            .or_default() += value;
    }

    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.values
            .get(&(name.to_owned(), labels.iter().copied().collect()))
            .copied()
            .unwrap_or(0.0)
    }

    pub(crate) fn vanish(&mut self, name: &str) {
        self.values.retain(|(own, _), _| own != name);
    }
}

/// An engine and the services it scrapes, with everything the engine has wanted done so far.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) now: f64,
    pub(crate) sent: Vec<(f64, OutgoingAlert)>,
    pub(crate) log: Vec<StateChange>,
    pub(crate) fetches: Vec<EvidenceRequest>,
    /// What a store would hold.
    pub(crate) stored: Saved,
    pub(crate) saves: usize,
}

impl World {
    /// The gateway of the examples at `a:9901`, scraped every 5 s, alerts sent.
    pub(crate) fn gateway() -> Self {
        Self::new(&gateway_configuration(""))
    }

    pub(crate) fn new(yaml: &str) -> Self {
        let config = Config::parse(yaml).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let now = START;
        let engine = Engine::new(&config, config.targets(), None, at(now));
        let services = config
            .targets()
            .iter()
            .map(|target| (target.instance.to_string(), Service::new(START - 3600.0)))
            .collect();
        Self {
            config,
            engine,
            services,
            now,
            sent: Vec::new(),
            log: Vec::new(),
            fetches: Vec::new(),
            stored: Saved::default(),
            saves: 0,
        }
    }

    pub(crate) fn service(&mut self, instance: &str) -> &mut Service {
        self.services.get_mut(instance).unwrap()
    }

    pub(crate) fn interval(&self) -> f64 {
        self.config.global.evaluation_interval.as_secs_f64()
    }

    /// One interval: every service is changed, scraped, and everything judged.
    pub(crate) fn step(&mut self, change: impl FnMut(&str, &mut Service, f64)) {
        self.step_by(self.interval(), change);
    }

    /// `seconds` of steps.
    pub(crate) fn run(&mut self, seconds: f64, change: impl FnMut(&str, &mut Service, f64)) {
        self.run_by(self.interval(), seconds, change);
    }

    /// Hours in which nothing happens that a scrape a minute would miss.
    pub(crate) fn pass(&mut self, hours: f64, change: impl FnMut(&str, &mut Service, f64)) {
        self.run_by(60.0, hours * 3600.0, change);
    }

    fn run_by(
        &mut self,
        interval: f64,
        seconds: f64,
        mut change: impl FnMut(&str, &mut Service, f64),
    ) {
        let steps = (seconds / interval).round() as usize;
        for _ in 0..steps {
            self.step_by(interval, &mut change);
        }
    }

    fn step_by(&mut self, interval: f64, mut change: impl FnMut(&str, &mut Service, f64)) {
        self.now += interval;
        let now = self.now;
        for target in &self.config.targets() {
            let Some(service) = self.services.get_mut(&*target.instance) else {
                continue;
            };
            change(&target.instance, service, now);
            let scrape = scrape(&self.engine, target, service, now);
            self.engine.scraped(&scrape);
        }
        self.evaluate();
    }

    pub(crate) fn evaluate(&mut self) {
        let Effects {
            save,
            save_detectors,
            notifications,
            fetch,
            log,
        } = self.engine.evaluate(at(self.now));
        if let Some(save) = save {
            self.saves += 1;
            let detectors = match save_detectors {
                true => self.engine.saved().detectors,
                false => self.stored.detectors.take(),
            };
            self.stored = Saved { detectors, ..save };
        }
        self.sent
            .extend(notifications.into_iter().map(|alert| (self.now, alert)));
        self.fetches.extend(fetch);
        self.log.extend(log);
    }

    /// Kills the agent and starts it again from what was stored.
    pub(crate) fn kill(&mut self) {
        let stored = reread(&self.stored);
        self.engine = Engine::new(
            &self.config,
            self.config.targets(),
            Some(stored),
            at(self.now),
        );
    }

    /// A new process in the place of an old one.
    pub(crate) fn replace(&mut self, instance: &str) {
        self.services
            .insert(instance.to_owned(), Service::new(self.now));
    }

    pub(crate) fn incidents(&self) -> Vec<&Incident> {
        let mut all: Vec<&Incident> = self.engine.incidents().collect();
        all.sort_by_key(|incident| incident.convicted_at);
        all
    }

    #[track_caller]
    pub(crate) fn only_incident(&self) -> &Incident {
        match self.incidents().as_slice() {
            [only] => only,
            all => panic!("{} incidents: {all:#?}", all.len()),
        }
    }

    pub(crate) fn is_firing(&self, name: AlertName) -> bool {
        self.engine
            .alerts()
            .any(|alert| alert.name == name && alert.state == AlertState::Firing)
    }

    /// Alertnames sent so far as firing, each with its `startsAt`, without repetition.
    pub(crate) fn started(&self) -> Vec<(String, f64)> {
        let mut all: Vec<(String, f64)> = Vec::new();
        for (_, alert) in self.sent.iter().filter(|(_, alert)| !alert.resolved) {
            let entry = (
                alert.labels.get("alertname").unwrap().to_owned(),
                alert.starts_at.seconds(),
            );
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
        all
    }

    pub(crate) fn resolved(&self) -> usize {
        self.sent.iter().filter(|(_, alert)| alert.resolved).count()
    }
}

pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// One gateway at `a:9901`, every 5 s, with more lines at the top level.
pub(crate) fn gateway_configuration(more: &str) -> String {
    format!(
        "global: {{ scrape_interval: 5s, scrape_timeout: 4s }}\n\
         scrape_configs:\n  \
         - job_name: gateway\n    \
           static_configs: [{{ targets: [\"a:9901\"], labels: {{ __evidence_address__: \"a:9902\" }} }}]\n    \
           evidence: [ledger, tasks]\n{more}"
    )
}

fn scrape(engine: &Engine, target: &Arc<Target>, service: &Service, now: f64) -> Scrape {
    let result = if service.is_down {
        Err(ScrapeError::Request(
            crate::http_client::HttpError::NoConnection("connection refused".to_owned()),
        ))
    } else {
        let samples = service
            .values
            .iter()
            .map(|((name, labels), value)| Sample {
                name: Arc::from(name.as_str()),
                labels: labels.or(&target.labels),
                value: *value,
                at: None,
            })
            .filter(|sample| engine.catalogue.knows(&sample.name))
            .collect();
        Ok(samples)
    };
    let samples = result.as_ref().map_or(0, Vec::len) as u64;
    let notes = Notes {
        samples,
        body_bytes: 100 * samples,
        ..Notes::default()
    };
    Scrape {
        target: Arc::clone(target),
        at: at(now),
        duration: Duration::from_millis(3),
        result,
        notes,
    }
}

/// What a store gives back: everything as text and bytes in between.
fn reread(saved: &Saved) -> Saved {
    let through = |value: &dyn Fn() -> serde_json::Value| value().to_string();
    let incidents = through(&|| serde_json::to_value(&saved.incidents).unwrap());
    let alerts = through(&|| serde_json::to_value(&saved.alerts).unwrap());
    Saved {
        incidents: serde_json::from_str(&incidents).unwrap(),
        alerts: serde_json::from_str(&alerts).unwrap(),
        detectors: saved.detectors.clone(),
    }
}
