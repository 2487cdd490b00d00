//! Which code may stand where: spawning, reading the clock, counting, and what stands nowhere.

use super::files::{File, Tree, has_word};

/// The one module that spawns; everyone else goes through it.
const SPAWNING: &str = "instrumented-gateway/ledger/src/task";

/// A finding for each line of code that holds one of `words`, in the files that `file` chooses.
fn lines_with(
    tree: &Tree,
    file: impl Fn(&File) -> bool,
    words: &[&str],
    what: &str,
) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.sources().filter(|chosen| file(chosen)) {
        for (number, line) in file.code() {
            if let Some(word) = words.iter().find(|word| has_word(line, word)) {
                findings.push(file.finding(number, &format!("{word}: {what}")));
            }
        }
    }
    findings
}

pub(super) fn spawns(tree: &Tree) -> Vec<String> {
    let words = [
        "tokio::spawn",
        "task::spawn",
        "thread::spawn",
        "thread::Builder",
        "JoinSet",
        "spawn_blocking",
        "spawn_local",
    ];
    let mut findings = lines_with(
        tree,
        |file| !file.is_in(SPAWNING),
        &words,
        "tasks are spawned in the ledger's task module",
    );
    findings.extend(tree.missing([format!("{SPAWNING}.rs").as_str()]));
    findings
}

pub(super) fn clock_readings(tree: &Tree) -> Vec<String> {
    let words = [
        "Instant::now",
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
        "Utc::now",
    ];
    let is_clock = |file: &File| file.path.ends_with("/src/clock.rs");
    let mut findings = lines_with(
        tree,
        |file| !is_clock(file),
        &words,
        "the clock is read in clock.rs",
    );
    findings.extend(tree.missing([
        "instrumented-gateway/ledger/src/clock.rs",
        "agent/src/clock.rs",
    ]));
    findings
}

pub(super) fn unbounded_channels(tree: &Tree) -> Vec<String> {
    let words = [
        "unbounded_channel",
        "UnboundedSender",
        "UnboundedReceiver",
        "mpsc::channel()",
    ];
    lines_with(tree, |_| true, &words, "channels are bounded")
}

/// No way to move a count by hand: not in the ledger's interface.
pub(super) fn public_counting(tree: &Tree) -> Vec<String> {
    let folder = "instrumented-gateway/ledger/src/";
    let verbs = [
        "inc",
        "dec",
        "increment",
        "decrement",
        "add",
        "sub",
        "set",
        "set_open",
        "set_count",
    ];
    let mut findings = tree.missing([folder]);
    for file in tree.sources().filter(|file| file.path.starts_with(folder)) {
        for (number, line) in file.code() {
            let name = line
                .strip_prefix("pub fn ")
                .and_then(|rest| rest.split(['(', '<']).next());
            if let Some(name) = name.filter(|name| verbs.contains(name)) {
                findings.push(file.finding(
                    number,
                    &format!("pub fn {name}: counts change by opening and dropping entries"),
                ));
            }
        }
    }
    findings
}

