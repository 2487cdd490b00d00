use super::*;
use crate::config::Config;

fn jobs(text: &str) -> Vec<Job> {
    let config = Config::parse(text);
    config.unwrap_or_else(|mistakes| panic!("{mistakes}")).jobs
}

/// An outlet that holds one group.
fn found(addresses: &[&str], labels: &[(&str, &str)]) -> Outlet {
    let (outlet, _) = Outlet::alone("file");
    let addresses = addresses.iter().map(|address| (*address).to_owned());
    outlet.found(vec![Group::of_addresses(
        addresses,
        labels.iter().copied().collect(),
    )]);
    outlet
}

const TWO_JOBS: &str = "
scrape_configs:
  - job_name: a
    static_configs: [{ targets: ['s:1', 'dropped:1'] }]
    file_sd_configs: [{ files: [none.json] }]
    relabel_configs:
      - { source_labels: [__address__], regex: 'dropped:.*', action: drop }
      - { source_labels: [__meta_team], target_label: team }
  - job_name: b
    file_sd_configs: [{ files: [none.json] }]
    relabel_configs: [{ target_label: job, replacement: a }]
";

#[test]
fn static_and_discovered_targets_are_relabelled_alike() {
    let jobs = jobs(TWO_JOBS);
    let outlet = found(
        &["d:1", "dropped:2", "s:1"],
        &[("__meta_team", "x"), ("zone", "z")],
    );
    let roll = Roll::of([(&jobs[0], vec![outlet])]);
    let labels: Vec<String> = roll
        .targets
        .iter()
        .map(|own| own.labels.to_string())
        .collect();
    assert_eq!(
        labels,
        [
            r#"{instance="s:1",job="a"}"#,
            r#"{instance="d:1",job="a",team="x",zone="z"}"#,
            r#"{instance="s:1",job="a",team="x",zone="z"}"#,
        ]
    );
    let own = &roll.jobs[0];
    assert_eq!(
        (own.active, own.dropped, own.invalid, own.ambiguous),
        (3, 2, 0, 0)
    );
    let addresses = own
        .dropped_targets
        .iter()
        .map(|own| own.discovered.get("__address__"));
    assert_eq!(
        addresses.collect::<Vec<_>>(),
        [Some("dropped:1"), Some("dropped:2")]
    );
    assert_eq!(
        own.dropped_targets[1].discovered.get("__metrics_path__"),
        Some("/metrics")
    );
}

#[test]
fn targets_that_cannot_be_told_apart_are_refused_but_for_the_first() {
    let jobs = jobs(TWO_JOBS);
    let other_path = found(&["s:1"], &[("__metrics_path__", "/other")]);
    let same = found(&["s:1", "s:1"], &[]);
    let roll = Roll::of([(&jobs[0], vec![]), (&jobs[1], vec![same, other_path])]);
    assert_eq!(roll.targets.len(), 1);
    assert_eq!((roll.jobs[1].active, roll.jobs[1].ambiguous), (0, 1));
    assert_eq!(
        roll.jobs[1].problem.as_deref(),
        Some(r#"{instance="s:1",job="a"}: it has the labels of the target at http://s:1/metrics"#)
    );
}

#[test]
fn what_can_be_no_target_is_counted_and_the_first_is_told() {
    let jobs = jobs(TWO_JOBS);
    let outlet = found(&["a/b", "", "ok:1"], &[("zone", "z")]);
    let roll = Roll::of([(&jobs[0], vec![outlet])]);
    let own = &roll.jobs[0];
    assert_eq!((own.active, own.invalid), (2, 2));
    assert_eq!(
        own.problem.as_deref(),
        Some(
            r#"{__address__="a/b",zone="z"}: `a/b` is not host:port; scheme and path belong into `scheme` and `metrics_path`"#
        )
    );
}

#[test]
fn a_job_has_a_limit() {
    let jobs = jobs(TWO_JOBS);
    let addresses: Vec<String> = (0..MAX_TARGETS_PER_JOB + 5)
        .map(|i| format!("h{i}:1"))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let roll = Roll::of([(&jobs[0], vec![found(&addresses, &[])])]);
    let own = &roll.jobs[0];
    assert_eq!((own.active, own.above_limit), (MAX_TARGETS_PER_JOB, 6));
}

#[test]
fn a_roll_is_like_another_until_something_changes() {
    let jobs = jobs(TWO_JOBS);
    let outlet = found(&["d:1"], &[]);
    let call = || Roll::of([(&jobs[0], vec![outlet.clone()])]);
    let first = call();
    assert!(call().is_like(&first));
    outlet.found(vec![Group::of_addresses(
        ["d:2".to_owned()],
        Labels::empty(),
    )]);
    assert!(!call().is_like(&first));
    let before = call();
    outlet.found(vec![Group::of_addresses(
        ["d:2".to_owned(), "dropped:3".to_owned()],
        Labels::empty(),
    )]);
    assert!(!call().is_like(&before), "another target is dropped");
}
