//! What the documents promise: short, true to the tree, and a page for every alert.

use std::collections::BTreeSet;

use super::files::{File, Tree};

const MOST_LINES_OF_ARCHITECTURE: usize = 150;
const TIDY: &str = "agent/tests/it/tidy.rs";
/// The two commands that README opens with.
const COMMANDS: [&str; 2] = ["cargo run --release --example demo", "bash .ci/run"];
/// Alerts that the agent sends itself.
const AGENT_ALERTS: [&str; 3] = ["ResourceLeak", "ResourceLeakUrgent", "ConnectionReuseLost"];
/// Rules with alerts of their own; those of leak-rules.yml are the agent's.
const RULES: [&str; 2] = [
    "dashboards/prometheus/rules.yml",
    "dashboards/prometheus/fallback-rules.yml",
];
/// Causes that an alert may name, each a heading of the runbook, since the alert links there.
const CAUSES: [&str; 7] = [
    "timeout_without_cancellation",
    "fan_out_without_deadline",
    "unclosed_bodies",
    "idle_connections_unbounded",
    "undrained_bodies",
    "idle_pool_too_small",
    "unknown",
];

pub(super) fn promises(tree: &Tree) -> Vec<String> {
    let mut findings = tree.missing(["ARCHITECTURE.md", "README.md", "CHANGELOG.md", TIDY]);
    let (Some(architecture), Some(readme), Some(tidy)) = (
        tree.get("ARCHITECTURE.md"),
        tree.get("README.md"),
        tree.get(TIDY),
    ) else {
        return findings;
    };
    let lines = architecture.text.lines().count();
    if lines > MOST_LINES_OF_ARCHITECTURE {
        findings.push(architecture.finding(
            lines,
            &format!("more than {MOST_LINES_OF_ARCHITECTURE} lines"),
        ));
    }
    findings.extend(
        COMMANDS
            .iter()
            .filter(|command| !readme.text.contains(*command))
            .map(|command| format!("README.md: lacks `{command}`")),
    );
    for document in [architecture, readme] {
        for path in quoted(document).into_iter().filter(|word| is_path(word)) {
            findings.extend(
                tree.missing([path])
                    .into_iter()
                    .map(|missing| format!("{}: {missing}", document.path)),
            );
        }
    }
    let named: BTreeSet<&str> = quoted(architecture)
        .into_iter()
        .filter_map(|word| word.strip_prefix("tidy::"))
        .collect();
    let there = tests(tidy);
    findings.extend(
        there
            .difference(&named)
            .map(|name| format!("ARCHITECTURE.md: does not list `tidy::{name}`")),
    );
    findings.extend(
        named
            .difference(&there)
            .map(|name| format!("ARCHITECTURE.md: `tidy::{name}` is no test")),
    );
    findings
}

/// Each alert has a page of its name, each page an alert, and each rule's link leads to its page.
pub(super) fn runbooks(tree: &Tree) -> Vec<String> {
    let mut alerts: BTreeSet<&str> = AGENT_ALERTS.into();
    let mut findings = tree.missing(RULES);
    for rules in RULES.iter().filter_map(|path| tree.get(path)) {
        for (index, rule) in rules.text.split("- alert: ").skip(1).enumerate() {
            let name = rule.lines().next().unwrap_or_default();
            alerts.insert(name);
            let link = format!("runbook_url: https://leaks.example.org/runbooks/{name}\n");
            if !rule.contains(&link) {
                let finding = format!("rule {name} does not link to its runbook");
                findings.push(rules.finding(index + 1, &finding));
            }
        }
    }
    let page = |file: &'_ File| {
        file.path
            .strip_prefix("dashboards/runbooks/")
            .and_then(|name| name.strip_suffix(".md"))
            .map(str::to_owned)
    };
    let pages: BTreeSet<String> = tree.files.iter().filter_map(page).collect();
    findings.extend(
        alerts
            .iter()
            .filter(|name| !pages.contains(**name))
            .map(|name| format!("dashboards/runbooks/{name}.md: missing")),
    );
    let strays = pages.iter().filter(|page| !alerts.contains(page.as_str()));
    findings
        .extend(strays.map(|page| format!("dashboards/runbooks/{page}.md: no alert of this name")));
    findings.extend(causes(tree));
    findings
}

/// Each cause is a word of the agent's and a heading of the runbook.
fn causes(tree: &Tree) -> Vec<String> {
    let page = "dashboards/runbooks/ResourceLeak.md";
    let text = tree.get(page).map_or("", |file| &file.text);
    let headings: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let is_said = |cause: &str| {
        let literal = format!("\"{cause}\"");
        let mut sources = tree
            .sources()
            .filter(|file| file.path.starts_with("agent/src/"));
        sources.any(|file| file.text.contains(&literal))
    };
    let mut findings = Vec::new();
    for cause in CAUSES {
        if !headings.contains(cause) {
            findings.push(format!("{page}: no heading {cause}"));
        }
        if !is_said(cause) {
            findings.push(format!("agent/src/: nobody says {cause}"));
        }
    }
    findings
}

