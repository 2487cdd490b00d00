//! What to ask a store, and in which portions: the series of one question, the length of one stretch of time.
//!
//! A question asks for a family or several of one job or several, so that an answer stays of a size that the store can
//! compute without pain, and a URL stays one that every proxy lets through. Without a step the raw samples are asked
//! for by a range selector, since they keep the times of the scrapes. With a step each point is the last sample within
//! that step (`last_over_time`): a plain selector would repeat a value for five minutes after its target has gone, and
//! so hide gaps and invent samples.
//!
//! Source: Prometheus, "Querying basics", staleness; "HTTP API", range queries.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::labels::{Labels, write_escaped};

/// Series in one question, if they can be parted so far.
const SERIES_OF_A_QUESTION: usize = 1000;

/// Bytes of a selector: with its encoding the URL stays below the 8 KiB that proxies let through.
pub(super) const SELECTOR_BYTES: usize = 2000;

/// Points of one series in one answer; Prometheus refuses more than 11,000.
const POINTS_OF_A_SERIES: i64 = 10_000;

/// The shortest and the longest stretch of time, in milliseconds.
const STRETCH_MILLIS: (i64, i64) = (5 * 60_000, 86_400_000);

/// The stretch that is asked for first where nobody knows how often is scraped, in milliseconds.
const FIRST_STRETCH_MILLIS: i64 = 30 * 60_000;

/// One question about some series, to be asked about any stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    families: BTreeSet<Arc<str>>,
    /// Values of the label `job`; an empty one stands for series without it.
    jobs: BTreeSet<Arc<str>>,
    /// The labels by which a counter of load is summed; its sum has no other.
    pub(super) sum_by: Option<Arc<[Arc<str>]>>,
    /// More matchers of its selector.
    pub(super) matchers: Option<Arc<str>>,
}

impl Question {
    /// The family, where the answer does not name it.
    pub(super) fn nameless(&self) -> Option<&Arc<str>> {
        self.sum_by.as_ref().and(self.families.first())
    }

    /// The selector of its series.
    pub(super) fn selector(&self) -> String {
        let mut text = format!("{{{}", matcher("__name__", &self.families));
        // Writing to a String cannot fail.
        let _ = write!(text, ",{}", matcher("job", &self.jobs));
        if let Some(matchers) = &self.matchers {
            let _ = write!(text, ",{matchers}");
        }
        text.push('}');
        text
    }

    /// What to evaluate: the raw samples of a stretch at its end, or point by point.
    pub(super) fn expression(&self, step: Option<Duration>, stretch_millis: i64) -> String {
        let selector = self.selector();
        let Some(step) = step else {
            return format!("{selector}[{}]", span(stretch_millis));
        };
        // A millisecond less: older versions of Prometheus count a sample at the left end as well.
        let last = format!("last_over_time({selector}[{}])", span(millis(step) - 1));
        match &self.sum_by {
            None => last,
            Some(labels) => format!("sum by ({}) ({last})", labels.join(", ")),
        }
    }
}

pub(super) fn matcher(label: &str, values: &BTreeSet<Arc<str>>) -> String {
    let mut text = String::from(label);
    match values.first() {
        Some(only) if values.len() == 1 => {
            text.push_str("=\"");
            let _ = write_escaped(&mut text, only);
        }
        _ => {
            text.push_str("=~\"");
            let any: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            let _ = write_escaped(&mut text, &any.join("|"));
        }
    }
    text.push('"');
    text
}

