//! The agent's own metrics, written from its state at the moment of the scrape: the one file that names them.
//!
//! A registry of cached handles would not do: a series of a leak that is over has to vanish, and what the agent says
//! of a series it watches has that series' own labels. A label of theirs that collides with one of ours becomes
//! `exported_…`, as Prometheus does it: ours are `signal`, `state`, `cause`, `site`, `alertstate`. Scrape it with
//! `honor_labels: true`, so that `job` and `instance` stay those of the watched target.

mod alerts;
mod discovery;
mod incidents;
mod ledger;
mod own;
mod series;
mod text;

use crate::agent::Seen;
use crate::labels::Labels;

pub(crate) use text::CONTENT_TYPE;
use text::Exposition;

/// Everything, in the text exposition format.
pub(crate) fn exposition(seen: &Seen<'_>) -> String {
    let mut exposition = Exposition::default();
    series::write(&mut exposition, seen);
    incidents::write(&mut exposition, seen);
    alerts::write(&mut exposition, seen);
    own::write(&mut exposition, seen);
    discovery::write(&mut exposition, seen);
    ledger::write(&mut exposition, seen.ledger);
    exposition.finish()
}

/// `theirs`, and `ours` beside them: a label of theirs that has the name of one of ours moves out of its way.
fn beside(theirs: &Labels, ours: &[(&str, &str)]) -> Labels {
    let moved = theirs.iter().map(
        |(name, value)| match ours.iter().any(|(own, _)| *own == name) {
            true => (format!("exported_{name}"), value),
            false => (name.to_owned(), value),
        },
    );
    let ours = ours
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    moved.chain(ours).collect()
}

#[cfg(test)]
mod tests;