/// Words between single backticks; fenced blocks are left out.
fn quoted(document: &File) -> Vec<&str> {
    let outside = document.text.split("```").step_by(2);
    outside
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

/// `folder/` and `folder/file.rs`, not `Result<T>` nor `/metrics`.
fn is_path(word: &str) -> bool {
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let ours = [
        "agent/",
        "instrumented-gateway/",
        "dashboards/",
        ".ci/",
        ".cargo/",
    ];
    plain && ours.iter().any(|folder| word.starts_with(folder))
}

/// Names of the functions that `#[test]` stands above.
fn tests(file: &File) -> BTreeSet<&str> {
    let after = file.text.split("#[test]\nfn ").skip(1);
    after.filter_map(|rest| rest.split('(').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check_finds;
    use super::*;

    const README: &str = "cargo run --release --example demo\nbash .ci/run\n";
    const TESTS: &str = "#[test]\nfn a_rule() {}\n";

    fn documents(architecture: &str, readme: &str) -> Tree {
        Tree::of(&[
            ("ARCHITECTURE.md", architecture),
            ("README.md", readme),
            ("CHANGELOG.md", ""),
            (TIDY, TESTS),
        ])
    }

    #[test]
    fn broken_promises_are_found() {
        let clean = || documents("`tidy::a_rule`, in `agent/tests/it/tidy.rs`", README);
        let long = format!("`tidy::a_rule`{}", "\n".repeat(151));
        check_finds(
            promises,
            documents(&long, README),
            "ARCHITECTURE.md:151: more",
            clean(),
        );
        check_finds(
            promises,
            documents("`tidy::a_rule`", "bash .ci/run"),
            "README.md: lacks `cargo run",
            clean(),
        );
        check_finds(
            promises,
            documents("", README),
            "ARCHITECTURE.md: does not list `tidy::a_rule`",
            clean(),
        );
        check_finds(
            promises,
            documents("`tidy::a_rule` `tidy::gone`", README),
            "ARCHITECTURE.md: `tidy::gone` is no",
            clean(),
        );
        let stale = "`tidy::a_rule` `agent/src/gone.rs`";
        check_finds(
            promises,
            documents(stale, README),
            "ARCHITECTURE.md: agent/src/gone.rs: named",
            clean(),
        );
        check_finds(promises, Tree::of(&[]), "README.md: named", clean());
    }

    #[test]
    fn alert_without_page_is_found() {
        let rule = "- alert: Down\n  runbook_url: https://leaks.example.org/runbooks/Down\n";
        let with = |rule: &str, page: &str| {
            let page = format!("dashboards/runbooks/{page}.md");
            let headings = CAUSES.map(|cause| format!("### {cause}\n")).concat();
            let words = CAUSES.map(|cause| format!("\"{cause}\"\n")).concat();
            Tree::of(&[
                ("dashboards/prometheus/rules.yml", rule),
                ("dashboards/prometheus/fallback-rules.yml", ""),
                (page.as_str(), ""),
                ("dashboards/runbooks/ResourceLeak.md", &headings),
                ("dashboards/runbooks/ResourceLeakUrgent.md", ""),
                ("dashboards/runbooks/ConnectionReuseLost.md", ""),
                ("agent/src/incident.rs", &words),
            ])
        };
        check_finds(
            runbooks,
            with(rule, "Up"),
            "dashboards/runbooks/Down.md: missing",
            with(rule, "Down"),
        );
        check_finds(
            runbooks,
            with(rule, "Up"),
            "dashboards/runbooks/Up.md: no alert",
            with(rule, "Down"),
        );
        check_finds(
            runbooks,
            with("- alert: Down\n", "Down"),
            "dashboards/prometheus/rules.yml:1: rule Down",
            with(rule, "Down"),
        );
        let unsaid = Tree::of(&[
            ("dashboards/prometheus/rules.yml", ""),
            ("dashboards/runbooks/ResourceLeak.md", "### unknown\n"),
        ]);
        let finding = "dashboards/runbooks/ResourceLeak.md: no heading unclosed_bodies";
        check_finds(runbooks, unsaid, finding, with(rule, "Down"));
        check_finds(
            runbooks,
            Tree::of(&[("dashboards/prometheus/rules.yml", "")]),
            "agent/src/: nobody says unknown",
            with(rule, "Down"),
        );
    }
}
