//! The shape of the tree: what lies on the top level, how long a file is, why a dependency is there.

use std::collections::BTreeSet;

use super::files::{File, Tree};

const TOP_LEVEL: [&str; 9] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "agent",
    "dashboards",
    "instrumented-gateway",
];
const MOST_LINES: usize = 500;

pub(super) fn layout(tree: &Tree) -> Vec<String> {
    let top: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.split('/').next())
        .collect();
    let stranger = |name: &&&str| !name.starts_with('.') && !TOP_LEVEL.contains(name);
    let mut findings: Vec<String> = top
        .iter()
        .filter(stranger)
        .map(|name| format!("{name}: not a name of the top level"))
        .collect();
    findings.extend(
        TOP_LEVEL
            .iter()
            .filter(|name| !top.contains(*name))
            .map(|name| format!("{name}: missing")),
    );
    let inside = [".ci/run", ".cargo/config.toml", "dashboards/README.md"];
    findings.extend(tree.missing(inside));
    let shelves = [
        "dashboards/grafana/",
        "dashboards/prometheus/",
        "dashboards/alertmanager/",
        "dashboards/runbooks/",
    ];
    findings.extend(tree.missing(shelves));
    for file in tree.rust() {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if ["utils.rs", "util.rs", "common.rs", "types.rs", "misc.rs"].contains(&name) {
            findings.push(file.finding(1, "a module is named after what it owns"));
        }
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("src/lib.rs"))
    {
        let items = [
            "fn ",
            "pub fn ",
            "struct ",
            "pub struct ",
            "enum ",
            "pub enum ",
            "impl ",
            "impl<",
            "trait ",
            "pub trait ",
        ];
        let item = file
            .code()
            .find(|(_, line)| items.iter().any(|item| line.starts_with(item)));
        findings.extend(
            item.map(|(number, _)| file.finding(number, "lib.rs lists modules and holds no items")),
        );
        if !file.text.contains("# Layout") {
            findings.push(file.finding(1, "lib.rs opens with a Layout list"));
        }
    }
    findings
}

pub(super) fn lengths_and_module_docs(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            findings.push(file.finding(
                lines,
                &format!("more than {MOST_LINES} lines: split it by noun"),
            ));
        }
        if wants_module_doc(file)
            && !["//!", "#![doc = include_str!("]
                .iter()
                .any(|doc| file.text.starts_with(doc))
        {
            findings.push(file.finding(1, "opens with what the module owns (//!)"));
        }
    }
    findings
}

/// Tests explain themselves by their names; everything else says what it owns.
fn wants_module_doc(file: &File) -> bool {
    let is_test = file.path.ends_with("/tests.rs")
        || file.path.contains("/tests/") && file.path.contains("/src/");
    !is_test
        && (file.path.contains("src/")
            || file.path.contains("/examples/")
            || file.path.ends_with("/main.rs"))
}

