mod example;

use expect_test::{Expect, expect};

use super::*;
use crate::discovery::{EvidenceKind, ScrapeLimits};

const LEAST: &str =
    "scrape_configs:\n  - job_name: a\n    static_configs: [{ targets: [\"h:1\"] }]\n";

#[track_caller]
fn parse(text: &str) -> Config {
    match Config::parse(text) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// The mistakes of the least configuration with this added.
#[track_caller]
fn check(addition: &str, expected: Expect) {
    let mistakes = match Config::parse(&format!("{LEAST}{addition}")) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    };
    expected.assert_eq(&mistakes);
}

#[test]
fn the_least_configuration_is_enough() {
    let config = parse(LEAST);
    assert_eq!(config.jobs.len(), 1);
    assert_eq!(config.global.scrape_interval, Duration::from_secs(15));
    assert_eq!(config.global.scrape_timeout, Duration::from_secs(10));
    assert_eq!(config.global.evaluation_interval, Duration::from_secs(15));
    assert_eq!(config.alerting, Alerting::default());
    assert_eq!(config.web, Web::default());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.workload_by, None);
    let target = &config.targets()[0];
    assert_eq!(&*target.url, "http://h:1/metrics");
    assert_eq!(target.settings.limits, ScrapeLimits::default());
    assert_eq!(target.evidence_address, None);
}

#[test]
fn a_job_of_prometheus_can_be_pasted() {
    let config = parse(
        r#"
global:
  scrape_interval: 5s
  evaluation_interval: 10s
  external_labels: { monitor: codelab }
scrape_configs:
  - job_name: "node"
    scrape_interval: 1m
    scrape_timeout: 30s
    honor_labels: true
    honor_timestamps: false
    metrics_path: /probe
    params: { module: [http_2xx], target: ["a b"] }
    body_size_limit: 10MB
    sample_limit: 0
    static_configs:
      - targets: ["localhost:8080", "localhost:8081"]
        labels: { group: production }
      - targets: ["localhost:8082"]
        labels: { group: canary, __metrics_path__: /other, __scrape_timeout__: 1s }
    evidence: [ledger, tasks, ledger]
"#,
    );
    let targets = config.targets();
    assert_eq!(
        targets
            .iter()
            .map(|target| format!("{} {} {:?}", target.url, target.labels, target.timeout))
            .collect::<Vec<_>>(),
        [
            r#"http://localhost:8080/probe?module=http_2xx&target=a+b {group="production",instance="localhost:8080",job="node"} 30s"#,
            r#"http://localhost:8081/probe?module=http_2xx&target=a+b {group="production",instance="localhost:8081",job="node"} 30s"#,
            r#"http://localhost:8082/other?module=http_2xx&target=a+b {group="canary",instance="localhost:8082",job="node"} 1s"#,
        ]
    );
    assert_eq!(
        targets[0].evidence,
        [EvidenceKind::Ledger, EvidenceKind::Tasks]
    );
    assert_eq!(
        targets[0].evidence_address.as_deref(),
        Some("localhost:8080")
    );
    assert_eq!(targets[0].settings.limits.body_bytes, Some(10 << 20));
    assert_eq!(targets[0].settings.limits.samples, None);
    assert!(targets[0].settings.honor_labels && !targets[0].settings.honor_timestamps);
    assert_eq!(config.global.evaluation_interval, Duration::from_secs(10));
    assert_eq!(config.global.scrape_timeout, Duration::from_secs(5));
}

#[test]
fn the_timeout_is_never_longer_than_the_interval() {
    let job = |settings: &str| {
        format!(
            "scrape_configs: [{{ job_name: a, {settings} static_configs: [{{ targets: [\"h:1\"] }}] }}]"
        )
    };
    let timeout = |text: &str| parse(text).targets()[0].timeout;
    assert_eq!(
        timeout(&job("scrape_interval: 1s,")),
        Duration::from_secs(1)
    );
    assert_eq!(
        timeout(&format!(
            "global: {{ scrape_interval: 1m, scrape_timeout: 20s }}\n{}",
            job("scrape_interval: 5s,")
        )),
        Duration::from_secs(5)
    );
    let mistakes = |text: &str| Config::parse(text).expect_err("a mistake").to_string();
    expect!["line 1: scrape_configs[0].scrape_timeout: is longer than the job's scrape interval"]
        .assert_eq(&mistakes(&job("scrape_interval: 1s, scrape_timeout: 2s,")));
    expect!["line 1: global.scrape_timeout: is longer than the scrape interval"].assert_eq(
        &mistakes(&format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 20s }}\n{}",
            job("")
        )),
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = r#"global:
  scrape_interval: 15
  external_labels: { 9a: b, cluster: "${CLUSTER}" }
