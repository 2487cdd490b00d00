//! The instances of the workload beside each other: the healthy ones are evidence too.

use maud::{Markup, html};

use crate::quantity::{count, duration, moment};
use crate::web::view::{LeakView, PeerView, Standing, counted};

/// Instances on the page; the rest are counted, and the API has those that leak.
const PEERS_SHOWN: usize = 50;

pub(super) fn table(view: &LeakView) -> Markup {
    let unit = view.unit();
    let leaking = view
        .peers
        .iter()
        .filter(|own| matches!(own.standing, Standing::Leaks(_)))
        .count();
    let hidden = view.peers.len().saturating_sub(PEERS_SHOWN);
    html! {
        h2 { "Instances" }
        div.scroll tabindex="0" role="region" aria-label="Instances" {
            table {
                caption { (count(leaking as f64)) " of " (counted(view.peers.len() as u64, "instance", "instances")) @if leaking == 1 { " leaks." } @else { " leak." } }
                thead { tr { th scope="col" { "Instance" } th scope="col" { "State" } th.number scope="col" { "Holds" } th scope="col" { "Running" } } }
                tbody {
                    @for own in view.peers.iter().take(PEERS_SHOWN) {
                        tr {
                            th scope="row" { (own.instance) }
                            td { (standing(own)) }
                            td.number { @match own.value { Some(value) => (unit.text(value)), None => "\u{2013}" } }
                            td { @match own.life_began { Some(began) => { "for " (duration((view.now - began.seconds()).max(0.0))) }, None => "\u{2013}" } }
                        }
                    }
                }
            }
        }
        @if hidden > 0 { p.quiet { (counted(hidden as u64, "more instance", "more instances")) ": those that leak are all in the JSON." } }
    }
}

fn standing(own: &PeerView) -> Markup {
    html! {
        @match &own.standing {
            Standing::Leaks(since) => { span.tag.bad { "leaks" } " since " time { (moment(since.seconds())) } },
            Standing::Cleared(end) => { span.tag.good { (end.word()) } },
            Standing::Down => { span.tag.warn { "cannot be seen" } },
            Standing::Undecided(why) => { span.tag.warn { "undecided" } " " (why) },
            Standing::Learning => { span.tag { "learning" } },
            Standing::Healthy => { span.tag.good { "healthy" } },
            Standing::Silent => { span.tag { "does not expose it" } },
        }
    }
}