pub(super) fn banned_constructs(tree: &Tree) -> Vec<String> {
    // In pieces, since this file is read too.
    let banned = [
        (
            concat!("uns", "afe "),
            "no code without the compiler's proof",
        ),
        (
            concat!("#[all", "ow"),
            "an exception is #[expect(.., reason = \"...\")]",
        ),
        (
            concat!("#![all", "ow"),
            "an exception is #[expect(.., reason = \"...\")]",
        ),
        (concat!("tod", "o!("), "nothing is left to do in a commit"),
        (
            concat!("unimplem", "ented!("),
            "nothing is left to do in a commit",
        ),
    ];
    let mut findings = Vec::new();
    for file in tree.rust() {
        if file.path.ends_with("/mod.rs") {
            findings.push(file.finding(1, "a module is foo.rs beside foo/"));
        }
        for (number, line) in file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            if let Some((word, why)) = banned.iter().find(|(word, _)| line.contains(word)) {
                findings.push(file.finding(number + 1, &format!("{}: {why}", word.trim())));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::check_finds;
    use super::*;

    const TASK: (&str, &str) = (
        "instrumented-gateway/ledger/src/task.rs",
        "fn f() { tokio::spawn(x); }\n",
    );
    const CLOCK: (&str, &str) = (
        "instrumented-gateway/ledger/src/clock.rs",
        "fn f() { Instant::now(); }\n",
    );
    const AGENT_CLOCK: (&str, &str) = ("agent/src/clock.rs", "fn f() { SystemTime::now(); }\n");

    #[test]
    fn spawning_elsewhere_is_found() {
        let broken = Tree::of(&[
            TASK,
            (
                "agent/src/web.rs",
                "//! Doc.\nfn f() {\n    tokio::spawn(x);\n}\n",
            ),
        ]);
        let clean = Tree::of(&[
            TASK,
            ("agent/src/web.rs", "// tokio::spawn is not for us\n"),
            ("agent/tests/it/x.rs", "fn f() { tokio::spawn(x); }\n"),
            ("agent/src/web/tests.rs", "fn f() { tokio::spawn(x); }\n"),
        ]);
        check_finds(spawns, broken, "agent/src/web.rs:3: tokio::spawn", clean);
        check_finds(
            spawns,
            Tree::of(&[]),
            "instrumented-gateway/ledger/src/task.rs: named",
            Tree::of(&[TASK]),
        );
    }

    #[test]
    fn reading_the_clock_elsewhere_is_found() {
        let broken = Tree::of(&[
            CLOCK,
            AGENT_CLOCK,
            (
                "agent/src/engine.rs",
                "let now = std::time::Instant::now();\n",
            ),
        ]);
        check_finds(
            clock_readings,
            broken,
            "agent/src/engine.rs:1: Instant::now",
            Tree::of(&[CLOCK, AGENT_CLOCK]),
        );
        check_finds(
            clock_readings,
            Tree::of(&[CLOCK]),
            "agent/src/clock.rs: named",
            Tree::of(&[CLOCK, AGENT_CLOCK]),
        );
    }

    #[test]
    fn unbounded_channel_is_found() {
        let broken = Tree::of(&[(
            "agent/src/notify.rs",
            "let (a, b) = mpsc::unbounded_channel();\n",
        )]);
        let clean = Tree::of(&[("agent/src/notify.rs", "let (a, b) = mpsc::channel(64);\n")]);
        check_finds(
            unbounded_channels,
            broken,
            "agent/src/notify.rs:1: unbounded_channel",
            clean,
        );
    }

    #[test]
    fn counting_by_hand_is_found() {
        let broken = Tree::of(&[(
            "instrumented-gateway/ledger/src/account.rs",
            "impl A {\n    pub fn inc(&self) {}\n}\n",
        )]);
        let clean = Tree::of(&[(
            "instrumented-gateway/ledger/src/account.rs",
            "impl A {\n    pub fn increase_of(&self) {}\n}\n",
        )]);
        check_finds(
            public_counting,
            broken,
            "instrumented-gateway/ledger/src/account.rs:2: pub fn inc",
            clean,
        );
    }

    #[test]
    fn banned_constructs_are_found() {
        let clean = || Tree::of(&[("a/src/b.rs", "#[expect(x, reason = \"y\")]\nfn f() {}\n")]);
        let lines = [
            concat!("uns", "afe { f() }"),
            concat!("#[all", "ow(dead_code)]"),
            concat!("#![all", "ow(dead_code)]"),
            concat!("tod", "o!()"),
            concat!("unimplem", "ented!()"),
        ];
        for line in lines {
            check_finds(
                banned_constructs,
                Tree::of(&[("a/tests/b.rs", line)]),
                "a/tests/b.rs:1:",
                clean(),
            );
        }
        check_finds(
            banned_constructs,
            Tree::of(&[("a/src/b/mod.rs", "")]),
            "a/src/b/mod.rs:1: a module",
            clean(),
        );
    }
}
