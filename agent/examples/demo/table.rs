//! The second's figures, as a table and as one plain line.

use leak_agent::quantity::{bytes, count, duration};

use crate::load::Second;
use crate::observe::{Held, RESOURCES, Said};
use crate::screen::Tone;

/// Everything that one second shows.
pub(crate) struct Now<'a> {
    /// Where the story stands, such as `healthy, 12 s of 20 s`.
    pub(crate) chapter: &'a str,
    /// Seconds since the start.
    pub(crate) elapsed: f64,
    /// What the gateway holds; `None` where it did not answer.
    pub(crate) held: Option<Held>,
    /// The same a second before.
    pub(crate) before: Option<Held>,
    /// What the clients saw.
    pub(crate) load: Second,
    /// What the agent says.
    pub(crate) said: &'a Said,
}

impl Now<'_> {
    /// For a terminal.
    pub(crate) fn table(&self) -> Vec<(Tone, String)> {
        let mut rows = vec![
            (Tone::Plain, String::new()),
            (
                Tone::Strong,
                format!(
                    "  {:<66}{:>12}",
                    self.chapter,
                    duration(self.elapsed.floor())
                ),
            ),
            (Tone::Plain, String::new()),
            (
                Tone::Quiet,
                format!(
                    "  {:<20}{:>9}{:>11}{:>11}{:>14}",
                    "held now", "open", "overdue", "orphaned", "oldest"
                ),
            ),
        ];
        match self.held {
            None => rows.push((
                Tone::Bad,
                "  the gateway's metrics did not answer in time".to_owned(),
            )),
            Some(held) => self.held_rows(&mut rows, held),
        }
        rows.push((
            Tone::Plain,
            format!("  {:<20}{}", "clients", self.clients()),
        ));
        let (tone, verdict) = self.verdict();
        rows.push((tone, format!("  {:<20}{verdict}", "agent")));
        rows.push((Tone::Plain, String::new()));
        rows
    }

    /// For a file, a pipe or CI.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{:>4.0} s  {:<34}", self.elapsed, self.chapter);
        match self.held {
            None => line.push_str("no answer from the gateway"),
            Some(held) => {
                let words = ["requests", "bodies", "connections", "tasks"];
                for (word, resource) in words.iter().zip(held.resources) {
                    line.push_str(&format!("{word} {}, ", count(resource.open)));
                }
                let overdue: f64 = held.resources.iter().map(|resource| resource.overdue).sum();
                let orphaned: f64 = held
                    .resources
                    .iter()
                    .map(|resource| resource.orphaned)
                    .sum();
                line.push_str(&format!(
                    "overdue {}, orphaned {}",
                    count(overdue),
                    count(orphaned)
                ));
            }
        }
        format!(
            "{line} | clients {} | agent {}",
            self.clients(),
            self.verdict().1
        )
    }

    fn held_rows(&self, rows: &mut Vec<(Tone, String)>, held: Held) {
        for ((_, name), resource) in RESOURCES.iter().zip(held.resources) {
            let late = resource.overdue + resource.orphaned > 0.0;
            let age = if resource.open > 0.0 {
                duration(resource.oldest_seconds)
            } else {
                "\u{2013}".to_owned()
            };
            let (open, overdue, orphaned) = (
                count(resource.open),
                count(resource.overdue),
                count(resource.orphaned),
            );
            let row = format!("  {name:<20}{open:>9}{overdue:>11}{orphaned:>11}{age:>14}");
            rows.push((if late { Tone::Bad } else { Tone::Plain }, row));
        }
        let (connects, reuses) = match self.before {
            Some(before) => (held.connects - before.connects, held.reuses - before.reuses),
            None => (0.0, 0.0),
        };
        let pool = format!(
            "{} idle; this second {} opened, {} reused",
            count(held.idle),
            count(connects),
            count(reuses)
        );
        rows.push((Tone::Plain, format!("  {:<20}{pool}", "its pool")));
        let process = format!(
            "{} file descriptors, {} of memory",
            count(held.descriptors),
            bytes(held.memory_bytes)
        );
        rows.push((Tone::Plain, format!("  {:<20}{process}", "its process")));
    }

    fn clients(&self) -> String {
        let Second {
            answered,
            refused,
            failed,
            withheld,
            slowest_ms,
        } = self.load;
        let mut text = format!("{answered} answered, slowest {slowest_ms} ms");
        for (number, word) in [
            (refused, "refused"),
            (failed, "without an answer"),
            (withheld, "not sent: too many wait"),
        ] {
            if number > 0 {
                text.push_str(&format!(", {number} {word}"));
            }
        }
        text
    }

    fn verdict(&self) -> (Tone, String) {
        let [healthy, undecided, leaking] = self.said.series.map(count);
        let series = format!("series: {healthy} healthy, {undecided} undecided, {leaking} leaking");
        match self
            .said
            .alerts
            .iter()
            .find(|alert| alert.state == "firing")
            .or(self.said.alerts.first())
        {
            None => (Tone::Plain, format!("no alert; {series}")),
            Some(alert) => (
                Tone::Bad,
                format!("{} {}; {series}", alert.label("alertname"), alert.state),
            ),
        }
    }
}