pub(super) fn dependency_reasons(tree: &Tree) -> Vec<String> {
    let Some(manifest) = tree.get("Cargo.toml") else {
        return tree.missing(["Cargo.toml"]);
    };
    let mut findings = Vec::new();
    let mut dependencies = 0;
    let mut section = "";
    for (index, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[workspace.dependencies]"
            && line.contains(" = ")
            && !line.starts_with('#')
        {
            dependencies += 1;
            if !line.contains(" # ") {
                findings.push(manifest.finding(
                    index + 1,
                    "a dependency has its reason at the end of its line",
                ));
            }
        }
    }
    if dependencies == 0 {
        findings.push(manifest.finding(1, "no [workspace.dependencies] found"));
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
    {
        for (index, line) in file.text.lines().enumerate() {
            if line.starts_with(|c: char| c.is_ascii_lowercase())
                && line.contains("version = \"")
                && line.contains('{')
            {
                findings.push(file.finding(
                    index + 1,
                    "versions stand in the workspace's manifest, with their reason",
                ));
            }
        }
        let features = file
            .text
            .split("[features]")
            .nth(1)
            .and_then(|rest| rest.split("\n[").next())
            .unwrap_or_default();
        let names = features
            .lines()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'));
        let strangers = names.filter(|line| {
            !(file.path == "instrumented-gateway/Cargo.toml" && line.starts_with("console = "))
        });
        findings.extend(strangers.map(|line| {
            format!(
                "{}: {line}: the one cargo feature is the gateway's console",
                file.path
            )
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::check_finds;
    use super::*;

    fn full(extra: &[(&str, &str)]) -> Tree {
        let mut files = vec![
            ("ARCHITECTURE.md", ""),
            ("CHANGELOG.md", ""),
            ("Cargo.lock", ""),
            (
                "Cargo.toml",
                "[workspace.dependencies]\nbytes = \"1\" # buffers\n",
            ),
            ("LICENSE", ""),
            ("README.md", ""),
            ("agent/src/lib.rs", "//! # Layout\npub mod x;\n"),
            ("dashboards/README.md", ""),
            ("dashboards/grafana/a.json", ""),
            ("dashboards/prometheus/a.yml", ""),
            ("dashboards/alertmanager/a.yml", ""),
            ("dashboards/runbooks/A.md", ""),
            (
                "instrumented-gateway/Cargo.toml",
                "[features]\nconsole = []\n",
            ),
            (".ci/run", ""),
            (".cargo/config.toml", ""),
        ];
        files.extend(extra);
        Tree::of(&files)
    }

    #[test]
    fn strangers_in_the_tree_are_found() {
        check_finds(
            layout,
            full(&[("NOTES.md", "")]),
            "NOTES.md: not a name",
            full(&[(".gitignore", "")]),
        );
        check_finds(
            layout,
            full(&[("agent/src/utils.rs", "")]),
            "agent/src/utils.rs:1: a module",
            full(&[]),
        );
        check_finds(
            layout,
            full(&[("x/src/lib.rs", "//! # Layout\npub fn f() {}\n")]),
            "x/src/lib.rs:2: lib.rs",
            full(&[]),
        );
        check_finds(
            layout,
            full(&[("x/src/lib.rs", "//! Doc.\n")]),
            "x/src/lib.rs:1: lib.rs opens",
            full(&[]),
        );
        check_finds(layout, Tree::of(&[]), "LICENSE: missing", full(&[]));
    }

    #[test]
    fn long_and_silent_files_are_found() {
        let long = format!("//! Doc.\n{}", "\n".repeat(MOST_LINES));
        let clean = || {
            Tree::of(&[
                ("a/src/b.rs", "//! Doc.\n"),
                ("a/src/b/tests.rs", "use x;\n"),
            ])
        };
        check_finds(
            lengths_and_module_docs,
            Tree::of(&[("a/src/b.rs", &long)]),
            "a/src/b.rs:501: more",
            clean(),
        );
        check_finds(
            lengths_and_module_docs,
            Tree::of(&[("a/src/b.rs", "use x;\n")]),
            "a/src/b.rs:1: opens",
            clean(),
        );
    }

    #[test]
    fn dependency_without_reason_is_found() {
        let broken = Tree::of(&[("Cargo.toml", "[workspace.dependencies]\nbytes = \"1\"\n")]);
        check_finds(
            dependency_reasons,
            broken,
            "Cargo.toml:2: a dependency",
            full(&[]),
        );
        let own_version = full(&[(
            "agent/Cargo.toml",
            "[dependencies]\nx = { version = \"1\" }\n",
        )]);
        check_finds(
            dependency_reasons,
            own_version,
            "agent/Cargo.toml:2: versions",
            full(&[]),
        );
        let feature = full(&[(
            "agent/Cargo.toml",
            "[features]\nfast = []\n\n[dependencies]\n",
        )]);
        check_finds(
            dependency_reasons,
            feature,
            "agent/Cargo.toml: fast = []: the one",
            full(&[]),
        );
    }
}
