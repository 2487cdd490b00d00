//! When a target is scraped: on a beat of its own within the interval.
//!
//! The offset is hashed from what identifies the target, so that a thousand targets spread over the interval, that a
//! target keeps its beat over restarts, and that two agents of a pair (whose external labels differ) do not scrape it
//! at the same moment.

use std::time::Duration;

use leak_detect::Timestamp;

use crate::clock;
use crate::discovery::Target;
use crate::labels::Labels;

/// How far the target's beat lies behind whole multiples of its interval; less than the interval.
pub(super) fn offset(target: &Target, external_labels: &Labels) -> Duration {
    let mut hash = Fnv1a::default();
    hash.labels(&target.labels);
    hash.text(&target.url);
    hash.labels(external_labels);
    let interval = target.interval.as_millis().max(1) as u64;
    Duration::from_millis(hash.mixed() % interval)
}

/// From now to the target's next beat.
pub(super) fn until_first(now: Timestamp, interval: Duration, offset: Duration) -> Duration {
    clock::until_next(now - offset, interval)
}

/// The 64-bit FNV-1a hash: the same on every machine and in every version, which `std`'s hasher does not promise.
///
/// Source: Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm" (RFC 9923).
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    fn labels(&mut self, labels: &Labels) {
        for (name, value) in labels.iter() {
            self.text(name);
            self.text(value);
        }
    }

    /// The text and a byte that no text holds, so that `ab`, `c` and `a`, `bc` differ.
    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// FNV's low bits alone would repeat for intervals that are powers of two.
    fn mixed(&self) -> u64 {
        let folded = self.0 ^ (self.0 >> 32);
        folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;

    fn targets(count: usize) -> Vec<Arc<Target>> {
        let addresses: Vec<String> = (0..count)
            .map(|i| format!("\"10.0.{}.{}:9100\"", i / 250, i % 250))
            .collect();
        Config::parse(&format!(
            "scrape_configs: [{{job_name: a, scrape_interval: 16s, static_configs: [{{targets: [{}]}}]}}]",
            addresses.join(",")
        ))
        .expect("a configuration")
        .targets()
    }

    #[test]
    fn targets_spread_over_the_interval() {
        let mut seconds = [0_usize; 16];
        for target in targets(1600) {
            seconds[offset(&target, &Labels::empty()).as_secs() as usize] += 1;
        }
        assert!(
            seconds.iter().all(|count| (60..=140).contains(count)),
            "{seconds:?}"
        );
    }

    #[test]
    fn an_offset_never_changes_and_replicas_differ() {
        let target = &targets(1)[0];
        let replica = |name: &str| Labels::empty().with("replica", name);
        assert_eq!(
            offset(target, &Labels::empty()),
            Duration::from_millis(5854)
        );
        assert_ne!(offset(target, &replica("a")), offset(target, &replica("b")));
    }

    #[test]
    fn the_first_beat_is_within_one_interval() {
        let interval = Duration::from_secs(10);
        for (now, offset, expected) in [
            (100_000, 3000, 3000),
            (103_000, 3000, 10_000),
            (104_000, 3000, 9000),
            (102_999, 3000, 1),
        ] {
            let wait = until_first(
                Timestamp::from_millis(now),
                interval,
                Duration::from_millis(offset),
            );
            assert_eq!(wait, Duration::from_millis(expected), "{now}");
        }
    }
}
