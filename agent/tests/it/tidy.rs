//! Guards the invariants that ARCHITECTURE.md lists, by reading the project's own files.
//!
//! A lint sees one package and one expression; these rules are about which file may do what, and about what the
//! documents promise. Each rule is a function from files to findings, so that its own test can show it a tree that
//! breaks it. A file that a rule names and that has gone missing is a finding: a rule must not fall asleep at a rename.

mod code;
mod documents;
mod files;
mod metric_names;
mod purity;
mod tree;
mod words;

use files::Tree;

/// Runs one rule on the project and shows everything it found.
#[track_caller]
fn check(rule: fn(&Tree) -> Vec<String>) {
    let findings = rule(&Tree::of_project());
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

/// A rule must find `expected` (the beginning of one finding) in a small tree, and nothing in the tree `clean`.
#[track_caller]
fn check_finds(rule: fn(&Tree) -> Vec<String>, broken: Tree, expected: &str, clean: Tree) {
    let findings = rule(&broken);
    assert!(
        findings.iter().any(|finding| finding.starts_with(expected)),
        "{expected:?} is not among {findings:?}"
    );
    assert_eq!(rule(&clean), Vec::<String>::new(), "the clean tree");
}

#[test]
fn metric_name_occurs_in_one_file() {
    check(metric_names::one_file_each);
}

#[test]
fn task_is_spawned_through_the_ledger_only() {
    check(code::spawns);
}

#[test]
fn clock_is_read_in_clock_rs_only() {
    check(code::clock_readings);
}

#[test]
fn channel_is_bounded() {
    check(code::unbounded_channels);
}

#[test]
fn count_changes_by_entries_only() {
    check(code::public_counting);
}

#[test]
fn pure_module_knows_no_time_network_or_runtime() {
    check(purity::impure_words);
}

#[test]
fn gateway_does_not_know_the_agent() {
    check(purity::gateway_on_agent);
}

#[test]
fn source_has_no_banned_construct() {
    check(code::banned_constructs);
}

#[test]
fn file_is_short_and_says_what_it_owns() {
    check(tree::lengths_and_module_docs);
}

#[test]
fn tree_holds_what_the_design_lists() {
    check(tree::layout);
}

#[test]
fn dependency_has_its_reason() {
    check(tree::dependency_reasons);
}

#[test]
fn document_keeps_its_promises() {
    check(documents::promises);
}

#[test]
fn alert_has_its_runbook() {
    check(documents::runbooks);
}

#[test]
fn text_names_no_workplace() {
    check(words::workplace);
}
