//! Writes the text exposition format, version 0.0.4: family by family, with help, type, and escaped label values.
//!
//! Source: Prometheus, "Exposition formats". It knows no registry: a family is written from the state of the moment, so that a series can vanish.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::labels::Labels;

/// The media type of [`Exposition::finish`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// A level.
    Gauge,
}

/// An exposition under construction.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family. Everything that is written until the next one belongs to it.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "\n# TYPE {name} {kind}");
        Family {
            exposition: self,
            name,
        }
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// One family under construction.
pub(super) struct Family<'a> {
    exposition: &'a mut Exposition,
    name: &'a str,
}

impl Family<'_> {
    /// One sample. Labels with an empty value are left away: they mean the same.
    pub(super) fn sample<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
    ) {
        let text = &mut self.exposition.text;
        text.push_str(self.name);
        let mut open = false;
        for (name, value) in labels {
            if value.is_empty() {
                continue;
            }
            text.push(if open { ',' } else { '{' });
            open = true;
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value, true);
            text.push('"');
        }
        if open {
            text.push('}');
        }
        text.push(' ');
        number(text, value);
        text.push('\n');
    }

    /// Samples in the order of their labels.
    pub(super) fn samples(&mut self, samples: BTreeMap<Labels, f64>) {
        for (labels, value) in samples {
            self.sample(labels.iter(), value);
        }
    }
}

fn escape(text: &mut String, raw: &str, quotes: bool) {
    for letter in raw.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

fn number(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        let _ = write!(text, "{value:.0}");
    } else {
        let _ = write!(text, "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_with_help_type_and_escapes() {
        let mut exposition = Exposition::default();
        let mut family =
            exposition.family("leak_verdict", Kind::Gauge, "One \\ two\nthree \"four\".");
        family.sample(
            [
                ("job", "a\"b\\c\nd"),
                ("empty", ""),
                ("route", "/home/{id}"),
            ],
            2.0,
        );
        family.sample([], f64::INFINITY);
        exposition
            .family("leak_agent_samples_total", Kind::Counter, "Samples.")
            .sample([("x", "1")], 0.1);
        expect_test::expect![[r#"
            # HELP leak_verdict One \\ two\nthree "four".
            # TYPE leak_verdict gauge
            leak_verdict{job="a\"b\\c\nd",route="/home/{id}"} 2
            leak_verdict +Inf
            # HELP leak_agent_samples_total Samples.
            # TYPE leak_agent_samples_total counter
            leak_agent_samples_total{x="1"} 0.1
        "#]]
        .assert_eq(&exposition.finish());
    }

    #[test]
    fn numbers_are_those_of_the_format() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (1.7e9, "1700000000"),
            (1e300, "1e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut text = String::new();
            number(&mut text, value);
            assert_eq!(text, expected);
        }
    }
}
