//! Parts of a target: what one exporter tells of many, each of which lives, leaks and ends by itself.
//!
//! A kubelet tells of every container of its node, and kube-state-metrics of every container of a cluster: to judge them
//! as one process would mix their lives, their load and their limits. Each is a target of its own, named by the labels that
//! tell it from the others, so that what two exporters say of one container meets in it: the level of one, the limit of
//! the other. What names the exporter, or the run of the container, is left out.

use std::sync::Arc;

use crate::labels::Labels;
use crate::workload::INSTANCE_LABELS;

/// Labels of a target that name the exporter, not what it tells of.
const EXPORTER_LABELS: [&str; 5] = ["app", "job", "metrics_path", "namespace", "service"];

/// Labels of a series that change when the part is started anew.
const RUN_LABELS: [&str; 4] = ["id", "image", "name", "uid"];

/// The container that holds a pod's network in place and never does anything.
const PAUSE: &str = "POD";

/// The label that names what a pod belongs to, as the recording rules of kubernetes-mixin do.
const WORKLOAD: &str = "workload";

/// Letters and digits of the names that Kubernetes makes up: no vowels, and none that look alike
/// (k8s.io/apimachinery, `rand.String`).
const MADE_UP: &str = "bcdfghjklmnpqrstvwxz2456789";

/// What a series is of, where that is a part of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The part's labels, as those of a target.
    pub(crate) target: Labels,
    /// The series' labels, less what names the exporter or the run.
    pub(crate) series: Labels,
}

impl Part {
    /// `told_by`: the labels that tell a part; `None` where the series does not have all of them.
    pub(super) fn of(told_by: &[Arc<str>], series: &Labels, target: &Labels) -> Option<Self> {
        let is_told = |name: &str| told_by.iter().any(|own| **own == *name);
        if !told_by.iter().all(|name| series.contains(name))
            || series.get("container") == Some(PAUSE)
        {
            return None;
        }
        let shared = target.retain(|name| {
            !name.starts_with("__")
                && !INSTANCE_LABELS.contains(&name)
                && !EXPORTER_LABELS.contains(&name)
        });
        let mut part = series.retain(is_told).or(&shared);
        if let Some(pod) = series.get("pod")
            && !part.contains(WORKLOAD)
        {
            part = part.with(WORKLOAD, owner_of(pod));
        }
        let own = series.retain(|name| {
            let names_run = RUN_LABELS.contains(&name) || INSTANCE_LABELS.contains(&name);
            let names_exporter = EXPORTER_LABELS.contains(&name) || target.contains(name);
            !(names_run || names_exporter)
        });
        Some(Self {
            series: part.or(&own),
            target: part,
        })
    }
}

/// What a pod belongs to, by its name: that of its Deployment, StatefulSet, DaemonSet or Job, or its own.
fn owner_of(pod: &str) -> &str {
    let Some((rest, last)) = pod.rsplit_once('-') else {
        return pod;
    };
    if rest.is_empty() {
        return pod;
    }
    let is_made_up = |text: &str| !text.is_empty() && text.chars().all(|c| MADE_UP.contains(c));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if last.len() == 5 && is_made_up(last) {
        // Under it a ReplicaSet's hash of its template, or the minute of a CronJob's run.
        return match rest.rsplit_once('-') {
            Some((owner, hash))
                if !owner.is_empty()
                    && ((is_made_up(hash) && (6..=10).contains(&hash.len()))
                        || (is_number(hash) && hash.len() >= 8)) =>
            {
                owner
            }
            _ => rest,
        };
    }
    if is_number(last) { rest } else { pod }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn told_by() -> [Arc<str>; 3] {
        ["namespace", "pod", "container"].map(Arc::from)
    }

    #[test]
    fn what_two_exporters_say_of_a_container_meets() {
        let cadvisor = labels(&[
            ("job", "kubelet"),
            ("instance", "10.0.0.4:10250"),
            ("node", "n4"),
            ("namespace", "kube-system"),
            ("metrics_path", "/metrics/cadvisor"),
            ("cluster", "eu-1"),
        ]);
        let level = labels(&[
            ("job", "kubelet"),
            ("instance", "10.0.0.4:10250"),
            ("node", "n4"),
            ("metrics_path", "/metrics/cadvisor"),
            ("cluster", "eu-1"),
            ("namespace", "shop"),
            ("pod", "front-7d9c5b6f4-x2kqp"),
            ("container", "app"),
            ("id", "/kubepods/c0ffee"),
            ("image", "shop/front:12"),
            ("name", "c0ffee"),
        ]);
        let level = Part::of(&told_by(), &level, &cadvisor).expect("a container");
        assert_eq!(
            level.target.to_string(),
            r#"{cluster="eu-1",container="app",namespace="shop",pod="front-7d9c5b6f4-x2kqp",workload="front"}"#
        );
        assert_eq!(level.series, level.target);

        let state = labels(&[
            ("job", "kube-state-metrics"),
            ("instance", "10.0.0.9:8080"),
            ("namespace", "monitoring"),
            ("cluster", "eu-1"),
        ]);
        let limit = labels(&[
            ("job", "kube-state-metrics"),
            ("instance", "10.0.0.9:8080"),
            ("cluster", "eu-1"),
            ("namespace", "shop"),
            ("pod", "front-7d9c5b6f4-x2kqp"),
            ("container", "app"),
            ("node", "n4"),
            ("uid", "77"),
            ("resource", "memory"),
            ("unit", "byte"),
        ]);
        let limit = Part::of(&told_by(), &limit, &state).expect("a container");
        assert_eq!(limit.target, level.target);
        assert!(limit.series.agrees_with(&level.series), "{}", limit.series);
    }

    #[test]
    fn what_lacks_a_label_is_no_part() {
        for series in [
            labels(&[("namespace", "shop"), ("pod", "front-0")]),
            labels(&[
                ("namespace", "shop"),
                ("pod", "front-0"),
                ("container", "POD"),
            ]),
            Labels::empty(),
        ] {
            assert_eq!(Part::of(&told_by(), &series, &Labels::empty()), None);
        }
    }

    #[test]
    fn a_pod_is_named_after_what_it_belongs_to() {
        for (pod, owner) in [
            ("front-7d9c5b6f4-x2kqp", "front"),
            ("front-canary-7d9c5b6f4-x2kqp", "front-canary"),
            ("postgres-0", "postgres"),
            ("postgres-main-12", "postgres-main"),
            ("node-exporter-zx8lq", "node-exporter"),
            ("backup-28401120-bq7wz", "backup"),
            ("backup-once-bq7wz", "backup-once"),
            ("lonely", "lonely"),
            ("debug-shell", "debug-shell"),
            ("-x2kqp", "-x2kqp"),
            ("", ""),
        ] {
            assert_eq!(owner_of(pod), owner, "{pod}");
        }
    }
}
