//! Every query of the shipped dashboards and rules parses, and asks for what is exported: its metrics, with their labels.
//!
//! What is exported stands in two recordings of running processes, which `.ci/dashboards.py live` compares with what they
//! export now. Labels are those of the series, those that a scrape or a rule adds, and those that the query itself makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use promql_parser::parser::{Expr, LabelModifier, VectorSelector};
use serde_json::Value;

/// Added by the scrape, by Prometheus itself, or by the one who gathers several of either.
const ADDED: [&str; 12] = [
    "__name__",
    "alertname",
    "alertstate",
    "app",
    "cluster",
    "instance",
    "job",
    "namespace",
    "pod",
    "replica",
    "service",
    "severity",
];
/// Series of Prometheus' own, of its rules, and of the Go programs that the fallback rules watch.
const OTHERS: [&str; 5] = [
    "up",
    "ALERTS",
    "go_goroutines",
    "signal:level:min6h",
    "leak_alert:told",
];

type Exported = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the labels of each metric in an exposition.
fn recorded(text: &str, exported: &mut Exported) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, _)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = exported.entry(name.to_owned()).or_default();
        // A name ends at `="`; what stands before it begins after a comma or the brace.
        let mut rest = labels;
        while let Some((before, after)) = rest.split_once("=\"") {
            let name = before.trim_start_matches([',', ' ']);
            known.insert(name.to_owned());
            rest = end_of_value(after);
        }
    }
}

fn end_of_value(text: &str) -> &str {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return &text[at + 1..],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

fn exported() -> Exported {
    let mut all = Exported::new();
    for path in [
        "dashboards/recorded/instrumented-gateway.txt",
        "dashboards/recorded/leak-agent.txt",
    ] {
        recorded(&read(path), &mut all);
    }
    assert!(all.len() > 60, "the recordings are nearly empty");
    // What is said of a watched series has that series' own labels; the recorded leak had not all of them.
    let watched = all["leak_verdict"].clone();
    for name in ["leak_limit", "leak_seconds_to_exhaustion"] {
        all.get_mut(name)
            .unwrap_or_else(|| panic!("{name} is not recorded"))
            .extend(watched.iter().cloned());
    }
    all
}

/// What is wrong with a query, as sentences.
fn findings(query: &str, exported: &Exported) -> Vec<String> {
    match promql_parser::parser::parse(query) {
        Err(error) => vec![format!("does not parse: {error}: {query}")],
        Ok(expr) => {
            let mut reader = Reader {
                exported,
                labels: ADDED.iter().map(|name| (*name).to_owned()).collect(),
                grouped: BTreeSet::new(),
                found: Vec::new(),
            };
            reader.read(&expr);
            for name in reader.grouped.difference(&reader.labels) {
                reader.found.push(format!("nothing in it has {name}"));
            }
            reader
                .found
                .into_iter()
                .map(|what| format!("{what}: {query}"))
                .collect()
        }
    }
}

struct Reader<'e> {
    exported: &'e Exported,
    /// Labels that something in the query has.
    labels: BTreeSet<String>,
    /// Labels that it groups or matches by.
    grouped: BTreeSet<String>,
    found: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self, expr: &Expr) {
        match expr {
            Expr::Aggregate(own) => {
                self.group(own.modifier.as_ref());
                self.read(&own.expr);
                own.param.iter().for_each(|param| self.read(param));
            }
            Expr::Unary(own) => self.read(&own.expr),
            Expr::Paren(own) => self.read(&own.expr),
            Expr::Subquery(own) => self.read(&own.expr),
            Expr::Binary(own) => {
                let matching = own.modifier.as_ref().and_then(|own| own.matching.as_ref());
                self.group(matching);
                self.read(&own.lhs);
                self.read(&own.rhs);
            }
            Expr::VectorSelector(selector) => self.select(selector),
            Expr::MatrixSelector(own) => self.select(&own.vs),
            Expr::Call(call) => {
                let arguments = &call.args.args;
                if let (true, Some(Expr::StringLiteral(made))) = (
                    call.func.name == "label_replace",
                    arguments.get(1).map(|own| &**own),
                ) {
                    self.labels.insert(made.val.clone());
                }
                arguments.iter().for_each(|argument| self.read(argument));
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }

    fn group(&mut self, modifier: Option<&LabelModifier>) {
        // What is taken away may be absent; what is grouped or matched by should not be.
        if let Some(LabelModifier::Include(labels)) = modifier {
            self.grouped.extend(labels.labels.iter().cloned());
        }
    }

    fn select(&mut self, selector: &VectorSelector) {
        let Some(name) = &selector.name else {
            // Which metrics is the reader's choice; so are their labels.
            let all = self.exported.values().flatten().cloned();
            self.labels.extend(all);
            return;
        };
        match self.exported.get(name) {
            Some(labels) => {
                for matcher in &selector.matchers.matchers {
                    let own = &matcher.name;
                    if !labels.contains(own) && !ADDED.contains(&own.as_str()) {
                        self.found.push(format!("{name} has no {own}"));
                    }
                }
                self.labels.extend(labels.iter().cloned());
            }
            None if OTHERS.contains(&name.as_str()) => {
                self.labels.insert("signal".to_owned());
            }
            None => self.found.push(format!("nobody exports {name}")),
        }
    }
}

/// What Grafana puts in the place of its variables before Prometheus sees the query.
fn substituted(query: &str) -> String {
    [
        ("$__rate_interval", "20s"),
        ("$__range", "3600s"),
        ("${__to:date:seconds}", "1700000000"),
    ]
    .iter()
    .fold(query.to_owned(), |query, (name, value)| {
        query.replace(name, value)
    })
}

fn queries_of_dashboards() -> Vec<(String, String)> {
    let folder = root().join("dashboards/grafana");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder is in the tree") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable dashboard");
        let board: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
        let title = board["title"].as_str().expect("a title").to_owned();
        for panel in board["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let at = format!("{title}: {}", panel["title"].as_str().unwrap_or_default());
                all.push((at, target["expr"].as_str().expect("a query").to_owned()));
            }
        }
        for note in board["annotations"]["list"].as_array().expect("notes") {
            let at = format!("{title}: annotation {}", note["name"]);
            all.push((at, note["expr"].as_str().expect("a query").to_owned()));
        }
    }
    all
}

