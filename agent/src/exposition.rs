//! Prometheus' text format 0.0.4 and OpenMetrics 1.0, read as they come.
//!
//! The parser is fed chunks of any size and gives out samples that borrow from them, so that a body is never held
//! whole: what it keeps is one unfinished line. It is lenient where exporters of the field differ and nothing can be
//! misread (CRLF, a byte order mark, blank lines, a comma at the end or none between labels), and strict where a guess
//! would be a wrong number. Metadata is skipped, exemplars are checked and dropped. Written for this agent because the
//! parsers on the registry stumble over commas, braces and equals signs in label values, time stamps and CRLF.
//!
//! Sources: Prometheus, "Exposition formats"; OpenMetrics 1.0; Prometheus 3, "UTF-8 names".

mod error;
mod line;
mod number;
mod unwanted;

use std::borrow::Cow;
use std::io::BufRead;

use leak_detect::Timestamp;

pub use error::{ParseError, ParseProblem};
use line::{Label, Scanned};
pub use unwanted::Unwanted;

/// Which grammar a body follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4: times are whole milliseconds, the body ends where it ends.
    Text,
    /// OpenMetrics 1.0: times are seconds, samples may carry exemplars, the body ends with `# EOF`.
    OpenMetrics,
}

/// Whether somebody wants a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Somebody does.
    Wanted,
    /// Nobody does, nor will when it comes again.
    Unwanted,
}

/// One sample as it stands in the body.
#[derive(Debug, Clone, Copy)]
pub struct RawSample<'a> {
    /// Name and labels as they are written: the same text is the same series.
    pub series: &'a str,
    /// The labels, in their order.
    labels: &'a [Label],
    name: line::Text,
    line: &'a str,
    /// The value; may be NaN or infinite.
    pub value: f64,
    /// The time, where there is one.
    pub at: Option<Timestamp>,
    /// The line of the body, counted from 1.
    pub line_number: u64,
}

/// Reads one body.
#[derive(Debug)]
pub struct Parser {
    format: Format,
    /// Lines begun so far.
    lines: u64,
    samples: u64,
    /// The line that the last chunk left unfinished.
    unfinished: Vec<u8>,
    /// Reused from line to line.
    labels: Vec<Label>,
    ended: bool,
}

/// The longest line that is read. Help texts are the longest in the field, of a few hundred bytes.
pub const MAX_LINE_BYTES: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<'a> RawSample<'a> {
    /// A hash of [`series`](Self::series): the same text has the same, and of two others one in 2⁶⁴. A target could make
    /// two of its own texts meet.
    pub fn series_hash(&self) -> u64 {
        unwanted::hash(self.series.as_bytes())
    }

    /// Name of the metric family.
    pub fn name(&self) -> Cow<'a, str> {
        self.name.of(self.line)
    }

    /// Names and values of the labels, unescaped, in the order of the body; no name comes twice.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let line = self.line;
        self.labels
            .iter()
            .map(move |label| (label.name.of(line), label.value.of(line)))
    }
}

