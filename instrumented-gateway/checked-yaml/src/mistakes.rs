//! The list of what is wrong with a configuration, as the operator reads it.
//!
//! A mistake names its line and its key (`routes[2].deadline`), so that it can be found in a file of a thousand lines
//! without knowing YAML's grammar.

use std::fmt;

/// Where something stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, counted from 1; 0 where the place is the file itself.
    pub line: usize,
    /// The dotted path of keys, such as `routes[2].deadline`; empty for the whole document.
    pub key: String,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// What is wrong and what to do, in one sentence without a final stop.
    pub message: String,
}

/// All that is wrong with one file, in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    list: Vec<Mistake>,
}

impl Mistakes {
    /// An empty list: nothing wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one mistake.
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        self.list.push(Mistake {
            place,
            message: message.into(),
        });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many mistakes were found.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The mistakes, sorted by line.
    pub fn sorted(&self) -> Vec<&Mistake> {
        let mut sorted: Vec<&Mistake> = self.list.iter().collect();
        sorted.sort_by(|a, b| a.place.cmp(&b.place));
        sorted
    }

    /// `value` where nothing is wrong, the list otherwise.
    ///
    /// # Errors
    /// The mistakes themselves.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.line > 0 {
            write!(f, "line {}: ", self.place.line)?;
        }
        if !self.place.key.is_empty() {
            write!(f, "{}: ", self.place.key)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.sorted().into_iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}