/// A text as a regular expression that matches it and nothing else.
fn quoted(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\.+*?()|[]{}^$".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// A duration in Prometheus' notation.
pub(super) fn span(millis: i64) -> String {
    if millis % 1000 == 0 {
        format!("{}s", millis / 1000)
    } else {
        format!("{millis}ms")
    }
}

pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// The questions that together ask for all `series`: family, labels, and whether the family is to be summed by
/// `sum_by`, one family in a question.
pub(super) fn questions<'s>(
    series: impl IntoIterator<Item = (&'s Arc<str>, &'s Labels, bool)>,
    sum_by: &Arc<[Arc<str>]>,
) -> Vec<Question> {
    let mut plain: BTreeMap<&str, BTreeMap<&Arc<str>, usize>> = BTreeMap::new();
    let mut summed: BTreeMap<&Arc<str>, BTreeMap<&str, usize>> = BTreeMap::new();
    for (family, labels, is_summed) in series {
        let job = labels.get("job").unwrap_or_default();
        *if is_summed {
            summed.entry(family).or_default().entry(job).or_default()
        } else {
            plain.entry(job).or_default().entry(family).or_default()
        } += 1;
    }
    let mut bins = Vec::new();
    for (job, families) in plain {
        let total: usize = families.values().sum();
        if total <= SERIES_OF_A_QUESTION {
            let families = families.into_keys().cloned().collect();
            bins.push((Bin::new(families, job, None), total));
        } else {
            for (family, count) in families {
                let families = BTreeSet::from([Arc::clone(family)]);
                bins.push((Bin::new(families, job, None), count));
            }
        }
    }
    for (family, jobs) in summed {
        for (job, count) in jobs {
            let families = BTreeSet::from([Arc::clone(family)]);
            bins.push((Bin::new(families, job, Some(sum_by)), count));
        }
    }
    pack(bins)
}

/// A question in the making.
struct Bin(Question);

impl Bin {
    fn new(families: BTreeSet<Arc<str>>, job: &str, sum_by: Option<&Arc<[Arc<str>]>>) -> Self {
        Self(Question {
            families,
            jobs: BTreeSet::from([Arc::from(job)]),
            sum_by: sum_by.cloned(),
            matchers: None,
        })
    }

    /// Whether two questions asked as one ask for no more than both: all families of all jobs are wanted, but a sum is
    /// of one family, and a job that was parted by families stays so.
    fn goes_with(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.sum_by == other.sum_by
            && if one.sum_by.is_some() {
                one.families == other.families
            } else {
                one.jobs.is_disjoint(&other.jobs)
            }
    }

    fn with(&self, other: &Self) -> Self {
        Self(Question {
            families: self.0.families.union(&other.0.families).cloned().collect(),
            jobs: self.0.jobs.union(&other.0.jobs).cloned().collect(),
            sum_by: self.0.sum_by.clone(),
            matchers: None,
        })
    }
}

/// Puts small neighbours together.
fn pack(bins: Vec<(Bin, usize)>) -> Vec<Question> {
    let mut packed: Vec<(Bin, usize)> = Vec::new();
    for (bin, count) in bins {
        if let Some((last, sum)) = packed.last_mut()
            && *sum + count <= SERIES_OF_A_QUESTION
            && last.goes_with(&bin)
        {
            let both = last.with(&bin);
            if both.0.selector().len() <= SELECTOR_BYTES {
                (*last, *sum) = (both, *sum + count);
                continue;
            }
        }
        packed.push((bin, count));
    }
    packed.into_iter().map(|(bin, _)| bin.0).collect()
}

/// How long the next stretch of time is, so that all its samples fit into memory. In milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    step: Option<i64>,
    samples: usize,
    longest: i64,
    next: i64,
}

impl Pace {
    /// For so many `series`, and at most about so many `samples` in a stretch.
    pub(super) fn new(step: Option<Duration>, series: usize, samples: usize) -> Self {
        let step = step.map(millis);
        let longest = step.map_or(STRETCH_MILLIS.1, |step| {
            step.saturating_mul(POINTS_OF_A_SERIES)
        });
        let next = match step {
            None => FIRST_STRETCH_MILLIS,
            Some(step) => {
                let points = samples / series.max(1);
                step.saturating_mul(i64::try_from(points).unwrap_or(i64::MAX))
            }
        };
        let mut pace = Self {
            step,
            samples,
            longest,
            next: 0,
        };
        pace.set(next);
        pace
    }

    /// The length of the next stretch; a multiple of the step, where there is one.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// So many samples came of a stretch of so many milliseconds.
    pub(super) fn got(&mut self, samples: usize, stretch: i64) {
        // Where few came, a little more is asked for: series may appear, and scrapes come closer together.
        let factor = (0.8 * self.samples as f64 / samples.max(1) as f64).clamp(0.1, 4.0);
        self.set((stretch as f64 * factor) as i64);
    }

