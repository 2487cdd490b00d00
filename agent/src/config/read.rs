//! The whole file, section by section, and what several sections say in the same way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use checked_yaml::{Fields, Mistakes, Node};

use super::{Config, Global, Job, Limits, Storage, Web};
use super::{alerting, jobs, overrides, pair, prometheus_keys, signals, sources};
use crate::discovery::{ScrapeLimits, ScrapeProtocol};
use crate::labels::{Labels, is_label_name};

/// Alerts that may live at once over a history, where the configuration does not say.
const HISTORY_ALERTS: usize = 100_000;

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To watch: there must be something to scrape.
    Watch,
    /// To judge a history, which brings its own targets.
    History,
}

impl Purpose {
    /// Of a whole fleet's past more may leak at once than an agent should page for.
    fn default_limits(self) -> Limits {
        let limits = Limits::default();
        match self {
            Self::Watch => limits,
            Self::History => Limits {
                alerts: HISTORY_ALERTS,
                ..limits
            },
        }
    }
}

/// The configuration in a text. The files that it names are relative to `directory`.
pub(super) fn config(text: &str, purpose: Purpose, directory: &Path) -> Result<Config, Mistakes> {
    let root = checked_yaml::parse(text)?;
    let mistakes = &mut Mistakes::new();
    let mut fields = root.fields(mistakes);

    let defaults = global(fields.optional("global"), directory, mistakes);
    let jobs = jobs::jobs(fields.optional("scrape_configs"), &defaults, mistakes);
    let sources = sources::sources(fields.optional("sources"), directory, mistakes);
    if purpose == Purpose::Watch && jobs.is_empty() && sources.is_empty() {
        mistakes.add(
            fields.place().clone(),
            "there is nothing to watch: list what is to be scraped in `scrape_configs`, or a store in `sources`",
        );
    }
    let (signals, catalogue) = signals::signals(fields.optional("signals"), mistakes);
    let overrides = overrides::overrides(fields.optional("overrides"), &catalogue, mistakes);
    let alerting = alerting::alerting(fields.optional("alerting"), directory, mistakes);
    let global = defaults.global(&jobs);
    let pair = pair::pair(
        fields.optional("pair"),
        directory,
        &global,
        &alerting,
        mistakes,
    );
    let storage = storage(fields.optional("storage"), mistakes);
    let web = web(fields.optional("web"), directory, mistakes);
    let workload_by = workload_by(fields.optional("workload_by"), mistakes);
    let limits = limits(
        fields.optional("limits"),
        purpose.default_limits(),
        mistakes,
    );
    prometheus_keys::refuse(&mut fields, prometheus_keys::TOP, mistakes);
    fields.finish(mistakes);

    let config = Config {
        global,
        jobs,
        sources,
        alerting,
        pair,
        overrides,
        storage,
        web,
        signals,
        workload_by,
        shard: None,
        limits,
        file: None,
    };
    std::mem::take(mistakes).into_result(config)
}

/// What a job inherits.
pub(super) struct Defaults {
    pub(super) scrape_interval: Duration,
    /// As set; the built-in one is cut to the interval where it is longer.
    pub(super) scrape_timeout: Duration,
    pub(super) limits: ScrapeLimits,
    pub(super) protocols: Vec<ScrapeProtocol>,
    /// Where the configuration file is: names of files are relative to it.
    pub(super) directory: PathBuf,
    evaluation_interval: Option<Duration>,
    external_labels: Labels,
}

impl Defaults {
    fn global(self, jobs: &[Job]) -> Global {
        let shortest = jobs.iter().map(|job| job.template.interval).min();
        Global {
            scrape_interval: self.scrape_interval,
            scrape_timeout: self.scrape_timeout,
            evaluation_interval: self
                .evaluation_interval
                .or(shortest)
                .unwrap_or(self.scrape_interval),
            external_labels: self.external_labels,
        }
    }
}

