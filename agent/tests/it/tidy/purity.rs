//! Modules that decide know no time, network or runtime; the gateway does not know that anyone watches it.

use super::files::{Tree, has_word};

/// Modules (paths without `.rs`) or folders (ending in `/`) that are values in, values out.
const PURE: [&str; 15] = [
    "agent/detect/src/",
    "agent/src/alert",
    "agent/src/audit/coroner",
    "agent/src/audit/grading",
    "agent/src/audit/trail",
    "agent/src/catalogue",
    "agent/src/diagnosis",
    "agent/src/engine",
    "agent/src/exposition",
    "agent/src/impact",
    "agent/src/incident",
    "agent/src/labels",
    "agent/src/plot",
    "agent/src/workload",
    "instrumented-gateway/src/route",
];

pub(super) fn impure_words(tree: &Tree) -> Vec<String> {
    let words = [
        "tokio",
        "tracing",
        "Instant",
        "SystemTime",
        "reqwest",
        "hyper",
        "fastrand",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
    ];
    let path = |module: &str| {
        if module.ends_with('/') {
            module.to_owned()
        } else {
            format!("{module}.rs")
        }
    };
    let mut findings = tree.missing(PURE.map(path).iter().map(String::as_str));
    for module in PURE {
        let in_module = |file: &&super::files::File| {
            if module.ends_with('/') {
                file.path.starts_with(module)
            } else {
                file.is_in(module)
            }
        };
        for file in tree.sources().filter(in_module) {
            for (number, line) in file.code() {
                if let Some(word) = words.iter().find(|word| has_word(line, word)) {
                    findings.push(file.finding(
                        number,
                        &format!("{word}: this module is pure, `now` is an argument"),
                    ));
                }
            }
        }
    }
    findings
}

pub(super) fn gateway_on_agent(tree: &Tree) -> Vec<String> {
    let mut findings = tree.missing(["instrumented-gateway/"]);
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.starts_with("instrumented-gateway/"))
    {
        for (number, line) in file.text.lines().enumerate() {
            let words = [
                "leak-agent",
                "leak_agent",
                "leak-detect",
                "leak_detect",
                "the agent",
            ];
            if let Some(word) = words
                .iter()
                .find(|word| line.to_lowercase().contains(*word))
            {
                findings.push(file.finding(
                    number + 1,
                    &format!("{word}: the gateway does not know who watches it"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::check_finds;
    use super::*;

    fn pure_tree(exposition: &'static str) -> Tree {
        let mut files: Vec<(String, &str)> = PURE
            .iter()
            .map(|module| {
                if module.ends_with('/') {
                    format!("{module}lib.rs")
                } else {
                    format!("{module}.rs")
                }
            })
            .map(|path| (path, "//! No tokio here.\nuse std::fmt;\n"))
            .collect();
        files.push(("agent/src/exposition/number.rs".to_owned(), exposition));
        Tree::of(
            &files
                .iter()
                .map(|(path, text)| (path.as_str(), *text))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn time_network_and_runtime_are_found_in_a_pure_module() {
        for line in [
            "use tokio::time::Duration;",
            "let now = Instant::now();",
            "tracing::info!(\"x\");",
            "std::fs::read(path)",
        ] {
            check_finds(
                impure_words,
                pure_tree(line),
                "agent/src/exposition/number.rs:1:",
                pure_tree("let instant = 1;\n"),
            );
        }
        check_finds(
            impure_words,
            Tree::of(&[]),
            "agent/src/engine.rs: named",
            pure_tree(""),
        );
    }

    #[test]
    fn gateway_that_mentions_its_watcher_is_found() {
        let clean = || {
            Tree::of(&[(
                "instrumented-gateway/src/forward.rs",
                "request.headers().get(USER_AGENT)\n",
            )])
        };
        for line in [
            "leak-agent = { workspace = true }",
            "// so that the agent finds it",
        ] {
            let broken = Tree::of(&[("instrumented-gateway/Cargo.toml", line)]);
            check_finds(
                gateway_on_agent,
                broken,
                "instrumented-gateway/Cargo.toml:1:",
                clean(),
            );
        }
    }
}
