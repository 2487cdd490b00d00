//! What a replay says of a history.

use serde_json::json;

use super::corpus::{BEGIN, Corpus, ledger_service, one_in_a_thousand};
use super::{History, parsed, text};

const TARGET: &str = "job=\"gateway\",instance=\"a:9901\"";

fn soak(leaked: impl Fn(f64) -> f64) -> History {
    let mut corpus = Corpus::default();
    ledger_service(&mut corpus, TARGET, 900, leaked);
    History::new(&corpus.openmetrics())
}

#[test]
fn a_soak_of_fifteen_minutes_fails_on_a_leak_of_one_in_a_thousand() {
    let history = soak(one_in_a_thousand);
    let output = history.replay(&["--fail-on-leak", "--verdicts", "-"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    let lines = parsed(&output.stdout);
    let first = &lines[0];
    assert_eq!(first["state"], "firing");
    assert_eq!(first["alertname"], "ResourceLeak");
    assert_eq!(
        first["labels"],
        json!({"__name__": "resource_ledger_orphaned", "job": "gateway"})
    );
    assert_eq!(first["instances"], json!(["a:9901"]));
    assert_eq!(first["cause"], "unclosed_bodies");
    assert_eq!(first["ended"], json!(null));
    // The first entry leaks after 20 s; three scrapes convict, and the next evaluation tells.
    let at = first["at"].as_f64().unwrap() - BEGIN;
    assert!((25.0..=60.0).contains(&at), "{at}");
    assert_eq!(
        at % 15.0,
        10.0,
        "evaluations are at whole multiples of their interval"
    );
    assert!(told.contains("fired: ResourceLeak"), "{told}");
    assert!(told.contains("job=\"gateway\""), "{told}");
}

#[test]
fn a_healthy_soak_passes() {
    let output = soak(|_| 0.0).replay(&["--fail-on-leak"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.starts_with("Nothing would have fired."), "{told}");
    assert!(
        told.contains("divided by 64 (3 series, those judged here, rounded up)"),
        "{told}"
    );
}

#[test]
fn without_the_gate_a_leak_is_a_result_like_any_other() {
    let output = soak(one_in_a_thousand).replay(&[]);
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stdout);
    for expected in [
        "workload",
        "{job=\"gateway\"}",
        "resource_ledger_orphaned",
        "unclosed_bodies",
        "2023-11-14 22:13",
        "an hour",
        "1 incident would have been told",
        "6 series of 1 target",
    ] {
        assert!(
            told.contains(expected),
            "{expected:?} is missing from\n{told}"
        );
    }
}

#[test]
fn a_released_leak_is_resolved_and_says_how() {
    let history = soak(|passed| {
        if passed < 400.0 {
            one_in_a_thousand(passed)
        } else {
            0.0
        }
    });
    let lines = parsed(&history.verdicts(&[]));
    let last = lines.last().expect("lines");
    assert_eq!(last["state"], "resolved");
    assert_eq!(last["ended"], "released");
    assert_eq!(
        last["labels"], lines[0]["labels"],
        "one alert from its beginning to its end"
    );
}

#[test]
fn overrides_and_signals_of_a_configuration_apply() {
    let history = soak(one_in_a_thousand);
    history.write(
        "off.yml",
        b"overrides: [{ match: { job: gateway }, mode: \"off\" }]\n",
    );
    let output = history.replay(&["--config", "off.yml", "--fail-on-leak"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    history.write("wrong.yml", b"overrides: [{ match: {}, mode: \"off\" }]\n");
    let output = history.replay(&["--config", "wrong.yml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text(&output.stderr).contains("line 1: overrides[0].match"),
        "{}",
        text(&output.stderr)
    );
    history.write("by.yml", b"workload_by: [instance]\n");
    let lines = parsed(&history.verdicts(&["--config", "by.yml"]));
    assert_eq!(
        lines[0]["labels"],
        json!({"__name__": "resource_ledger_orphaned", "instance": "a:9901"})
    );
}

#[test]
fn a_workload_without_samples_for_two_hours_is_gone_while_others_have_them() {
    let mut corpus = Corpus::default();
    ledger_service(&mut corpus, TARGET, 900, one_in_a_thousand);
    ledger_service(
        &mut corpus,
        "job=\"other\",instance=\"b:1\"",
        3 * 3600,
        |_| 0.0,
    );
    let lines = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    let last = lines.last().expect("lines");
    assert_eq!(
        (&last["state"], &last["ended"]),
        (&json!("resolved"), &json!("gone"))
    );
    let after = last["at"].as_f64().unwrap() - BEGIN - 900.0;
    // Two hours, to the next evaluation; the alert is kept firing for no longer, since nobody is left.
    assert!((7200.0..7400.0).contains(&after), "{after}");
}

#[test]
fn a_target_that_is_seldom_measured_is_not_gone_between_two_samples() {
    let mut corpus = Corpus::default();
    for number in 0..20 {
        let target = format!("job=\"fast\",instance=\"f{number}\"");
        for step in 0..24 * 20 {
            let at = BEGIN + 180.0 * f64::from(step);
            corpus.add(&format!("process_open_fds{{{target}}}"), 30.0, at);
        }
    }
    // Every three hours, longer than a workload may be silent.
    for step in 0..=8 {
        let at = BEGIN + 3.0 * 3600.0 * f64::from(step);
        let held = f64::from(step);
        corpus.add(
            &format!("resource_ledger_orphaned{{{TARGET},resource=\"response_body\"}}"),
            held,
            at,
        );
    }
    let lines = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["state"], "firing");
}

#[test]
fn where_nothing_at_all_was_measured_nobody_is_gone() {
    let mut corpus = Corpus::default();
    ledger_service(&mut corpus, TARGET, 900, one_in_a_thousand);
    // The store slept for three hours; then it goes on.
    let pause = 3.0 * 3600.0;
    let late: Vec<String> = corpus
        .lines
        .iter()
        .map(|line| {
            let (series, at) = line.rsplit_once(' ').unwrap();
            let at: f64 = at.parse().unwrap();
            format!("{series} {:.3}", at + pause)
        })
        .collect();
    corpus.lines.extend(late);
    let lines = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    assert!(
        lines.iter().all(|line| line["ended"] != "gone"),
        "{lines:?}"
    );
}

#[test]
fn the_labels_of_a_target_are_those_of_its_up_series() {
    let mut corpus = Corpus::default();
    let target = "job=\"gateway\",instance=\"a:9901\",zone=\"z1\",team=\"t\"";
    ledger_service(&mut corpus, target, 300, one_in_a_thousand);
    let without = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    assert_eq!(
        without[0]["labels"],
        json!({"__name__": "resource_ledger_orphaned", "job": "gateway"})
    );
    for step in 0..=60 {
        corpus.add(
            &format!("up{{{target}}}"),
            1.0,
            BEGIN + f64::from(step) * 5.0,
        );
    }
    let with = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    assert_eq!(
        with[0]["labels"],
        json!({"__name__": "resource_ledger_orphaned", "job": "gateway", "zone": "z1", "team": "t"})
    );
}

#[test]
fn a_series_is_explained_and_drawn() {
    let history = soak(one_in_a_thousand);
    let selector = "resource_ledger_orphaned{job=\"gateway\"}";
    let output = history.replay(&["--explain", selector, "--svg", "plot.svg"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for expected in [
        "resource_ledger_orphaned{instance=\"a:9901\"",
        "181 samples from 2023-11-14 22:13:20",
        "leaks since",
        "not load:",
        "incident ",
        "ResourceLeak fires",
    ] {
        assert!(
            told.contains(expected),
            "{expected:?} is missing from\n{told}"
        );
    }
    let picture = std::fs::read_to_string(history.path("plot.svg")).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.contains("resource_ledger_orphaned"));

    let several = history.replay(&["--explain", "{job=\"gateway\"}", "--svg", "plot.svg"]);
    assert_eq!(several.status.code(), Some(64));
    assert!(
        text(&several.stderr).contains("--svg draws one series, and the selector meets 3"),
        "{}",
        text(&several.stderr)
    );
}

#[test]
fn numbers_that_are_no_measurements_poison_nothing() {
    let mut corpus = Corpus::default();
    ledger_service(&mut corpus, TARGET, 900, one_in_a_thousand);
    let clean = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    let account = format!(
        "{{{TARGET},resource=\"response_body\",upstream=\"content\",route=\"/content/*\"}}"
    );
    for (step, value) in ["NaN", "+Inf", "-Inf", "-5", "1e308", "5e-324"]
        .iter()
        .enumerate()
    {
        for name in ["orphaned", "open"] {
            // Between two scrapes, so that no good sample is replaced.
            let at = BEGIN + 602.5 + 5.0 * step as f64;
            corpus
                .lines
                .push(format!("resource_ledger_{name}{account} {value} {at:.3}"));
        }
    }
    let poisoned = parsed(&History::new(&corpus.openmetrics()).verdicts(&[]));
    assert_eq!(poisoned.len(), clean.len(), "{poisoned:#?}");
    for (one, other) in clean.iter().zip(&poisoned) {
        for key in ["at", "state", "labels", "cause", "onset"] {
            assert_eq!(one[key], other[key], "{key}");
        }
        assert!(
            other["growth_per_second"]
                .as_f64()
                .is_some_and(f64::is_finite),
            "{other}"
        );
    }
}