const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

fn global(node: Option<&Node>, directory: &Path, mistakes: &mut Mistakes) -> Defaults {
    let mut defaults = Defaults {
        scrape_interval: SCRAPE_INTERVAL,
        scrape_timeout: SCRAPE_TIMEOUT,
        limits: ScrapeLimits::default(),
        protocols: Vec::new(),
        directory: directory.to_owned(),
        evaluation_interval: None,
        external_labels: Labels::empty(),
    };
    let Some(node) = node else { return defaults };
    let mut fields = node.fields(mistakes);
    if let Some(interval) = positive_duration(fields.optional("scrape_interval"), mistakes) {
        defaults.scrape_interval = interval;
    }
    let timeout = fields.optional("scrape_timeout");
    defaults.scrape_timeout = match positive_duration(timeout, mistakes) {
        Some(own) => own,
        None => SCRAPE_TIMEOUT.min(defaults.scrape_interval),
    };
    if let Some(node) = timeout
        && defaults.scrape_timeout > defaults.scrape_interval
    {
        node.reject(mistakes, "is longer than the scrape interval");
    }
    defaults.evaluation_interval =
        positive_duration(fields.optional("evaluation_interval"), mistakes);
    if let Some(node) = fields.optional("external_labels") {
        defaults.external_labels = labels(node, mistakes);
        for (_, value) in node.entries(&mut Mistakes::new()) {
            if value
                .text(&mut Mistakes::new())
                .is_some_and(|text| text.contains("${"))
            {
                value.reject(mistakes, "environment variables are not expanded here");
            }
        }
    }
    jobs::limits(&mut fields, &mut defaults.limits, mistakes);
    if let Some(node) = fields.optional("scrape_protocols") {
        defaults.protocols = jobs::protocols(node, mistakes);
    }
    prometheus_keys::refuse(&mut fields, prometheus_keys::GLOBAL, mistakes);
    fields.finish(mistakes);
    defaults
}

fn storage(node: Option<&Node>, mistakes: &mut Mistakes) -> Storage {
    let mut storage = Storage::default();
    let Some(node) = node else { return storage };
    let mut fields = node.fields(mistakes);
    if let Some(path) = text(fields.optional("path"), mistakes) {
        storage.path = PathBuf::from(path);
    }
    prometheus_keys::refuse(&mut fields, prometheus_keys::STORAGE, mistakes);
    fields.finish(mistakes);
    storage
}

fn web(node: Option<&Node>, directory: &Path, mistakes: &mut Mistakes) -> Web {
    let mut web = Web::default();
    let Some(node) = node else { return web };
    let mut fields = node.fields(mistakes);
    if let Some(node) = fields.optional("listen")
        && let Some(listen) = node.parse("an address and port such as 127.0.0.1:9465", mistakes)
    {
        web.listen = listen;
    }
    if let Some(node) = fields.optional("external_url") {
        web.external_url = http_url(node, mistakes);
    }
    if let Some(node) = fields.optional("config_file")
        && let Some(path) = text(Some(node), mistakes)
    {
        let path = directory.join(path);
        match web_config::Protection::check(&path) {
            Ok(()) => web.config_file = Some(path),
            Err(error) => node.reject(mistakes, error.told()),
        }
    }
    if let Some(node) = fields.optional("enable_reload") {
        web.enable_reload = node.boolean(mistakes).unwrap_or_default();
    }
    fields.finish(mistakes);
    web
}

fn workload_by(node: Option<&Node>, mistakes: &mut Mistakes) -> Option<Vec<Arc<str>>> {
    let node = node?;
    let mut names: Vec<Arc<str>> = Vec::new();
    for item in node.items(mistakes) {
        let Some(name) = item.text(mistakes) else {
            continue;
        };
        if !is_label_name(name) {
            item.reject(mistakes, format!("`{name}` is no label name"));
        } else if names.iter().any(|known| **known == *name) {
            item.reject(mistakes, format!("`{name}` is there twice"));
        } else {
            names.push(Arc::from(name));
        }
    }
    if names.is_empty() {
        node.reject(
            mistakes,
            "names no label; take it out for the target's labels less those of an instance",
        );
    }
    Some(names)
}

