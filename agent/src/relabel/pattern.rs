//! Regular expressions in Go's RE2 syntax, whole values only.
//!
//! The regex crate is of the same family (no back-references, time linear in the text, the leftmost alternative wins),
//! but reads some of the same text in another way. So a pattern is rewritten before it is compiled: `\d`, `\w`, `\s`
//! and `\b` mean ASCII, `\Q…\E` quotes, `\<` is a less-than sign, `{` that is no repetition is a brace, and inside a
//! class `[`, `&&`, `--` and `~~` are plain characters; what Go refuses (`a**`, `(?x)`, a repetition above 1000) is
//! refused. What still differs: an octal escape must have three digits (`\012`), and a few more names of Unicode
//! classes are known than Go has.
//!
//! Source: Go, `regexp/syntax`; <https://github.com/google/re2/wiki/Syntax>.

use regex::{Captures, Regex, RegexBuilder};

/// Bytes that a compiled expression may take: a thousand times what the field's largest take.
const MAX_COMPILED_BYTES: usize = 4 << 20;
/// As Go.
const MAX_REPETITION: u32 = 1000;

/// A regular expression that matches whole texts.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

/// Why a text is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The syntax is wrong.
    #[error("`{text}` is no regular expression: {reason}")]
    Syntax {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Compiled, it would be too large.
    #[error(
        "the regular expression is too large: compiled, it takes more than {MAX_COMPILED_BYTES} bytes"
    )]
    TooLarge,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let syntax = |reason: String| PatternError::Syntax {
            text: text.to_owned(),
            reason,
        };
        let translated = Translation::of(text).map_err(|reason| syntax(reason.to_owned()))?;
        // By itself first: a group that is closed too often must not close the one around it.
        let alone = compiled(&format!("(?s){translated}"));
        let regex = alone.and_then(|_| compiled(&format!("^(?s:{translated})$")));
        let regex = regex.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            error => syntax(last_line(&error)),
        })?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }
}

fn compiled(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .octal(true)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .build()
}

/// The crate's verdict, without its picture of a text that is not the operator's own.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Go's syntax on its way to the regex crate's.
struct Translation<'t> {
    rest: &'t str,
    out: String,
    /// Whether what was read last is a repetition, which cannot be repeated.
    repeated: bool,
}

impl<'t> Translation<'t> {
    fn of(text: &'t str) -> Result<String, &'static str> {
        let mut translation = Self {
            rest: text,
            out: String::with_capacity(text.len() + 8),
            repeated: false,
        };
        while let Some(letter) = translation.next() {
            translation.outside(letter)?;
        }
        Ok(translation.out)
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(letter)
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }

    /// A character outside a class.
    fn outside(&mut self, letter: char) -> Result<(), &'static str> {
        let was_repeated = std::mem::take(&mut self.repeated);
        match letter {
            '*' | '+' | '?' => self.repetition(&letter.to_string(), was_repeated)?,
            '{' => match self.counted()? {
                Some(text) => self.repetition(&text, was_repeated)?,
                None => self.out.push_str("\\{"),
            },
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' if self.rest.starts_with('?') => self.flags()?,
            _ => self.out.push(letter),
        }
        Ok(())
    }

    fn repetition(&mut self, text: &str, was_repeated: bool) -> Result<(), &'static str> {
        if was_repeated {
            return Err("a repetition cannot be repeated");
        }
        self.out.push_str(text);
        if self.skip("?") {
            self.out.push('?');
        }
        self.repeated = true;
        Ok(())
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`; any other brace is a character.
    fn counted(&mut self) -> Result<Option<String>, &'static str> {
        let Some((inner, rest)) = self.rest.split_once('}') else {
            return Ok(None);
        };
        let is_count = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && (text == "0" || !text.starts_with('0'))
        };
        let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
        if !is_count(least) || !(most.is_empty() || is_count(most)) {
            return Ok(None);
        }
        for count in [least, most] {
            let count: u32 = match count {
                "" => 0,
                count => count.parse().unwrap_or(u32::MAX),
            };
            if count > MAX_REPETITION {
                return Err("a repetition count is above 1000");
            }
        }
        self.rest = rest;
        Ok(Some(format!("{{{inner}}}")))
    }

    /// What follows `(?`: only Go's flags, groups and names go through.
    fn flags(&mut self) -> Result<(), &'static str> {
        let inner = &self.rest[1..];
        if inner.starts_with("P<") || inner.starts_with('<') {
            self.out.push('(');
            return Ok(());
        }
        let end = inner.find([':', ')']).ok_or("a group is not closed")?;
        if !inner[..end].chars().all(|flag| "imsU-".contains(flag)) {
            return Err("a group begins with a flag that Go does not know; it knows i, m, s and U");
        }
        self.out.push('(');
        Ok(())
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let letter = self.next().ok_or("it ends in a backslash")?;
        match letter {
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?-u:\\B)"),
            'A' | 'z' => {
                self.out.push('\\');
                self.out.push(letter);
            }
            'Q' => {
                let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.out.push_str(&regex::escape(quoted));
                self.rest = rest;
            }
            'E' => {}
            'd' | 'w' | 's' => {
                self.out.push_str(&format!("[{}]", ascii_class(letter)));
            }
            'D' | 'W' | 'S' => {
                let class = ascii_class(letter.to_ascii_lowercase());
                self.out.push_str(&format!("[^{class}]"));
            }
            _ => self.character_escape(letter)?,
        }
        Ok(())
    }

    /// An escape that means the same inside a class and outside.
    fn character_escape(&mut self, letter: char) -> Result<(), &'static str> {
        match letter {
            'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | '0'..='7' => {
                self.out.push('\\');
                self.out.push(letter);
            }
            'p' | 'P' => {
                let negated = self.skip("{^");
                let kind = if negated == (letter == 'p') { 'P' } else { 'p' };
                self.out.push('\\');
                self.out.push(kind);
                if negated {
                    self.out.push('{');
                }
            }
            letter if letter.is_ascii_punctuation() || letter.is_ascii_whitespace() => {
                self.out.push_str(&regex::escape(&letter.to_string()));
            }
            _ => return Err("it holds an escape that Go does not know"),
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), &'static str> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let letter = self.next().ok_or("a class of characters is not closed")?;
            match letter {
                ']' if !is_first => break,
                '[' if self.rest.starts_with(':') && self.rest.contains(":]") => {
                    let (name, rest) = self.rest.split_once(":]").unwrap_or_default();
                    self.out.push_str(&format!("[{name}:]"));
                    self.rest = rest;
                }
                '\\' => match self.next().ok_or("it ends in a backslash")? {
                    small @ ('d' | 'w' | 's') => self.out.push_str(ascii_class(small)),
                    large @ ('D' | 'W' | 'S') => {
                        let class = ascii_class(large.to_ascii_lowercase());
                        self.out.push_str(&format!("[^{class}]"));
                    }
                    other => self.character_escape(other)?,
                },
                ']' | '[' | '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(letter);
                }
                // A range, unless it stands at either end, where it is itself.
                '-' if is_first || self.rest.starts_with(']') => self.out.push_str("\\-"),
                _ => self.out.push(letter),
            }
            is_first = false;
        }
        self.out.push(']');
        Ok(())
    }
}

/// What a Perl class holds in Go, as the inside of a class.
fn ascii_class(letter: char) -> &'static str {
    match letter {
        'd' => "0-9",
        's' => "\\t\\n\\x0C\\r ",
        _ => "0-9A-Za-z_",
    }
}