    fn set(&mut self, millis: i64) {
        self.next = match self.step {
            None => millis.clamp(STRETCH_MILLIS.0, STRETCH_MILLIS.1) / 1000 * 1000,
            Some(step) => (millis.clamp(step, self.longest) / step) * step,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rows: &[(&str, &str, usize, bool)]) -> Vec<(Arc<str>, Labels, bool)> {
        let mut all = Vec::new();
        for (family, job, count, summed) in rows {
            for index in 0..*count {
                let labels: Labels = [("job", (*job).to_owned()), ("instance", index.to_string())]
                    .into_iter()
                    .collect();
                all.push((Arc::from(*family), labels, *summed));
            }
        }
        all
    }

    #[track_caller]
    fn check(rows: &[(&str, &str, usize, bool)], step: Option<u64>, expected: &[&str]) {
        let by: Arc<[Arc<str>]> = ["instance", "job"].map(Arc::from).into();
        let all = series(rows);
        let borrowed = all
            .iter()
            .map(|(family, labels, sum)| (family, labels, *sum));
        let asked: Vec<String> = questions(borrowed, &by)
            .iter()
            .map(|question| question.expression(step.map(Duration::from_secs), 90_000))
            .collect();
        assert_eq!(asked, expected);
    }

    #[test]
    fn small_jobs_are_asked_for_together_and_large_ones_by_family() {
        check(
            &[
                ("fds", "a", 3, false),
                ("rss", "a", 3, false),
                ("fds", "b.c", 2, false),
                ("fds", "", 1, false),
            ],
            None,
            &[r#"{__name__=~"fds|rss",job=~"|a|b\\.c"}[90s]"#],
        );
        check(
            &[
                ("fds", "a", 700, false),
                ("rss", "a", 700, false),
                ("fds", "b", 700, false),
            ],
            None,
            &[
                r#"{__name__="fds",job="a"}[90s]"#,
                r#"{__name__="rss",job="a"}[90s]"#,
                r#"{__name__="fds",job="b"}[90s]"#,
            ],
        );
    }

    #[test]
    fn with_a_step_a_point_is_the_last_sample_within_it_and_load_is_summed() {
        check(
            &[
                ("fds", "a", 1, false),
                ("requests", "a", 5, true),
                ("requests", "b", 5, true),
            ],
            Some(60),
            &[
                r#"last_over_time({__name__="fds",job="a"}[59999ms])"#,
                r#"sum by (instance, job) (last_over_time({__name__="requests",job=~"a|b"}[59999ms]))"#,
            ],
        );
    }

    #[test]
    fn a_job_of_any_name_is_matched_as_it_is() {
        check(
            &[("fds", "a\"|b\\\n(", 1, false)],
            None,
            &["{__name__=\"fds\",job=\"a\\\"|b\\\\\\n(\"}[90s]"],
        );
        assert_eq!(quoted("a\"|b\\(.ü"), "a\"\\|b\\\\\\(\\.ü");
    }

    #[test]
    fn a_url_stays_short_however_many_jobs_there_are() {
        let names: Vec<String> = (0..300)
            .map(|index| format!("a-job-of-some-name-{index}"))
            .collect();
        let rows: Vec<(&str, &str, usize, bool)> = names
            .iter()
            .map(|name| ("fds", name.as_str(), 1, false))
            .collect();
        let all = series(&rows);
        let asked = questions(
            all.iter()
                .map(|(family, labels, sum)| (family, labels, *sum)),
            &Arc::from([]),
        );
        assert!(asked.len() > 1);
        assert!(
            asked
                .iter()
                .all(|question| question.selector().len() <= SELECTOR_BYTES)
        );
        let jobs: usize = asked.iter().map(|question| question.jobs.len()).sum();
        assert_eq!(jobs, 300);
    }

    #[test]
    fn stretches_follow_the_density_of_samples() {
        let mut pace = Pace::new(None, 100, 1_000_000);
        assert_eq!(pace.next(), 1_800_000);
        pace.got(100_000, 1_800_000);
        assert_eq!(pace.next(), 7_200_000, "no more than four times as long");
        pace.got(16_000_000, 7_200_000);
        assert_eq!(pace.next(), 720_000, "no less than a tenth");
        pace.got(usize::MAX, 720_000);
        assert_eq!(pace.next(), STRETCH_MILLIS.0);
        let minute = Some(Duration::from_secs(60));
        assert_eq!(Pace::new(minute, 1000, 1_000_000).next(), 60_000_000);
        assert_eq!(
            Pace::new(minute, 0, 1_000_000).next(),
            600_000_000,
            "10,000 points"
        );
        assert_eq!(
            Pace::new(minute, 2_000_000, 1_000_000).next(),
            60_000,
            "one point"
        );
    }
}
