//! Shards: which of several agents watches a workload.
//!
//! A workload is watched whole by one agent, because its instances and lives are judged together. Which one is told by
//! the workload's labels alone: every agent finds it by itself, and when their number grows from n to n + 1 only one
//! workload in n + 1 moves, each to the new agent. What is joined from another job (a limit, say) is found only where
//! both jobs make one workload; `workload_by` says what makes one.
//!
//! Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014).

use std::fmt;
use std::str::FromStr;

use crate::labels::Labels;

/// One of several agents that share what is to be watched: `2/5` is the second of five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    index: u32,
    of: u32,
}

/// The most agents that may share.
const MOST: u32 = 1024;

/// Why a text is no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// It is not two numbers.
    #[error("`{0}` is not i/n, such as 2/5 for the second of five agents")]
    Shape(String),
    /// There are no so many agents, or too many.
    #[error("there are 1 to {MOST} shards, not {0}")]
    Count(u64),
    /// There is no such agent.
    #[error(
        "shards are counted from 1: the first of {of} is 1/{of}, the last {of}/{of}, and {index}/{of} is none"
    )]
    Index {
        /// Which was asked for.
        index: u64,
        /// Of how many.
        of: u64,
    },
}

impl Shard {
    /// How many agents share.
    pub fn count(self) -> u32 {
        self.of
    }

    /// Whether this agent watches a workload.
    pub fn owns(self, workload: &Labels) -> bool {
        jump(hash(workload), self.of) + 1 == self.index
    }
}

/// One of several portions of what one agent watches, which are judged at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    /// From 0.
    pub(crate) index: u32,
    pub(crate) of: u32,
}

impl Portion {
    /// Whether a workload is of this portion. Says nothing about shards, and they nothing about it.
    pub(crate) fn holds(self, workload: &Labels) -> bool {
        jump(stirred(hash(workload).rotate_left(32)), self.of) == self.index
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let shape = || ShardError::Shape(text.to_owned());
        let (index, of) = text.split_once('/').ok_or_else(shape)?;
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (index, of) = number(index).zip(number(of)).ok_or_else(shape)?;
        let count = u32::try_from(of)
            .ok()
            .filter(|of| (1..=MOST).contains(of))
            .ok_or(ShardError::Count(of))?;
        match u32::try_from(index) {
            Ok(index) if (1..=count).contains(&index) => Ok(Self { index, of: count }),
            _ => Err(ShardError::Index { index, of }),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// The same on every machine and in every release: FNV-1a over the labels, stirred, for FNV alone leaves the last bytes
/// in few bits.
fn hash(workload: &Labels) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |text: &str| {
        // A byte that stands in no UTF-8 ends each text.
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (name, value) in workload.iter() {
        feed(name);
        feed(value);
    }
    stirred(hash)
}

/// MurmurHash3's finalizer.
fn stirred(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The bucket of a key, from 0.
fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < u64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(number: usize) -> Labels {
        let namespace = format!("team-{}", number % 7);
        let job = format!("service-{number}");
        [("job", &*job), ("namespace", &*namespace)]
            .into_iter()
            .collect()
    }

    fn owner(workload: &Labels, of: u32) -> u32 {
        let owners: Vec<u32> = (1..=of)
            .filter(|index| Shard { index: *index, of }.owns(workload))
            .collect();
        assert_eq!(owners.len(), 1, "everything is watched, and once");
        owners[0]
    }

    #[test]
    fn work_is_spread_evenly() {
        for of in [1, 2, 5, 16] {
            let mut counts = vec![0_usize; of as usize];
            for number in 0..4000 {
                counts[owner(&workload(number), of) as usize - 1] += 1;
            }
            let fair = 4000 / of as usize;
            assert!(
                counts.iter().all(|own| own.abs_diff(fair) < fair / 4),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn little_moves_when_an_agent_joins_and_only_to_it() {
        for of in [1, 2, 5, 16] {
            let mut moved = 0;
            for number in 0..4000 {
                let workload = workload(number);
                let (before, after) = (owner(&workload, of), owner(&workload, of + 1));
                if before != after {
                    assert_eq!(after, of + 1);
                    moved += 1;
                }
            }
            let fair = 4000 / (of as usize + 1);
            assert!(moved < fair + fair / 4, "{moved} of 4000 from {of}");
        }
    }

    #[test]
    fn portions_of_a_shard_are_even() {
        let shard = Shard { index: 2, of: 4 };
        let mut counts = [0_usize; 4];
        for number in 0..8000 {
            let workload = workload(number);
            let holding = (0..4).filter(|index| {
                let portion = Portion {
                    index: *index,
                    of: 4,
                };
                portion.holds(&workload)
            });
            let holding: Vec<u32> = holding.collect();
            assert_eq!(holding.len(), 1, "everything is judged, and once");
            if shard.owns(&workload) {
                counts[holding[0] as usize] += 1;
            }
        }
        assert!(
            counts.iter().all(|own| (400..600).contains(own)),
            "{counts:?}"
        );
    }

    #[test]
    fn owners_never_change_from_release_to_release() {
        let owners: Vec<u32> = (0..12).map(|number| owner(&workload(number), 5)).collect();
        expect_test::expect![[r#"[4, 4, 5, 5, 3, 5, 1, 2, 2, 1, 1, 5]"#]]
            .assert_eq(&format!("{owners:?}"));
    }

    #[test]
    fn what_is_no_shard_is_refused_in_words() {
        for (text, expected) in [
            ("2/5", "2/5"),
            ("1/1", "1/1"),
            (
                "0/5",
                "shards are counted from 1: the first of 5 is 1/5, the last 5/5, and 0/5 is none",
            ),
            (
                "6/5",
                "shards are counted from 1: the first of 5 is 1/5, the last 5/5, and 6/5 is none",
            ),
            ("1/0", "there are 1 to 1024 shards, not 0"),
            ("1/9999", "there are 1 to 1024 shards, not 9999"),
            (
                "2",
                "`2` is not i/n, such as 2/5 for the second of five agents",
            ),
            (
                "a/b",
                "`a/b` is not i/n, such as 2/5 for the second of five agents",
            ),
            (
                "+1/5",
                "`+1/5` is not i/n, such as 2/5 for the second of five agents",
            ),
            (
                "1/",
                "`1/` is not i/n, such as 2/5 for the second of five agents",
            ),
        ] {
            let told = match text.parse::<Shard>() {
                Ok(shard) => shard.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(told, expected);
        }
    }
}
