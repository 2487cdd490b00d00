//! Tables of rows as text, and the form in which messages are compared.
//!
//! `# RFC 9112, 3.2` names the section for the rows that follow, `% name` the configuration, `- name` begins a row. `> ` is a
//! line from the client, `= ` one at the upstream (what it gets, or in tables of answers what it sends; `+` before
//! another message), `< ` one to the client, `! ` says what becomes of the connections. Each line ends in CRLF unless it ends in a backslash; `\r`, `\n`, `\t`,
//! `\0`, `\xHH` and `\\` stand for bytes, `\{a*9000}` for a repeated one.

/// One row of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) section: String,
    pub(super) configuration: String,
    pub(super) name: String,
    pub(super) sent: Vec<u8>,
    /// What stands at the upstream, message by message.
    pub(super) upstream: Vec<Vec<u8>>,
    /// The lines to the client, short forms among them.
    pub(super) answers: Vec<String>,
    /// What becomes of the connections, in words.
    pub(super) fate: Vec<String>,
}

impl Row {
    pub(super) fn is(&self, word: &str) -> bool {
        self.fate.iter().any(|known| known == word)
    }

    /// The answers, written out.
    pub(super) fn expected(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let last = self.answers.len().saturating_sub(1);
        for (index, line) in self.answers.iter().enumerate() {
            let close = index == last && self.is("closes");
            bytes.extend_from_slice(&answer(line, close));
        }
        bytes
    }
}

/// An answer's short form written out: `ok` is what the recording upstream gives to every request, a status with a text what
/// the gateway says itself, a status alone what hyper says of bytes that are no request. Any other line is itself.
fn answer(line: &str, close: bool) -> Vec<u8> {
    let connection = if close { "connection: close\r\n" } else { "" };
    match line {
        "ok" => {
            format!("HTTP/1.1 200 OK\r\n{connection}content-length: 2\r\nvia: 1.1 gw\r\n\r\nok")
                .into_bytes()
        }
        "ok without content" => {
            format!("HTTP/1.1 200 OK\r\n{connection}content-length: 2\r\nvia: 1.1 gw\r\n\r\n")
                .into_bytes()
        }
        "ok 1.0" => b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nvia: 1.1 gw\r\n\r\nok".to_vec(),
        _ => own(line, connection).unwrap_or_else(|| unescape(line)),
    }
}

fn own(line: &str, connection: &str) -> Option<Vec<u8>> {
    let code: u16 = line.get(..3)?.parse().ok()?;
    let reason = http::StatusCode::from_u16(code).ok()?.canonical_reason()?;
    let text = line.get(4..).unwrap_or_default();
    let head = format!("HTTP/1.1 {code} {reason}\r\n{connection}");
    Some(if text.is_empty() {
        format!("{head}content-length: 0\r\n\r\n").into_bytes()
    } else {
        let length = text.len() + 1;
        format!("{head}content-length: {length}\r\ncontent-type: text/plain; charset=utf-8\r\n\r\n{text}\n")
            .into_bytes()
    })
}

/// Reads a table.
#[track_caller]
pub(super) fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut section, mut configuration) = (String::new(), "plain".to_owned());
    for (number, line) in text.lines().enumerate() {
        let (mark, rest) = line.split_at(line.len().min(1));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "" | "/" => {}
            "#" => rest.clone_into(&mut section),
            "%" => rest.clone_into(&mut configuration),
            "-" => rows.push(Row {
                section: section.clone(),
                configuration: configuration.clone(),
                name: rest.to_owned(),
                ..Row::default()
            }),
            _ => {
                let row = rows.last_mut().expect("a row has begun");
                match mark {
                    ">" => row.sent.extend(unescape(rest)),
                    "=" => match row.upstream.last_mut() {
                        Some(message) => message.extend(unescape(rest)),
                        None => row.upstream.push(unescape(rest)),
                    },
                    "+" => row.upstream.push(Vec::new()),
                    "<" => row.answers.push(rest.to_owned()),
                    "!" => row.fate = rest.split(' ').map(str::to_owned).collect(),
                    _ => panic!("line {}: {line:?} is no line of a table", number + 1),
                }
            }
        }
    }
    for row in &rows {
        assert!(
            row.section.starts_with("RFC "),
            "{} has no section",
            row.name
        );
    }
    let mut names: Vec<&str> = rows.iter().map(|row| &*row.name).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1], "two rows of the same name");
    }
    rows
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.to_string().as_bytes());
            continue;
        }
        match rest.next() {
            None => return bytes,
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
            }
            Some('{') => {
                let inner: String = rest.by_ref().take_while(|c| *c != '}').collect();
                let (what, count) = inner.split_once('*').expect("a count");
                let count = count.parse().expect("a number");
                bytes.extend_from_slice(what.repeat(count).as_bytes());
            }
            Some(other) => panic!("\\{other} in {line:?}"),
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// A stream of messages in the form in which it is compared: the lines of each head in the order of their names, lines of
/// one name in the order in which they came; those that `drop` takes out are not shown, content is as it came.
pub(super) fn canonical(stream: &[u8], drop: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for message in messages(stream) {
        let end = find(message, b"\r\n\r\n").map_or(message.len(), |end| end + 4);
        let (head, content) = message.split_at(end);
        let head = show(head);
        let mut lines = head.split_inclusive("\\r\\n");
        text.push_str(lines.next().unwrap_or_default());
        text.push('\n');
        let mut fields: Vec<&str> = lines
            .filter(|line| !drop(line.trim_end_matches("\\r\\n")))
            .collect();
        fields.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
        // The empty line sorts first and belongs last.
        fields.retain(|line| *line != "\\r\\n");
        for line in fields {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&show(content));
        text.push('\n');
    }
    text
}

/// The messages of a stream: one begins where a status or request line does.
fn messages(stream: &[u8]) -> Vec<&[u8]> {
    let begins: Vec<usize> = (0..stream.len())
        .filter(|at| *at == 0 || begins_answer(&stream[*at..]))
        .collect();
    let ends = begins.iter().skip(1).copied().chain([stream.len()]);
    begins
        .iter()
        .zip(ends)
        .map(|(begin, end)| &stream[*begin..end])
        .collect()
}

fn begins_answer(bytes: &[u8]) -> bool {
    let version = bytes.starts_with(b"HTTP/1.1 ") || bytes.starts_with(b"HTTP/1.0 ");
    version && bytes.get(9).is_some_and(u8::is_ascii_digit)
}

pub(super) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
