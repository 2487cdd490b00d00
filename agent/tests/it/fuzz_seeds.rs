//! The seeds of the fuzzer, and what once broke a reader, through the laws that the fuzzer checks.

use std::path::Path;

use leak_agent::{exposition, history};

#[expect(
    unreachable_pub,
    reason = "the fuzzer's crate shows them to its targets"
)]
#[path = "../../fuzz/src/laws.rs"]
mod laws;

#[track_caller]
fn check(target: &str, least: usize, law: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).expect("the seeds are in the tree") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a seed");
        // Each seed, and each of its beginnings: what is cut off in the middle is what networks give.
        let step = (bytes.len() / 200).max(1);
        for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
            law(&bytes[..end]);
        }
        seeds += 1;
    }
    assert!(seeds >= least, "{seeds} seeds in {}", folder.display());
}

#[test]
fn seeds_of_the_text_format_keep_the_laws() {
    check("exposition", 15, |bytes| laws::exposition(false, bytes));
}

#[test]
fn seeds_of_openmetrics_keep_the_laws() {
    check("openmetrics", 10, |bytes| laws::exposition(true, bytes));
}

#[test]
fn seeds_of_snapshots_keep_the_laws() {
    check("snapshot", 7, laws::snapshot);
}

#[test]
fn seeds_of_histories_keep_the_laws() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check("history", 11, |bytes| laws::history(folder.path(), bytes));
}

#[test]
fn seeds_of_selectors_keep_the_laws() {
    check("selector", 5, laws::selector);
}
