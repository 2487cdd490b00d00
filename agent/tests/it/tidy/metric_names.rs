//! A metric's name occurs in one file of each package: renaming it, or finding who exports it, is one place.

use std::collections::{BTreeMap, BTreeSet};

use super::files::Tree;

/// Beginnings of metric names of ours, or read by us.
const PREFIXES: [&str; 5] = ["gateway_", "go_", "leak_", "process_", "resource_ledger_"];
/// Names of crates and label values that begin like a metric.
const OTHER_NAMES: [&str; 3] = ["leak_agent", "leak_detect", "resource_ledger"];

/// Where names may stand: package folder, modules (paths below it without `.rs`).
const HOMES: [(&str, &[&str]); 4] = [
    ("instrumented-gateway/ledger/src/", &["export"]),
    ("instrumented-gateway/src/", &["metrics"]),
    ("agent/detect/src/", &[]),
    ("agent/src/", &["catalogue", "telemetry"]),
];

pub(super) fn one_file_each(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (package, homes) in HOMES {
        let homes: Vec<String> = homes
            .iter()
            .map(|home| format!("{package}{home}"))
            .collect();
        let files: Vec<String> = homes.iter().map(|home| format!("{home}.rs")).collect();
        findings.extend(tree.missing(files.iter().map(String::as_str)));
        // What is read of others and what is exported are two homes: a name may stand in each, once.
        let mut places: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
        for file in tree.sources().filter(|file| file.path.starts_with(package)) {
            let home = homes.iter().find(|home| file.is_in(home));
            for (number, line) in file.code() {
                for name in metric_names(line) {
                    match home {
                        Some(home) => {
                            places.entry((home, name)).or_default().insert(&file.path);
                        }
                        None => {
                            findings.push(file.finding(
                                number,
                                &format!("{name}: metric names stand in {homes:?}"),
                            ))
                        }
                    }
                }
            }
        }
        let repeated = places.into_iter().filter(|(_, files)| files.len() > 1);
        findings.extend(repeated.map(|((_, name), files)| format!("{name}: named in {files:?}")));
    }
    findings
}

/// Metric names within the string literals of a line.
fn metric_names(line: &str) -> Vec<String> {
    let line = line.replace("\\\"", " ").replace("'\"'", " ");
    let is_name = |word: &&str| {
        PREFIXES
            .iter()
            .any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
            && !OTHER_NAMES.contains(word)
    };
    line.split('"')
        .skip(1)
        .step_by(2)
        .flat_map(|literal| {
            literal.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        })
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check_finds;
    use super::*;

    fn tree(gateway: &'static str, agent: &'static str) -> Tree {
        Tree::of(&[
            (
                "instrumented-gateway/ledger/src/export.rs",
                "const OPEN: &str = \"resource_ledger_open\";",
            ),
            (
                "instrumented-gateway/src/metrics.rs",
                "const LIMIT: &str = \"gateway_pool_limit\";",
            ),
            ("instrumented-gateway/src/pool.rs", gateway),
            (
                "agent/src/catalogue.rs",
                "const FDS: &str = \"process_open_fds\";",
            ),
            ("agent/src/telemetry.rs", agent),
        ])
    }

    #[test]
    fn name_in_another_file_is_found() {
        let clean = || {
            tree(
                "warn!(upstream = \"gateway\", \"pool is full\");",
                "\"leak_verdict\"",
            )
        };
        let broken = tree("gauge(\"gateway_pool_limit\")", "");
        check_finds(
            one_file_each,
            broken,
            "instrumented-gateway/src/pool.rs:1: gateway_pool_limit",
            clean(),
        );
        let mut broken = clean();
        broken
            .files
            .extend(Tree::of(&[("agent/src/telemetry/own.rs", "f(\"leak_verdict{{\")")]).files);
        check_finds(one_file_each, broken, "leak_verdict: named in", clean());
        check_finds(
            one_file_each,
            Tree::of(&[]),
            "agent/src/catalogue.rs: named",
            clean(),
        );
    }

    #[test]
    fn names_are_read_from_literals() {
        assert_eq!(
            metric_names(r#"f("leak_verdict{job=\"x\"}", leak_rate, "leak_agent", "go_")"#),
            ["leak_verdict"]
        );
    }
}
