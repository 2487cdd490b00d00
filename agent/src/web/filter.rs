//! Which suspects a reader wants to see: a plain GET form, so that it works without a script and a link to a choice
//! can be sent to a colleague.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::incident::{Incident, State};
use crate::web::words;

/// RFC 3986 §2.3: what need not be encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text for a query or a fragment of a link.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What the form sends; a field that is empty or absent chooses everything.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Filter {
    /// A workload, in its words.
    #[serde(default)]
    pub(super) workload: String,
    /// The signal that carries.
    #[serde(default)]
    pub(super) signal: String,
    /// The cause.
    #[serde(default)]
    pub(super) cause: String,
    /// `urgent`, `growing`, `stalled` or `over`; those that live where empty.
    #[serde(default)]
    pub(super) state: String,
}

/// The values of the field `state`, with what they mean.
pub(super) const STATES: [(&str, &str); 6] = [
    ("", "growing or held"),
    ("urgent", "urgent"),
    ("growing", "growing"),
    ("stalled", "held, not growing"),
    ("over", "over"),
    ("all", "all, those that are over too"),
];

impl Filter {
    /// Whether the reader wants to see this incident.
    pub(super) fn wants(&self, incident: &Incident) -> bool {
        let is = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        is(&self.workload, &words::workload(incident))
            && is(&self.signal, &incident.signal)
            && is(&self.cause, incident.cause.word())
            && match &*self.state {
                "urgent" => incident.is_living() && incident.urgent.is_some(),
                "growing" => incident.state == State::Growing,
                "stalled" => incident.state == State::Stalled,
                "over" => !incident.is_living(),
                "all" => true,
                _ => incident.is_living(),
            }
    }

    /// Whether something is left out, but for what is over.
    pub(super) fn is_narrow(&self) -> bool {
        *self != Self::default()
    }

    /// The fields as a query, without a question mark; empty where everything is chosen.
    pub(super) fn query(&self) -> String {
        let mut query = String::new();
        for (name, value) in [
            ("workload", &self.workload),
            ("signal", &self.signal),
            ("cause", &self.cause),
            ("state", &self.state),
        ] {
            if !value.is_empty() {
                let separator = if query.is_empty() { "" } else { "&" };
                // Writing to a string does not go wrong.
                let _ = write!(query, "{separator}{name}={}", encoded(value));
            }
        }
        query
    }
}

/// The address of a page of a list: `?` and the fields, each only where it says something.
pub(super) fn address(query: &str, page: usize, reloads: bool) -> String {
    let mut parts = Vec::new();
    if !query.is_empty() {
        parts.push(query.to_owned());
    }
    if page > 1 {
        parts.push(format!("page={page}"));
    }
    if !reloads {
        parts.push("refresh=off".to_owned());
    }
    format!("?{}", parts.join("&"))
}

/// One page of a list.
pub(super) struct Page<'a, T> {
    /// What it shows.
    pub(super) shown: &'a [T],
    /// Its number, from 1.
    pub(super) number: usize,
    /// How many there are, at least 1.
    pub(super) count: usize,
}

impl<'a, T> Page<'a, T> {
    /// The page of this number, or the last where there are fewer.
    pub(super) fn of(all: &'a [T], size: usize, wanted: usize) -> Self {
        let count = all.len().div_ceil(size).max(1);
        let number = wanted.clamp(1, count);
        let from = (number - 1) * size;
        Self {
            shown: &all[from..(from + size).min(all.len())],
            number,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_comes_back_from_its_own_link() {
        let filter = Filter {
            workload: "gateway (namespace a&b=c)".to_owned(),
            signal: "go_goroutines".to_owned(),
            cause: String::new(),
            state: "over".to_owned(),
        };
        let query = filter.query();
        assert_eq!(
            query,
            "workload=gateway%20%28namespace%20a%26b%3Dc%29&signal=go_goroutines&state=over"
        );
        assert_eq!(
            address(&query, 2, false),
            format!("?{query}&page=2&refresh=off")
        );
        assert_eq!(address("", 1, true), "?");
    }

    #[test]
    fn a_page_beyond_the_last_is_the_last() {
        let all: Vec<u32> = (0..101).collect();
        for (wanted, number, first, length) in
            [(0, 1, 0, 50), (1, 1, 0, 50), (3, 3, 100, 1), (9, 3, 100, 1)]
        {
            let page = Page::of(&all, 50, wanted);
            assert_eq!(
                (page.number, page.shown[0], page.shown.len(), page.count),
                (number, first, length, 3)
            );
        }
        assert_eq!(Page::of(&[0_u8; 0], 50, 1).count, 1);
    }
}
