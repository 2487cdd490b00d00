//! The parameters of a request, each asked for once; what nobody asked for is an error, not a surprise.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::Refusal;

/// The parameters that have not been asked for yet, and the names of those that were.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                let text = format!("parameter `{name}` stands twice");
                return Err(Refusal::BadParameter(text));
            }
            pairs.push((name, value));
        }
        Ok(Self {
            pairs,
            known: Vec::new(),
        })
    }

    /// The value of a parameter; an empty one counts as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.pairs.swap_remove(at);
        (!value.is_empty()).then_some(value)
    }

    /// A whole number between 1 and `most`, or `default`.
    pub(super) fn limit(&mut self, default: usize, most: usize) -> Result<usize, Refusal> {
        let Some(text) = self.take("limit") else {
            return Ok(default);
        };
        usize::from_str(&text)
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| {
                let text = format!("limit: `{text}` is not a whole number between 1 and {most}");
                Refusal::BadParameter(text)
            })
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        let Some((name, _)) = self.pairs.first() else {
            return Ok(());
        };
        let text = match self.known.as_slice() {
            [] => format!("unknown parameter `{name}`; there are none here"),
            known => format!("unknown parameter `{name}`; known: {}", known.join(", ")),
        };
        Err(Refusal::BadParameter(text))
    }
}

/// A name or value as HTML forms encode it.
fn decode(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Refusal::BadParameter(format!("`{text}` is not UTF-8")))
}
