//! One line that holds a sample: where its parts are, without copying any.

use std::borrow::Cow;

use leak_detect::Timestamp;

use super::number;
use super::{Format, ParseProblem};

/// A part of a line; quoted ones without their quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    start: usize,
    end: usize,
    escaped: bool,
}

/// Name and value of one label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    pub(super) name: Text,
    pub(super) value: Text,
}

/// A sample, less its labels.
pub(super) struct Scanned<'a> {
    pub(super) series: &'a str,
    pub(super) name: Text,
    pub(super) value: f64,
    pub(super) at: Option<Timestamp>,
}

/// What is wrong, and at which byte of the line.
type Fault = (ParseProblem, usize);

impl Text {
    pub(super) fn of(self, line: &str) -> Cow<'_, str> {
        let text = &line[self.start..self.end];
        if self.escaped {
            Cow::Owned(unescape(text))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Reads a line whose first byte is no space; `labels` is emptied and filled.
pub(super) fn scan<'a>(
    line: &'a str,
    format: Format,
    labels: &mut Vec<Label>,
) -> Result<Scanned<'a>, Fault> {
    labels.clear();
    let mut cursor = Cursor {
        bytes: line.as_bytes(),
        at: 0,
    };
    let mut name = cursor.bare_name(true);
    let mut series_end = cursor.at;
    cursor.skip_blanks();
    if cursor.peek() == Some(b'{') {
        cursor.at += 1;
        name = cursor.braces(name, labels)?;
        series_end = cursor.at;
    }
    let name = name
        .or_else(|| name_among(line, labels))
        .ok_or((ParseProblem::MetricName, 0))?;
    refuse_repeated_names(line, labels)?;

    let (value, at) = measured(&mut cursor, line, format)?;
    Ok(Scanned {
        series: &line[..series_end],
        name,
        value,
        at,
    })
}

/// Whether what follows a series that is known already can be read.
pub(super) fn is_measured(rest: &str, format: Format) -> bool {
    let mut cursor = Cursor {
        bytes: rest.as_bytes(),
        at: 0,
    };
    measured(&mut cursor, rest, format).is_ok()
}

/// Value and time, up to the end of the line.
fn measured(
    cursor: &mut Cursor<'_>,
    line: &str,
    format: Format,
) -> Result<(f64, Option<Timestamp>), Fault> {
    cursor.skip_blanks();
    let at = cursor.at;
    let value = number::value(cursor.word(line)).ok_or((ParseProblem::Value, at))?;
    cursor.skip_blanks();
    let time = timestamp(cursor, line, format)?;
    if format == Format::OpenMetrics && cursor.peek() == Some(b'#') {
        exemplar(cursor, line)?;
    }
    cursor.skip_blanks();
    match cursor.peek() {
        None => Ok((value, time)),
        Some(_) if time.is_none() => Err((ParseProblem::Timestamp, cursor.at)),
        Some(_) => Err((ParseProblem::EndOfLine, cursor.at)),
    }
}

/// The label `__name__` where no name stands before the braces, as `promtool tsdb dump` writes it.
fn name_among(line: &str, labels: &mut Vec<Label>) -> Option<Text> {
    let place = labels
        .iter()
        .position(|label| label.name.of(line) == "__name__")?;
    let name = labels.remove(place).value;
    (name.start < name.end).then_some(name)
}

fn timestamp(
    cursor: &mut Cursor<'_>,
    line: &str,
    format: Format,
) -> Result<Option<Timestamp>, Fault> {
    let at = cursor.at;
    match (cursor.peek(), format) {
        (None, _) | (Some(b'#'), Format::OpenMetrics) => Ok(None),
        (Some(_), Format::Text) => match cursor.word(line).parse() {
            Ok(millis) => Ok(Some(Timestamp::from_millis(millis))),
            Err(_) => Err((ParseProblem::Timestamp, at)),
        },
        (Some(_), Format::OpenMetrics) => match number::value(cursor.word(line)) {
            Some(seconds) if seconds.is_finite() => {
                cursor.skip_blanks();
                Ok(Some(Timestamp::from_seconds(seconds)))
            }
            _ => Err((ParseProblem::Timestamp, at)),
        },
    }
}