fn limits(node: Option<&Node>, mut limits: Limits, mistakes: &mut Mistakes) -> Limits {
    let Some(node) = node else { return limits };
    let mut fields = node.fields(mistakes);
    for (key, limit) in [
        ("series", &mut limits.series),
        ("alerts", &mut limits.alerts),
    ] {
        if let Some(number) = positive_count(fields.optional(key), mistakes) {
            *limit = number;
        }
    }
    fields.finish(mistakes);
    limits
}

/// The items of an optional list.
pub(super) fn items<'a>(node: Option<&'a Node>, mistakes: &mut Mistakes) -> &'a [Node] {
    node.map_or(&[], |node| node.items(mistakes))
}

/// An optional text that is not empty.
pub(super) fn text<'a>(node: Option<&'a Node>, mistakes: &mut Mistakes) -> Option<&'a str> {
    let node = node?;
    let text = node.text(mistakes)?;
    if text.is_empty() {
        node.reject(mistakes, "is empty");
        return None;
    }
    Some(text)
}

/// An optional duration above zero.
pub(super) fn positive_duration(node: Option<&Node>, mistakes: &mut Mistakes) -> Option<Duration> {
    node?.positive_duration(mistakes)
}

/// An optional `true` or `false`.
pub(super) fn boolean(node: Option<&Node>, default: bool, mistakes: &mut Mistakes) -> bool {
    node.and_then(|node| node.boolean(mistakes))
        .unwrap_or(default)
}

/// An optional whole number above zero.
pub(super) fn positive_count(node: Option<&Node>, mistakes: &mut Mistakes) -> Option<usize> {
    let node = node?;
    let number = node.parse("a whole number", mistakes)?;
    if number == 0 {
        node.reject(mistakes, "must be more than zero");
        return None;
    }
    Some(number)
}

/// A number above zero.
pub(super) fn positive_number(node: &Node, mistakes: &mut Mistakes) -> Option<f64> {
    let number: f64 = node.parse("a number", mistakes)?;
    if number > 0.0 && number.is_finite() {
        return Some(number);
    }
    node.reject(mistakes, "must be a number above zero");
    None
}

/// A mapping of label names to values.
pub(super) fn labels(node: &Node, mistakes: &mut Mistakes) -> Labels {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (name, value) in node.entries(mistakes) {
        if !is_label_name(name) {
            value.reject(mistakes, format!("`{name}` is no label name"));
        } else if !value.is_null()
            && let Some(text) = value.text(mistakes)
        {
            pairs.push((name, text));
        }
    }
    pairs.into_iter().collect()
}

/// A link without its final slash.
pub(super) fn http_url(node: &Node, mistakes: &mut Mistakes) -> Option<Arc<str>> {
    let text = node.text(mistakes)?;
    // Not repeated in a message: it may be a password.
    if text.contains('@') {
        node.reject(mistakes, "credentials do not belong into a URL");
        return None;
    }
    let problem = match reqwest::Url::parse(text) {
        Err(error) => error.to_string(),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            "it begins with neither http:// nor https://".to_owned()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "a query or fragment cannot be extended by a path".to_owned()
        }
        Ok(_) => return Some(Arc::from(text.trim_end_matches('/'))),
    };
    node.reject(
        mistakes,
        format!("`{text}` is not a URL to use here: {problem}"),
    );
    None
}

/// Reads the keys of a mapping that may be absent.
pub(super) fn optional_fields<'a>(
    node: Option<&'a Node>,
    mistakes: &mut Mistakes,
) -> Option<Fields<'a>> {
    node.map(|node| node.fields(mistakes))
}
