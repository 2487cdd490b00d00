//! What the person sees: a table redrawn in place on a terminal, one plain line a second elsewhere (a file, a pipe,
//! CI).

use std::io::{IsTerminal, Write};

/// The longest line that is printed; a longer one would wrap and spoil the redrawing.
const WIDTH: usize = 96;

/// The output.
pub(crate) struct Screen {
    in_place: bool,
    colours: bool,
    /// Lines of the table as it stands below everything said so far.
    drawn: usize,
}

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// All is well.
    Good,
    /// Something leaks.
    Bad,
    /// In the background.
    Quiet,
}

impl Screen {
    /// For standard output: in place if that is a terminal that can, in colour unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn new() -> Self {
        let capable = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let in_place = std::io::stdout().is_terminal() && capable;
        Self {
            in_place,
            colours: in_place && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            drawn: 0,
        }
    }

    /// Whether tables are redrawn in place.
    pub(crate) fn in_place(&self) -> bool {
        self.in_place
    }

    /// Prints a line that stays, above the table.
    pub(crate) fn say(&mut self, tone: Tone, line: &str) {
        let mut output = self.cleared();
        for line in line.split('\n') {
            output.push_str(&self.painted(tone, line));
            output.push('\n');
        }
        self.write(&output);
    }

    /// Shows the table: in place, or as one line.
    pub(crate) fn show(&mut self, table: &[(Tone, String)], line: &str) {
        let mut output = self.cleared();
        if self.in_place {
            for (tone, row) in table {
                output.push_str(&self.painted(*tone, &cut(row)));
                output.push('\n');
            }
            self.drawn = table.len();
        } else {
            output.push_str(line);
            output.push('\n');
        }
        self.write(&output);
    }

    /// Keeps the table as it stands and goes on below it.
    pub(crate) fn keep(&mut self) {
        self.drawn = 0;
    }

    fn cleared(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            // Up to the table's first line, and away with everything below.
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }

    fn painted(&self, tone: Tone, line: &str) -> String {
        let code = match tone {
            Tone::Plain => return line.to_owned(),
            _ if !self.colours || line.is_empty() => return line.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Quiet => "2",
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    }

    fn write(&self, text: &str) {
        let mut output = std::io::stdout().lock();
        // A closed output (`demo | head`) is no reason to leave children behind: the story goes on and ends in order.
        let _ = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush());
    }
}

/// Text from elsewhere, safe for a terminal: without control characters, which could move the cursor or hide a line.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// `text` in lines of at most `width` letters, broken at spaces.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(WIDTH - 1).collect();
    short.push('\u{2026}');
    short
}
