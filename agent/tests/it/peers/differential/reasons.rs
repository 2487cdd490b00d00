//! Where the agent and Prometheus 2.42 differ over the same target, what Prometheus makes of it, and why.

/// The row, Prometheus' outcome, and the reason.
pub(super) const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("claims HTTP/2.0", r#"up | go_goroutines 12"#, HTTP_LENIENT),
    ("begins with an empty line", r#"down"#, EMPTY_LINE),
    (
        "sends a thousand header lines",
        r#"up | go_goroutines 12"#,
        MANY_HEADERS,
    ),
    ("sends text and claims protobuf", r#"down"#, PROTOBUF),
    ("compresses by the old name", r#"down"#, GZIP_NAMES),
    ("compresses in capitals", r#"down"#, GZIP_NAMES),
    ("claims deflate", r#"up | go_goroutines 12"#, ENCODINGS),
    ("claims Brotli", r#"up | go_goroutines 12"#, ENCODINGS),
    ("claims Zstandard", r#"up | go_goroutines 12"#, ENCODINGS),
    ("ends lines with CRLF", r#"down"#, CRLF),
    ("an end with CRLF", r#"down"#, CRLF),
    ("begins with a byte order mark", r#"down"#, MARK),
    ("a byte order mark before OpenMetrics", r#"down"#, MARK),
    ("indents its lines", r#"down"#, BLANKS),
    ("a line that is indented", r#"down"#, BLANKS),
    ("tabs between the parts", r#"down"#, BLANKS),
    ("an empty line between samples", r#"down"#, BLANKS),
    ("empty lines after the end", r#"down"#, BLANKS),
    ("puts a NUL between lines", r#"up | go_goroutines 1"#, NUL),
    ("puts a NUL at the end", r#"up | go_goroutines 1"#, NUL),
    ("sends random bytes", r#"up"#, NUL),
    ("puts invalid UTF-8 into help", r#"down"#, METADATA),
    ("gives a family a type nobody knows", r#"down"#, METADATA),
    ("gives a type without a type", r#"down"#, METADATA),
    ("gives a type to what is no name", r#"down"#, METADATA),
    ("a comment of one's own", r#"down"#, METADATA),
    (
        "says of itself that it is down",
        r#"down | go_goroutines 1"#,
        OWN_UP,
    ),
    (
        "a line feed within a value",
        r#"up | go_goroutines{a="x\ny"} 1"#,
        LINE_FEED,
    ),
    ("a quoted name", r#"down"#, QUOTED),
    ("a quoted name with dots", r#"down"#, QUOTED),
    ("a quoted label name", r#"down"#, QUOTED),
    ("a quoted name in OpenMetrics", r#"down"#, QUOTED),
    ("a time in the past", r#"up"#, OLD),
    ("a time of zero", r#"up"#, OLD),
    ("a series twice, at two times", r#"up"#, OLD),
    ("a time in seconds", r#"up"#, OLD),
    ("a time in exponents", r#"up"#, OLD),
    ("a time in the far future", r#"up"#, FUTURE),
    ("a negative time", r#"down"#, NEGATIVE),
    ("an exemplar on a gauge", r#"down"#, EXEMPLAR),
    (
        "a label above the limits on a series that nobody watches",
        r#"down"#,
        WATCHED,
    ),
    ("sends a header line without a colon", r#"down"#, NO_HEADER),
    (
        "sends a NUL in a header",
        r#"up | go_goroutines 12"#,
        NUL_IN_HEAD,
    ),
];

const HTTP_LENIENT: &str = "Go reads any version; what claims HTTP/2 in the words of HTTP/1 is no server that can be relied on";
const EMPTY_LINE: &str = "RFC 9112, 2.2, has servers skip an empty line before a request; hyper does so before an answer as well";
const MANY_HEADERS: &str =
    "hyper reads a hundred header lines at most; a target has no use for more";
const PROTOBUF: &str =
    "a target that names its text protobuf is one of those whose content type cannot be trusted";
const GZIP_NAMES: &str =
    "RFC 9110, 8.4.1: names of codings are read in any case, and x-gzip is gzip";
const ENCODINGS: &str = "Prometheus looks for gzip and reads the bytes of anything else as they come; if they were what they claim, its message would speak of a start token";
const CRLF: &str = "exporters on Windows end lines so, and nothing can be misread";
const MARK: &str = "some editors and frameworks put one there, and nothing can be misread";
const BLANKS: &str = "nothing can be misread, and a strict reader would lose the whole target";
const NUL: &str =
    "Prometheus takes a NUL for the end of the body and drops the rest without a word";
const METADATA: &str = "metadata and comments are of no use here and are not read";
const OWN_UP: &str = "health is what the scraper saw: a target's own series cannot overrule it";
const LINE_FEED: &str =
    "the format wants it escaped; a reader of lines notices here that one broke off";
const QUOTED: &str = "names in quotes came with Prometheus 3";
const OLD: &str = "Prometheus drops what is older than its head; a level that its target dates is judged at that date";
const FUTURE: &str = "Prometheus drops it; here the value counts, at the time of the scrape";
const NEGATIVE: &str =
    "a number like any other; Prometheus' text format allows it by its grammar, its lexer does not";
const EXEMPLAR: &str =
    "exemplars are of no use here; that the type has none is no reason to lose the target";
const WATCHED: &str = "limits of labels protect what is kept, and what nobody watches is not kept";
const NO_HEADER: &str = "what cannot be read as a header is none; the body is what counts";
const NUL_IN_HEAD: &str = "RFC 9110, 5.5: a NUL in a head is to be refused";
