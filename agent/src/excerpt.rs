//! Texts of targets, fit to be shown: bounded, on one line, and without anything that a terminal or a reader could take
//! for more than text (control characters, marks that turn the direction of writing).

/// The beginning of a text, of so many characters before escaping.
pub(crate) fn excerpt(text: &str, characters: usize) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        match character {
            _ if index == characters => {
                shown.push('…');
                break;
            }
            '"' | '\'' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// The beginning of bytes that may not be UTF-8.
pub(crate) fn excerpt_of_bytes(bytes: &[u8], characters: usize) -> String {
    // Enough bytes for the characters that are shown; one that is cut at the end is not among them.
    let window = &bytes[..bytes.len().min(4 * characters + 4)];
    excerpt(&String::from_utf8_lossy(window), characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(excerpt(text, 8), expected);
        assert_eq!(excerpt_of_bytes(text.as_bytes(), 8), expected);
    }

    #[test]
    fn what_is_shown_is_bounded_and_plain() {
        check("", "");
        check("a\"b'c\\", "a\"b'c\\");
        check("ü→😀", "ü→😀");
        check("12345678", "12345678");
        check("123456789", "12345678…");
        check("a\nb\u{1b}[31m", "a\\nb\\u{1b}[31m");
        check("\u{202e}\0", "\\u{202e}\\0");
        check("😀😀😀😀😀😀😀😀😀", "😀😀😀😀😀😀😀😀…");
        assert_eq!(excerpt_of_bytes(b"a\xff\xfe", 8), "a\u{fffd}\u{fffd}");
    }
}
