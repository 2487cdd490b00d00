//! Small letters and capitals, letter by letter, as Go's `strings.ToLower` and `strings.ToUpper` map them.
//!
//! Rust's own functions use Unicode's full mappings: one letter may become two and a final sigma differs. A label that
//! has been lowered by Prometheus must come out the same here, so these are the simple mappings.

pub(super) fn lowercase(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            // The one letter whose full mapping is two letters.
            '\u{130}' => 'i',
            _ => single(letter.to_lowercase()).unwrap_or(letter),
        })
        .collect()
}

pub(super) fn uppercase(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            // Greek with an iota subscript: the full mapping writes the iota beside it.
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
                shifted(letter, 8)
            }
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shifted(letter, 9),
            _ => single(letter.to_uppercase()).unwrap_or(letter),
        })
        .collect()
}

fn single(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next();
    first.filter(|_| letters.next().is_none())
}

fn shifted(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).unwrap_or(letter)
}