/// `# {labels} value [seconds]`: an example of what a sample counts, of no use here.
fn exemplar(cursor: &mut Cursor<'_>, line: &str) -> Result<(), Fault> {
    let start = cursor.at;
    let fault = |_| (ParseProblem::Exemplar, start);
    let bad = (ParseProblem::Exemplar, start);
    cursor.at += 1;
    cursor.skip_blanks();
    if cursor.peek() != Some(b'{') {
        return Err(bad);
    }
    cursor.at += 1;
    let mut labels = Vec::new();
    // A stand-in for the name that an exemplar does not have.
    let name = Text {
        start: 0,
        end: 0,
        escaped: false,
    };
    cursor.braces(Some(name), &mut labels).map_err(fault)?;
    cursor.skip_blanks();
    number::value(cursor.word(line)).ok_or(bad)?;
    cursor.skip_blanks();
    if cursor.peek().is_some() {
        number::value(cursor.word(line)).ok_or(bad)?;
    }
    Ok(())
}

/// Pairs are compared one by one where they are few, as nearly always, and sorted where a hostile target sends many.
fn refuse_repeated_names(line: &str, labels: &[Label]) -> Result<(), Fault> {
    const FEW: usize = 16;
    let fault = |label: &Label| (ParseProblem::DuplicateLabel, label.name.start);
    if labels.len() <= FEW {
        for (index, label) in labels.iter().enumerate() {
            let name = label.name.of(line);
            let earlier = &labels[..index];
            if name == "__name__" || earlier.iter().any(|other| other.name.of(line) == name) {
                return Err(fault(label));
            }
        }
        return Ok(());
    }
    let mut names: Vec<(Cow<'_, str>, &Label)> = labels
        .iter()
        .map(|label| (label.name.of(line), label))
        .collect();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    let repeated = names.windows(2).find(|pair| pair[0].0 == pair[1].0);
    let reserved = names.iter().find(|(name, _)| name == "__name__");
    match repeated.map(|pair| &pair[1]).or(reserved) {
        Some((_, label)) => Err(fault(label)),
        None => Ok(()),
    }
}

/// `\\`, `\"` and `\n` stand for one character; any other backslash stands for itself, as in Prometheus.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (replaced, length) = match rest.as_bytes().get(at + 1) {
            Some(b'n') => ('\n', 2),
            Some(b'"') => ('"', 2),
            Some(b'\\') => ('\\', 2),
            _ => ('\\', 1),
        };
        plain.push(replaced);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    plain
}

/// A place in a line. All that it looks for is ASCII, so that it always stands between characters.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// The text up to the next blank; may be empty.
    fn word<'l>(&mut self, line: &'l str) -> &'l str {
        let start = self.at;
        while !matches!(self.peek(), None | Some(b' ' | b'\t')) {
            self.at += 1;
        }
        &line[start..self.at]
    }

    /// A name without quotes, with colons if it is a metric's.
    fn bare_name(&mut self, colons: bool) -> Option<Text> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            let fits = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
                b':' => colons,
                b'0'..=b'9' => self.at > start,
                _ => false,
            };
            if !fits {
                break;
            }
            self.at += 1;
        }
        (self.at > start).then_some(Text {
            start,
            end: self.at,
            escaped: false,
        })
    }

    /// The text between quotes; stands on the first of them.
    fn quoted(&mut self) -> Result<Text, Fault> {
        let opening = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
                None => return Err((ParseProblem::OpenQuote, opening)),
            }
        }
        self.at += 1;
        Ok(Text {
            start: opening + 1,
            end: self.at - 1,
            escaped,
        })
    }

    /// The labels after an opening brace, up to and with the closing one. A quoted text without a value is the name of
    /// the metric, where none stood before the braces (Prometheus 3).
    fn braces(
        &mut self,
        mut name: Option<Text>,
        labels: &mut Vec<Label>,
    ) -> Result<Option<Text>, Fault> {
        loop {
            self.skip_blanks();
            let at = self.at;
            let left = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(name);
                }
                Some(b'"') => self.quoted()?,
                _ => self.bare_name(false).ok_or((ParseProblem::LabelName, at))?,
            };
            if left.start == left.end {
                return Err((ParseProblem::EmptyName, at));
            }
            self.skip_blanks();
            let quoted = self.bytes[at] == b'"';
            match self.peek() {
                Some(b'=') => {
                    self.at += 1;
                    self.skip_blanks();
                    if self.peek() != Some(b'"') {
                        return Err((ParseProblem::Quote, self.at));
                    }
                    labels.push(Label {
                        name: left,
                        value: self.quoted()?,
                    });
                }
                _ if quoted && name.is_none() && labels.is_empty() => name = Some(left),
                _ => return Err((ParseProblem::Equals, self.at)),
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                // Prometheus reads labels without commas between them, too.
                Some(b'}' | b'"' | b'_' | b'a'..=b'z' | b'A'..=b'Z') => {}
                _ => return Err((ParseProblem::CommaOrBrace, self.at)),
            }
        }
    }
}
