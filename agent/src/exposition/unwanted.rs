//! The series of a body that nobody wanted the last time, known again by a hash of their text.
//!
//! A target exposes the same lines in the same order, nearly always, and most of them are of no interest. Where a line
//! begins with the text that stood in its place, its labels need not be read again. Sixteen bytes a series are all
//! that is remembered. Two texts of one hash would hide one wanted series until the order changes: one in 2⁶⁴.

/// What is remembered of the bodies of one target.
#[derive(Debug, Default)]
pub struct Unwanted {
    marks: Vec<Mark>,
    /// How many have been met in the body that is being read.
    at: usize,
}

/// The text of one series, name and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    hash: u64,
    bytes: u32,
}

/// More series of one body than this are read whole each time.
const MAX_MARKS: usize = 100_000;

impl Unwanted {
    /// A new body begins.
    pub(super) fn begin(&mut self) {
        self.at = 0;
    }

    /// The body has ended.
    pub(super) fn end(&mut self) {
        self.marks.truncate(self.at);
        if self.marks.capacity() > 2 * self.marks.len() {
            self.marks.shrink_to_fit();
        }
    }

    /// Where the text of the series ends that stood here the last time, if the line begins with it and a blank.
    pub(super) fn known_to(&self, line: &[u8]) -> Option<usize> {
        let mark = self.marks.get(self.at)?;
        let end = mark.bytes as usize;
        let is_cut_there = matches!(line.get(end), Some(b' ' | b'\t'));
        (is_cut_there && hash(&line[..end]) == mark.hash).then_some(end)
    }

    /// The series that stood here stands here again.
    pub(super) fn meet(&mut self) {
        self.at += 1;
    }

    /// A series that nobody wanted stands here.
    pub(super) fn remember(&mut self, series: &str) {
        let Ok(bytes) = u32::try_from(series.len()) else {
            return;
        };
        let mark = Mark {
            hash: hash(series.as_bytes()),
            bytes,
        };
        match self.marks.get_mut(self.at) {
            Some(known) => *known = mark,
            None if self.at < MAX_MARKS => self.marks.push(mark),
            None => return,
        }
        self.at += 1;
    }
}

/// Eight bytes at a time, each folded in by a multiplication whose upper half counts too. Without a key: whoever chooses
/// the texts can find two of one hash.
pub(super) fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        (product as u64) ^ (product >> 64) as u64 ^ hash.rotate_left(29)
    };
    let (words, rest) = text.as_chunks::<8>();
    let begun = FACTOR.wrapping_add(text.len() as u64);
    let hash = words
        .iter()
        .fold(begun, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(hash, u64::from_le_bytes(last)), FACTOR)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_that_differ_a_little_have_other_hashes() {
        let mut seen = HashSet::new();
        for family in ["requests_total", "requests_count", "queries_bucket"] {
            for number in 0..20_000 {
                let text = format!("{family}{{shard=\"{number}\",le=\"0.{}\"}}", number % 7);
                assert!(seen.insert(hash(text.as_bytes())), "{text}");
            }
        }
        for length in 0..40 {
            assert!(seen.insert(hash(&vec![0; length])), "{length} zeros");
        }
    }

    #[test]
    fn what_stood_in_its_place_is_known_and_nothing_else() {
        let mut unwanted = Unwanted::default();
        unwanted.begin();
        unwanted.remember("a{x=\"1\"}");
        unwanted.remember("b");
        unwanted.end();
        unwanted.begin();
        assert_eq!(unwanted.known_to(b"a{x=\"1\"} 5"), Some(8));
        assert_eq!(unwanted.known_to(b"a{x=\"1\"}5"), None);
        assert_eq!(unwanted.known_to(b"a{x=\"2\"} 5"), None);
        assert_eq!(unwanted.known_to(b"b 5"), None);
        unwanted.meet();
        assert_eq!(unwanted.known_to(b"b 5"), Some(1));
        assert_eq!(unwanted.known_to(b"bc 5"), None);
        unwanted.end();
        assert_eq!(unwanted.marks.len(), 1, "what is gone is forgotten");
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut unwanted = Unwanted::default();
        unwanted.begin();
        for _ in 0..MAX_MARKS + 10 {
            unwanted.remember("a");
        }
        assert_eq!(unwanted.marks.len(), MAX_MARKS);
        assert_eq!(unwanted.known_to(b"a 1"), None);
    }
}