fn queries_of_rules() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in ["rules", "leak-rules", "fallback-rules"] {
        let text = read(&format!("dashboards/prometheus/{file}.yml"));
        let rules: Value = serde_saphyr::from_str(&text).expect("rules are YAML");
        for group in rules["groups"].as_array().expect("groups") {
            for rule in group["rules"].as_array().expect("rules") {
                let name = rule["alert"].as_str().or(rule["record"].as_str());
                let at = format!("{file}.yml: {}", name.expect("a name"));
                all.push((at, rule["expr"].as_str().expect("a query").to_owned()));
            }
        }
    }
    all
}

#[track_caller]
fn check(queries: &[(String, String)], at_least: usize) {
    assert!(queries.len() >= at_least, "only {} queries", queries.len());
    let exported = exported();
    let wrong: Vec<String> = queries
        .iter()
        .flat_map(|(at, query)| {
            findings(&substituted(query), &exported)
                .into_iter()
                .map(move |finding| format!("{at}: {finding}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dashboards_ask_for_what_is_exported() {
    check(&queries_of_dashboards(), 60);
}

#[test]
fn rules_ask_for_what_is_exported() {
    check(&queries_of_rules(), 25);
}

#[test]
fn slips_in_queries_are_found() {
    let mut exported = Exported::new();
    recorded(
        "pool{upstream=\"a \\\" b=\\\"c\\\"\",state=\"idle\"} 1\nopen 2\n",
        &mut exported,
    );
    assert!(
        findings(
            "sum by (upstream, job) (rate(pool{state=\"idle\"}[5m]))",
            &exported
        )
        .is_empty()
    );
    assert!(
        findings(
            "label_replace(open, \"kind\", \"x\", \"\", \"\") and on (kind) open",
            &exported
        )
        .is_empty()
    );
    for (slip, expected) in [
        ("sum(pool", "does not parse"),
        ("pools", "nobody exports pools"),
        ("pool{route=\"/\"}", "pool has no route"),
        ("pool{b=\"c\"}", "pool has no b"),
        ("sum by (route) (pool)", "nothing in it has route"),
        ("open and on (kind) pool", "nothing in it has kind"),
        (
            "max_over_time((rate(poll[1m]))[1h:1m])",
            "nobody exports poll",
        ),
    ] {
        let found = findings(slip, &exported);
        assert!(
            found.iter().any(|own| own.contains(expected)),
            "{slip}: {found:?}"
        );
    }
}