impl Parser {
    /// A parser at the beginning of a body.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            lines: 0,
            samples: 0,
            unfinished: Vec::new(),
            labels: Vec::new(),
            ended: false,
        }
    }

    /// A parser at the beginning of the next body of one target.
    pub fn begin(format: Format, unwanted: &mut Unwanted) -> Self {
        unwanted.begin();
        Self::new(format)
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Reads the next bytes of the body and gives each sample that ends in them to `sink`.
    ///
    /// # Errors
    /// The first line that cannot be read, or the sink's own error. The parser is of no use after either.
    pub fn feed<E: From<ParseError>>(
        &mut self,
        chunk: &[u8],
        sink: &mut impl FnMut(RawSample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut sink = wanting_all(sink);
        self.feed_wanted(chunk, &mut Unwanted::default(), &mut sink)
    }

    /// As [`feed`](Self::feed), but samples of series that nobody wanted in an earlier body may be counted only. A body's
    /// first bytes are fed after [`begin`](Self::begin), all of it with the same memory.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_wanted<E: From<ParseError>>(
        &mut self,
        chunk: &[u8],
        unwanted: &mut Unwanted,
        sink: &mut impl FnMut(RawSample<'_>) -> Result<Interest, E>,
    ) -> Result<(), E> {
        let mut rest = chunk;
        if !self.unfinished.is_empty() {
            let (line, ended) = next_line(&mut rest);
            self.keep(line)?;
            if !ended {
                return Ok(());
            }
            let mut line = std::mem::take(&mut self.unfinished);
            self.line(&line, unwanted, sink)?;
            line.clear();
            self.unfinished = line;
        }
        while !rest.is_empty() {
            let (line, ended) = next_line(&mut rest);
            if ended {
                self.line(line, unwanted, sink)?;
            } else {
                self.keep(line)?;
            }
        }
        Ok(())
    }

    /// Reads what is left at the end of the body.
    ///
    /// # Errors
    /// The last line cannot be read, OpenMetrics lacks its `# EOF`, or the sink's own error.
    pub fn finish<E: From<ParseError>>(
        self,
        sink: &mut impl FnMut(RawSample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut sink = wanting_all(sink);
        self.finish_wanted(&mut Unwanted::default(), &mut sink)
            .map(drop)
    }

    /// As [`finish`](Self::finish), with the memory of [`feed_wanted`](Self::feed_wanted); the samples of the whole body.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_wanted<E: From<ParseError>>(
        mut self,
        unwanted: &mut Unwanted,
        sink: &mut impl FnMut(RawSample<'_>) -> Result<Interest, E>,
    ) -> Result<u64, E> {
        let line = std::mem::take(&mut self.unfinished);
        if !line.is_empty() {
            self.line(&line, unwanted, sink)?;
        }
        unwanted.end();
        if self.format == Format::OpenMetrics && !self.ended {
            return Err(self.error(ParseProblem::NoEof, b"").into());
        }
        Ok(self.samples)
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), ParseError> {
        if self.unfinished.len() + piece.len() > MAX_LINE_BYTES {
            self.lines += 1;
            let beginning = [&self.unfinished[..], piece].concat();
            return Err(self.error(ParseProblem::LineTooLong(MAX_LINE_BYTES), &beginning));
        }
        self.unfinished.extend_from_slice(piece);
        Ok(())
    }

    fn line<E: From<ParseError>>(
        &mut self,
        line: &[u8],
        unwanted: &mut Unwanted,
        sink: &mut impl FnMut(RawSample<'_>) -> Result<Interest, E>,
    ) -> Result<(), E> {
        self.lines += 1;
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.lines == 1 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        let line = line.trim_ascii_start();
        match line.first() {
            None => return Ok(()),
            Some(_) if self.ended => return Err(self.error(ParseProblem::AfterEof, line).into()),
            Some(b'#') => {
                self.ended = self.format == Format::OpenMetrics && line == b"# EOF";
                return Ok(());
            }
            Some(_) => {}
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(self
                .error(ParseProblem::LineTooLong(MAX_LINE_BYTES), line)
                .into());
        }
        if let Some(end) = unwanted.known_to(line)
            && str::from_utf8(&line[end..]).is_ok_and(|rest| line::is_measured(rest, self.format))
        {
            unwanted.meet();
            self.samples += 1;
            return Ok(());
        }
        let text = match str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let bad = &line[error.valid_up_to()..];
                return Err(self.error(ParseProblem::NotUtf8, bad).into());
            }
        };
        let Scanned {
            series,
            name,
            value,
            at,
        } = match line::scan(text, self.format, &mut self.labels) {
            Ok(scanned) => scanned,
            Err((problem, offset)) => return Err(self.diagnose(problem, offset, text).into()),
        };
        self.samples += 1;
        let interest = sink(RawSample {
            series,
            labels: &self.labels,
            name,
            line: text,
            value,
            at,
            line_number: self.lines,
        })?;
        if interest == Interest::Unwanted {
            unwanted.remember(series);
        }
        Ok(())
    }

    /// A first line that is no sample may be a page that was never meant to be an exposition.
    fn diagnose(&self, problem: ParseProblem, offset: usize, line: &str) -> ParseError {
        let (problem, offset) = match line.as_bytes()[0] {
            b'<' if self.samples == 0 => (ParseProblem::Html, 0),
            b'{' | b'[' if self.samples == 0 && begins_json(line) => (ParseProblem::Json, 0),
            _ => (problem, offset),
        };
        let bad = line.get(offset..).unwrap_or_default();
        self.error(problem, bad.as_bytes())
    }

    fn error(&self, problem: ParseProblem, near: &[u8]) -> ParseError {
        ParseError {
            // Of an empty body nothing was begun.
            line: self.lines.max(1),
            problem,
            excerpt: error::excerpt(near),
        }
    }
}

/// A sink that wants every sample.
fn wanting_all<E>(
    sink: &mut impl FnMut(RawSample<'_>) -> Result<(), E>,
) -> impl FnMut(RawSample<'_>) -> Result<Interest, E> {
    |raw| sink(raw).map(|()| Interest::Wanted)
}

/// Whether what follows a bracket could follow it in JSON, but not in an exposition that leaves out the name.
fn begins_json(line: &str) -> bool {
    let rest = line[1..].trim_start();
    let ends_text = |rest: &str| rest.starts_with([':', ' ', ',', ']', '}']);
    match rest.strip_prefix('"') {
        Some(text) => text.split_once('"').is_none_or(|(_, rest)| ends_text(rest)),
        None => rest.is_empty() || !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
    }
}

/// The bytes up to the next line feed, and whether there was one; `rest` goes on behind it.
fn next_line<'a>(rest: &mut &'a [u8]) -> (&'a [u8], bool) {
    let all = *rest;
    // The standard library's search for a byte, which reading from a slice cannot make fail.
    let length = rest.skip_until(b'\n').unwrap_or(all.len());
    let line = &all[..length];
    match line.strip_suffix(b"\n") {
        Some(line) => (line, true),
        None => (line, false),
    }
}

#[cfg(test)]
mod tests;
