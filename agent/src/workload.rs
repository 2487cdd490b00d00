//! Workloads: what stays when its processes are replaced.
//!
//! A workload is named by the labels of its targets less those that name one process or the place where it runs, so
//! that an incident and its alert keep their labels over restarts, rollouts and autoscaling. The operator can name the
//! labels instead (`workload_by`). It looks at labels only: which targets there are is the engine's business.

use std::sync::Arc;

use crate::labels::Labels;

/// Target labels that name a process or its place, not the workload.
pub const INSTANCE_LABELS: [&str; 11] = [
    "container_id",
    "endpoint",
    "host",
    "hostname",
    "instance",
    "node",
    "pod",
    "pod_ip",
    "pod_name",
    "replica",
    "uid",
];

/// The workload of a target, from the target's labels.
///
/// Labels that start with `__` never count: they are meant for the agent. With `workload_by`, the labels it names and
/// no others; without, all but [`INSTANCE_LABELS`]. Where nothing is left, `job`, so that every target has a workload.
pub fn of_target(target: &Labels, workload_by: Option<&[Arc<str>]>) -> Labels {
    let named = target.retain(|name| {
        !name.starts_with("__")
            && match workload_by {
                Some(wanted) => wanted.iter().any(|own| **own == *name),
                None => !INSTANCE_LABELS.contains(&name),
            }
    });
    if named.is_empty() {
        target.retain(|name| name == "job")
    } else {
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &[(&str, &str)], workload_by: Option<&[&str]>, expected: &str) {
        let target: Labels = target.iter().copied().collect();
        let workload_by: Option<Vec<Arc<str>>> =
            workload_by.map(|names| names.iter().map(|name| Arc::from(*name)).collect());
        assert_eq!(
            of_target(&target, workload_by.as_deref()).to_string(),
            expected
        );
    }

    #[test]
    fn what_names_a_process_or_its_place_is_left_out() {
        let pod = [
            ("job", "gateway"),
            ("namespace", "shop"),
            ("app", "front"),
            ("instance", "10.0.0.7:9901"),
            ("pod", "front-7d9c-x2k"),
            ("pod_name", "front-7d9c-x2k"),
            ("pod_ip", "10.0.0.7"),
            ("node", "n4"),
            ("host", "n4"),
            ("hostname", "n4"),
            ("container_id", "c0ffee"),
            ("uid", "77"),
            ("replica", "a"),
            ("endpoint", "metrics"),
            ("__evidence_address__", "10.0.0.7:9902"),
        ];
        check(
            &pod,
            None,
            r#"{app="front",job="gateway",namespace="shop"}"#,
        );
    }

    #[test]
    fn a_replaced_process_is_the_same_workload() {
        for instance in ["a:1", "b:1"] {
            check(
                &[("job", "gateway"), ("instance", instance)],
                None,
                r#"{job="gateway"}"#,
            );
        }
    }

    #[test]
    fn the_operator_can_name_the_labels() {
        let target = [("job", "gateway"), ("instance", "a:1"), ("zone", "b")];
        check(
            &target,
            Some(&["zone", "instance"]),
            r#"{instance="a:1",zone="b"}"#,
        );
        check(&target, Some(&["nowhere"]), r#"{job="gateway"}"#);
    }
}
