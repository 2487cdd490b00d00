//! `overrides`: what grows by design, or leaks and is known to.

use std::sync::Arc;

use checked_yaml::{Mistakes, Node};
use leak_detect::Timestamp;

use super::read::{items, labels, positive_number};
use super::{Override, OverrideMode};
use crate::catalogue::Catalogue;
use crate::labels::Labels;

pub(super) fn overrides(
    node: Option<&Node>,
    catalogue: &Catalogue,
    mistakes: &mut Mistakes,
) -> Vec<Override> {
    items(node, mistakes)
        .iter()
        .map(|node| read(node, catalogue, mistakes))
        .collect()
}

fn read(node: &Node, catalogue: &Catalogue, mistakes: &mut Mistakes) -> Override {
    let mut fields = node.fields(mistakes);
    let matches_node = fields.required("match", mistakes);
    let matches = matches_node.map_or_else(Labels::empty, |node| labels(node, mistakes));
    if let Some(node) = matches_node
        && matches.is_empty()
    {
        node.reject(mistakes, "names no label, and would concern everything");
    }
    let signals = items(fields.optional("signals"), mistakes)
        .iter()
        .filter_map(|node| signal(node, catalogue, mistakes))
        .collect();
    let mode = fields
        .optional("mode")
        .and_then(|node| mode(node, mistakes));
    let floor_node = fields.optional("floor");
    let floor = floor_node.and_then(|node| positive_number(node, mistakes));
    let until = fields
        .optional("until")
        .and_then(|node| until(node, mistakes));
    if fields.optional("mode").is_none() && floor_node.is_none() {
        node.reject(
            mistakes,
            "changes nothing: give `mode` (off or ticket_only) or `floor`",
        );
    }
    fields.finish(mistakes);
    Override {
        matches,
        signals,
        mode,
        floor,
        until,
    }
}

fn signal(node: &Node, catalogue: &Catalogue, mistakes: &mut Mistakes) -> Option<Arc<str>> {
    let name = node.text(mistakes)?;
    if catalogue.judges(name) {
        return Some(Arc::from(name));
    }
    node.reject(
        mistakes,
        format!("`{name}` is judged by nothing; `signals` can add it"),
    );
    None
}

fn mode(node: &Node, mistakes: &mut Mistakes) -> Option<OverrideMode> {
    match node.text(mistakes)? {
        "off" => Some(OverrideMode::Off),
        "ticket_only" => Some(OverrideMode::TicketOnly),
        other => {
            node.reject(
                mistakes,
                format!("`{other}` is neither off nor ticket_only"),
            );
            None
        }
    }
}

/// A day, to its end in UTC, or an instant.
fn until(node: &Node, mistakes: &mut Mistakes) -> Option<Timestamp> {
    let text = node.text(mistakes)?;
    let day = text.parse::<jiff::civil::Date>().ok();
    let instant = match day.filter(|day| day.to_string() == text) {
        Some(day) => day
            .tomorrow()
            .and_then(|next| format!("{next}T00:00:00Z").parse()),
        None => text.parse::<jiff::Timestamp>(),
    };
    match instant {
        Ok(instant) => Some(Timestamp::from_millis(instant.as_millisecond())),
        Err(_) => {
            node.reject(
                mistakes,
                format!("`{text}` is neither a day such as 2027-01-31 nor a time such as 2027-01-31T09:00:00Z"),
            );
            None
        }
    }
}