scrape_config: []
scrape_configs:
  - job_name: a
    scheme: ftp
    metrics_path: metrics
    basic_auth: { username: u, password: p, password_file: f }
    evidence: [pprof, leger]
    sample_limit: -1
    body_size_limit: 10 MB
    static_configs:
      - targets: ["http://h:1/metrics", "h:99999", 7, ""]
        label: { a: b }
  - job_name: a
    file_sd_configs: [{ files: [x] }]
  - static_configs: []
sources:
  - url: http://127.0.0.1:9090
  - bearer_token: x
alerting:
  mode: pull
  for: soon
  false_alerts_per_year: { page: 0, tickets: 3 }
  severities: { ticket: critical }
  runbook_url: runbooks/{alertname}
  alert_relabel_configs: []
  alertmanagers:
    - api_version: v1
      timeout: 0s
      static_configs: [{ targets: ["am"], labels: { a: b } }]
    - path_prefix: /am
overrides:
  - match: {}
    mode: mute
    until: tomorrow
  - match: { job: a }
    signals: [go_goroutine]
  - floor: x
signals:
  - name: go_goroutines
    unit: goroutines
    absolute_floor: 1
  - name: my-metric
    limit: -5
workload_by: [job, job, 9x]
storage: { path: "", tsdb: {} }
web: { listen: localhost, external_url: "ftp://x", config_file: w.yml }
limits: { series: 0, alerts: many }
rule_files: [a.yml]
"#;
    let mistakes = Config::parse(text).expect_err("mistakes").to_string();
    expect![[r#"
        line 2: global.scrape_interval: `15` is not a duration such as 250ms, 15s or 1h30m
        line 3: global.external_labels.9a: `9a` is no label name
        line 3: global.external_labels.cluster: environment variables are not expanded here
        line 4: scrape_config: unknown key; did you mean `scrape_configs`?
        line 7: scrape_configs[0].scheme: `ftp` is neither http nor https
        line 8: scrape_configs[0].metrics_path: does not begin with a slash
        line 9: scrape_configs[0].basic_auth.password_file: contradicts `password`: keep one
        line 10: scrape_configs[0].evidence[1]: `leger` is none of ledger, tasks and pprof
        line 11: scrape_configs[0].sample_limit: `-1` is not a whole number: invalid digit found in string
        line 12: scrape_configs[0].body_size_limit: `10 MB` is not a size such as 10MB or 512KB
        line 14: scrape_configs[0].static_configs[0].targets[0]: `http://h:1/metrics` is not host:port; scheme and path belong into `scheme` and `metrics_path`
        line 14: scrape_configs[0].static_configs[0].targets[1]: `h:99999` is not host:port: the port is not a number from 1 to 65535
        line 14: scrape_configs[0].static_configs[0].targets[3]: the address is empty
        line 15: scrape_configs[0].static_configs[0].label: unknown key; did you mean `labels`?
        line 16: scrape_configs[1]: the job has no targets: list them in `static_configs`, or say where they are in `file_sd_configs`, `http_sd_configs`, `dns_sd_configs` or `kubernetes_sd_configs`
        line 16: scrape_configs[1].job_name: `a` is also the name of the job of line 6
        line 17: scrape_configs[1].file_sd_configs[0].files[0]: `x` ends neither in .json nor in .yml or .yaml
        line 18: scrape_configs[2]: `job_name` is missing
        line 21: sources[1]: `url` is missing
        line 23: alerting.mode: `pull` is neither push nor rules
        line 24: alerting.for: `soon` is not a duration such as 250ms, 15s or 1h30m
        line 25: alerting.false_alerts_per_year.page: must be a number above zero
        line 25: alerting.false_alerts_per_year.tickets: unknown key; did you mean `ticket`?
        line 26: alerting.severities: tickets and pages have the same severity, so that no route can tell them apart
        line 27: alerting.runbook_url: `runbooks/{alertname}` is not a link with placeholders such as {cause}: it begins with neither http:// nor https://
        line 30: alerting.alertmanagers[0].api_version: only v2 is supported; Alertmanager has had it since 0.16
        line 31: alerting.alertmanagers[0].timeout: must be more than zero
        line 33: alerting.alertmanagers[1]: has no targets: list them in `static_configs`, or say where they are in `file_sd_configs`
        line 35: overrides[0].match: names no label, and would concern everything
        line 36: overrides[0].mode: `mute` is neither off nor ticket_only
        line 37: overrides[0].until: `tomorrow` is neither a day such as 2027-01-31 nor a time such as 2027-01-31T09:00:00Z
        line 38: overrides[1]: changes nothing: give `mode` (off or ticket_only) or `floor`
        line 39: overrides[1].signals[0]: `go_goroutine` is judged by nothing; `signals` can add it
        line 40: overrides[2]: `match` is missing
        line 40: overrides[2].floor: `x` is not a number: invalid float literal
        line 42: signals[0]: `go_goroutines` is known already; `overrides` can change its floor
        line 45: signals[1]: `unit` is missing
        line 45: signals[1]: `absolute_floor` is missing
        line 45: signals[1].name: `my-metric` is no metric name
        line 46: signals[1].limit: must be a number above zero
        line 47: workload_by[1]: `job` is there twice
        line 47: workload_by[2]: `9x` is no label name
        line 48: storage.path: is empty
        line 48: storage.tsdb: is Prometheus' own and has no meaning here; take it out
        line 49: web.config_file: w.yml cannot be read: No such file or directory (os error 2)
        line 49: web.external_url: `ftp://x` is not a URL to use here: it begins with neither http:// nor https://
        line 49: web.listen: `localhost` is not an address and port such as 127.0.0.1:9465: invalid socket address syntax
        line 50: limits.alerts: `many` is not a whole number: invalid digit found in string
        line 50: limits.series: must be more than zero
        line 51: rule_files: is Prometheus' own and has no meaning here; take it out"#]].assert_eq(&mistakes);
}

#[test]
fn nothing_to_watch_is_a_mistake() {
    for text in ["", "global: {}", "scrape_configs: []", "scrape_configs:"] {
        let mistakes = Config::parse(text).expect_err("a mistake").to_string();
        assert_eq!(
            mistakes,
            "there is nothing to watch: list what is to be scraped in `scrape_configs`, or a store in `sources`",
            "{text}"
        );
    }
}

#[test]
fn a_store_is_enough_to_watch() {
    let alone =
        Config::parse("sources: [{ url: \"http://p:9090/prometheus/\" }]").expect("a source");
    let expected = Source::at(Arc::from("http://p:9090/prometheus"));
    assert_eq!(&*expected.name, "p:9090");
    assert_eq!(alone.sources, [expected]);
}

#[test]
fn every_mistake_in_a_source_is_told() {
    let text = r#"sources:
  - url: http://127.0.0.1:9090
    match: '{cluster=eu-1}'
    step: 1500ms
    concurrency: 9
    sample_limit: 0
    query_offset: -1s
    body_size_limit: big
  - bearer_token: x
    basic_auth: { username: a }
    tenants: a
  - url: http://127.0.0.1:9090
  - { url: "http://me:secret@p:9090", name: "", tenant: "a b" }
"#;
    let mistakes = Config::parse(text).expect_err("mistakes").to_string();
    expect![[r#"
        line 3: sources[0].match: is no selector such as '{cluster="eu-1",env!~"dev|test"}': a value stands in double quotes
        line 4: sources[0].step: is not in whole seconds
        line 5: sources[0].concurrency: is more than 4: a store serves others as well
        line 6: sources[0].sample_limit: must be more than zero
        line 7: sources[0].query_offset: `-1s` is not a duration such as 250ms, 15s or 1h30m
        line 8: sources[0].body_size_limit: `big` is not a size such as 256MB
        line 9: sources[1]: `url` is missing
        line 9: sources[1].bearer_token: contradicts `basic_auth`: keep one
        line 11: sources[1].tenants: unknown key; did you mean `tenant`?
        line 12: sources[2].url: another source is named `127.0.0.1:9090` too; give each a `name` of its own
        line 13: sources[3].name: is empty
        line 13: sources[3].tenant: is no tenant: it goes into a header as it is
        line 13: sources[3].url: credentials do not belong into a URL"#]].assert_eq(&mistakes);
}

#[test]
fn targets_that_cannot_be_told_apart_are_a_mistake() {
    let job = |name: &str, label: &str| {
        format!(
            "  - job_name: {name}\n    metrics_path: /{name}\n    static_configs: [{{ targets: [\"h:1\"], labels: {{ job: {label} }} }}]\n"
        )
    };
    check(&job("b", "x"), expect![[r#""#]]);
    check(
        &[job("b", "x"), job("c", "x")].concat(),
        expect![[
            r#"line 9: scrape_configs[2].static_configs[0].targets[0]: has the same labels as the target of line 6, {instance="h:1",job="x"}; give one of them a label of its own"#
        ]],
    );
    let twice = parse(
        &format!("{LEAST}      - targets: [\"h:1\", \"h:1\"]\n")
            .replace("[{ targets: [\"h:1\"] }]", ""),
    );
    assert_eq!(twice.targets().len(), 1);
}

#[test]
fn rules_and_alertmanagers_exclude_each_other() {
    let managers = "alertmanagers: [{ static_configs: [{ targets: [\"am:9093\"] }] }]";
    check(
        &format!("alerting: {{ mode: rules, {managers} }}\n"),
        expect![
            "line 4: alerting.mode: with `rules` the agent sends nothing and Prometheus alerts: take `alertmanagers` out, or set `push`"
        ],
    );
    assert_eq!(
        parse(&format!("{LEAST}alerting: {{ mode: rules }}\n"))
            .alerting
            .mode,
        Mode::Rules
    );
}

#[test]
fn alertmanagers_are_urls() {
    let config = parse(&format!(
        "{LEAST}alerting:\n  alertmanagers:\n    - path_prefix: /am/\n      timeout: 3s\n      static_configs: [{{ targets: [\"a:9093\", \"b\", \"[::1]:9093\"] }}]\n    - scheme: https\n      static_configs: [{{ targets: [\"a\", \"drop:1\"], labels: {{ to: c:1 }} }}]\n      relabel_configs:\n        - {{ source_labels: [__address__], regex: 'drop.*', action: drop }}\n        - {{ source_labels: [to], target_label: __address__ }}\n        - {{ target_label: __alerts_path__, replacement: post }}\n"
    ));
    let sets = &config.alerting.alertmanagers;
    let urls: Vec<(String, String)> = sets
        .iter()
        .flat_map(|set| {
            let members = set.groups.iter().flat_map(|group| group.members());
            members.map(move |own| (set, own))
        })
        .filter_map(|(set, target)| crate::notify::endpoint(set, &target).expect("it is one"))
        .map(|endpoint| (endpoint.post_url.to_string(), endpoint.name.to_string()))
        .collect();
    let expected = [
        ("http://a:9093/am/api/v2/alerts", "http://a:9093/am"),
        ("http://b/am/api/v2/alerts", "http://b:80/am"),
        ("http://[::1]:9093/am/api/v2/alerts", "http://[::1]:9093/am"),
        ("https://c:1/post", "https://c:1/post"),
    ];
    let expected = expected.map(|(url, name)| (url.to_owned(), name.to_owned()));
    assert_eq!(urls, expected);
    assert_eq!(sets[0].timeout, Duration::from_secs(3));
    assert_eq!(sets[1].timeout, Duration::from_secs(10));
}

#[test]
fn overrides_concern_what_they_match_until_their_time() {
    let config = parse(&format!(
        "{LEAST}overrides:\n  - {{ match: {{ job: db, zone: a }}, signals: [process_open_fds], mode: off, until: 2027-01-31 }}\n  - {{ match: {{ job: c }}, floor: 2.5e3, until: \"2027-01-31T09:00:00+01:00\" }}\n"
    ));
    let labels: Labels = [("job", "db"), ("zone", "a"), ("instance", "i")]
        .into_iter()
        .collect();
    let one = &config.overrides[0];
    assert!(one.concerns("process_open_fds", &labels));
    assert!(!one.concerns("go_goroutines", &labels));
    assert!(!one.concerns("process_open_fds", &labels.without("zone")));
    let at = |seconds| Timestamp::from_seconds(seconds);
    // 2027-02-01T00:00:00Z
    assert!(!one.expired(at(1_801_439_999.0)));
    assert!(one.expired(at(1_801_440_000.0)));
    let two = &config.overrides[1];
    assert_eq!(two.floor, Some(2500.0));
    assert_eq!(two.until, Some(at(1_801_382_400.0)));
    assert!(two.concerns("anything", &Labels::empty().with("job", "c")));
}

#[test]
fn signals_join_the_catalogue() {
    let config = parse(&format!(
        "{LEAST}signals:\n  - {{ name: pool_active, unit: connections, integer: true, absolute_floor: 10, limit: pool_max, load: [served_total] }}\n  - {{ name: queue, unit: jobs, absolute_floor: 5, limit: 1000 }}\noverrides: [{{ match: {{ job: a }}, signals: [queue], mode: off }}]\n"
    ));
    let catalogue = config.catalogue();
    for name in [
        "pool_active",
        "pool_max",
        "served_total",
        "queue",
        "go_goroutines",
    ] {
        assert!(catalogue.knows(name), "{name}");
    }
    assert_eq!(
        config.signals[1].limit,
        Some(crate::catalogue::Limit::Value(1000.0))
    );
    assert_eq!(config.signals[1].relative_floor, 0.25);
    check(
        "signals:\n  - { name: x, unit: y, absolute_floor: 1, limit: go_goroutines }\n  - { name: z, unit: y, absolute_floor: 1, load: [process_open_fds] }\n  - { name: z, unit: y, absolute_floor: 1 }\n  - { name: z, unit: y, absolute_floor: 1 }\n",
        expect![[r#"
            line 5: signals[0]: `go_goroutines` is known already with another meaning
            line 6: signals[1]: `process_open_fds` is known already with another meaning
            line 8: signals[3]: `z` is known already; `overrides` can change its floor"#]],
    );
}

#[test]
fn external_url_has_no_final_slash() {
    let url = |text: &str| {
        parse(&format!("{LEAST}web: {{ external_url: {text} }}\n"))
            .web
            .external_url
    };
    assert_eq!(
        url("https://leaks.example.org/").as_deref(),
        Some("https://leaks.example.org")
    );
    assert_eq!(url("http://h:1/a/").as_deref(), Some("http://h:1/a"));
    check(
        "web: { external_url: \"https://u:p@h/\" }\n",
        expect!["line 4: web.external_url: credentials do not belong into a URL"],
    );
}

#[test]
fn the_errors_of_a_file_name_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.yml");
    let missing = Config::load(&path).expect_err("no file");
    assert!(missing.to_string().ends_with("agent.yml cannot be read"));
    assert!(std::error::Error::source(&missing).is_some());
    std::fs::write(&path, "scrape_configs: []\nx: 1\n").expect("written");
    let invalid = Config::load(&path).expect_err("mistakes").to_string();
    assert!(invalid.contains("agent.yml has 2 mistakes:\n"), "{invalid}");
    std::fs::write(&path, LEAST).expect("written");
    let expected = Config {
        file: Some(path.clone()),
        ..parse(LEAST)
    };
    assert_eq!(Config::load(&path).expect("no mistake"), expected);
}

#[test]
fn of_a_history_more_alerts_may_live_unless_the_file_says_how_many() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.yml");
    let alerts = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let config = Config::of_history(Some(&path)).expect("no mistake");
        config.limits.alerts
    };
    assert_eq!(Config::for_history().limits.alerts, 100_000);
    assert_eq!(alerts("limits: { series: 5 }\n"), 100_000);
    assert_eq!(alerts("limits: { alerts: 7 }\n"), 7);
}
