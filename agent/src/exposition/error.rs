//! Where a body stops being an exposition, and why.

use crate::excerpt::excerpt_of_bytes;

/// Where a body stops being an exposition, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}{}", near(excerpt))]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: ParseProblem,
    /// The text where it goes wrong: bounded, escaped, perhaps empty.
    pub excerpt: String,
}

/// What is wrong with a line, or with the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseProblem {
    /// Not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// A line that would have to be held whole.
    #[error("longer than {0} bytes")]
    LineTooLong(usize),
    /// Neither a sample nor a comment.
    #[error("expected a metric name")]
    MetricName,
    /// HTML where an exposition was expected.
    #[error("this is HTML, no metrics; is `metrics_path` right?")]
    Html,
    /// JSON where an exposition was expected.
    #[error("this is JSON, no metrics; is `metrics_path` right?")]
    Json,
    /// Between the braces.
    #[error("expected a label name")]
    LabelName,
    /// Two quotes with nothing between them.
    #[error("a name is empty")]
    EmptyName,
    /// After a label's name.
    #[error("expected `=` after the label name")]
    Equals,
    /// After the equals sign.
    #[error("expected a label value in double quotes")]
    Quote,
    /// A quoted text without its end.
    #[error("a quoted text does not end on this line")]
    OpenQuote,
    /// After a label.
    #[error("expected `,` or `}}` after the label")]
    CommaOrBrace,
    /// The same label name twice.
    #[error("a label name is there twice")]
    DuplicateLabel,
    /// After the series.
    #[error("expected a value")]
    Value,
    /// After the value.
    #[error("expected a time stamp or the end of the line")]
    Timestamp,
    /// After the time stamp.
    #[error("expected the end of the line")]
    EndOfLine,
    /// After `#` in OpenMetrics.
    #[error("expected an exemplar such as `{{trace_id=\"x\"}} 1`")]
    Exemplar,
    /// OpenMetrics without its last line.
    #[error("the body ends without `# EOF`: it was cut off")]
    NoEof,
    /// OpenMetrics with something behind its last line.
    #[error("there is text after `# EOF`")]
    AfterEof,
}

/// How much of a bad line is shown.
const EXCERPT_CHARACTERS: usize = 40;

pub(super) fn excerpt(near: &[u8]) -> String {
    excerpt_of_bytes(near, EXCERPT_CHARACTERS)
}

fn near(excerpt: &str) -> String {
    if excerpt.is_empty() {
        String::new()
    } else {
        format!(" at `{excerpt}`")
    }
}
