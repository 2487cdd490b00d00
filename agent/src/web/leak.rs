//! One incident, from its headline to its last detail, in the order in which one asks at night: what, how bad, what
//! to do, where, why it is believed.

mod peers;

use leak_detect::Tier;
use maud::{Markup, html};

use crate::alert::AlertState;
use crate::incident::{Incident, State};
use crate::quantity::{Unit, count, duration, moment};
use crate::web::view::LeakView;
use crate::web::words;

/// Badges: how urgent, where it stands.
pub(super) fn tags(incident: &Incident) -> Markup {
    html! {
        ul.tags {
            @if !incident.is_living() { li.tag.good { "over" } }
            @else if incident.urgent.is_some() { li.tag.bad { "urgent" } }
            @else { li.tag.warn { "ticket" } }
            li.tag { (words::state(incident.state)) }
            li.tag { code { (incident.cause) } }
            @if incident.silenced { li.tag { "silenced by an override" } }
            @if incident.ticket_only { li.tag { "never pages, by an override" } }
        }
    }
}

/// The content of the page.
pub(super) fn page(view: &LeakView) -> Markup {
    let incident = &view.incident;
    let tone = match (incident.is_living(), incident.urgent.is_some()) {
        (false, _) => "banner good",
        (true, true) => "banner bad",
        (true, false) => "banner warn",
    };
    html! {
        section class=(tone) {
            h1 { (words::headline(incident)) }
            (tags(incident))
            p { (words::cause(incident.cause)) }
            @if let Some(urgency) = &incident.urgent { p { strong { "It cannot wait: " (urgency.sentence()) } } }
        }
        @if incident.is_living() {
            section.card.first {
                h2 { "Do first" }
                p { (view.first_action) }
            }
        }
        (links(view))
        (figure(view))
        (facts(view))
        (reasons(incident))
        (places(incident))
        (signals(incident))
        (peers::table(view))
        (timeline(view))
    }
}

/// Where to go from here.
fn links(view: &LeakView) -> Markup {
    let id = &view.incident.id;
    html! {
        nav.links aria-label="From here" {
            @for link in &view.links { a href=(link.address) rel="noreferrer" { (link.what) } }
            a href=(format!("../api/v1/leaks/{id}")) { "JSON" }
            a href=(format!("{id}.svg")) { "Picture" }
        }
    }
}

/// The picture, in a size that suits the screen.
fn figure(view: &LeakView) -> Markup {
    let id = &view.incident.id;
    html! {
        figure.figure {
            picture {
                source media="(max-width: 34rem)" srcset=(format!("{id}.svg?size=narrow"));
                img src=(format!("{id}.svg")) alt=(crate::plot::description(&view.plot())) width="960" height="380";
            }
            figcaption.quiet {
                span.key.measured { "measured" }
                @if view.history.iter().any(|point| point.low < point.value) { span.key.envelope { "its lower envelope, which is judged" } }
                @if view.incident.is_living() && words::is_level(&view.incident) { span.key.fit { "the fit, dashed into the future" } }
                @if view.incident.evidence.exhaustion.is_some() || view.limit.is_some() { span.key.limit { "the limit" } }
                span.key.onset { "since when" @if view.onset_uncertainty.is_some() { ", with its uncertainty" } }
            }
        }
    }
}

fn facts(view: &LeakView) -> Markup {
    let incident = &view.incident;
    let evidence = &incident.evidence;
    let unit = view.unit();
    let age = |at: f64| duration((view.now - at).max(0.0));
    html! {
        section.card {
            dl {
                dt { "Since" }
                dd {
                    time { (moment(incident.onset.seconds())) } " (" (age(incident.onset.seconds())) " ago)"
                    @if let Some(uncertainty) = view.onset_uncertainty.filter(|seconds| *seconds >= 1.0) { span.quiet { ", give or take " (duration(uncertainty)) } }
                }
                dt { "Convicted" }
                dd { (moment(incident.convicted_at.seconds())) ", " (duration(incident.convicted_at - incident.onset)) " after it began" }
                @if let Some(ended) = incident.ended_at {
                    dt { "Over" }
                    dd { (moment(ended.seconds())) ", " (words::state(incident.state)) }
                }
                dt { "Held" }
                dd { (unit.text(evidence.value)) " now, " (unit.text(evidence.peak)) " at most" }
                @if incident.state == State::Growing && words::is_level(incident) {
                    dt { "Growth" }
                    dd {
                        (unit.growth(evidence.growth_per_second.estimate))
                        span.quiet { " (between " (unit.growth(evidence.growth_per_second.low)) " and " (unit.growth(evidence.growth_per_second.high)) ")" }
                    }
                }
                @if let Some(exhaustion) = evidence.exhaustion.as_ref().filter(|_| incident.is_living()) {
                    dt { "Runs out" }
                    dd {
                        strong { "in " (duration(exhaustion.seconds.estimate)) }
                        span.quiet {
                            " (between " (duration(exhaustion.seconds.low)) " and "
                            @if exhaustion.seconds.high.is_finite() { (duration(exhaustion.seconds.high)) } @else { "never" } ")"
                        }
                        ": " code { (exhaustion.signal) } " of " (exhaustion.instance) " at " (Unit::of_metric(&exhaustion.signal).text(exhaustion.limit))
                    }
                }
                dt { "Place" }
                dd { @match incident.place() { Some(place) => code { (place) }, None => "not known" } }
                @if let Some(upstream) = &incident.upstream { dt { "Upstream" } dd { (upstream) } }
                @if let Some(route) = &incident.route { dt { "Route" } dd { code { (route) } } }
                dt { "Signal" }
                dd { code { (incident.signal) } @if let Some(resource) = &incident.resource { " of " code { (resource) } } }
            }
        }
    }
}

fn places(incident: &Incident) -> Markup {
    html! {
        h2 { "Where it leaks" }
        @if incident.places.is_empty() {
            p { @match &incident.site { Some(site) => { "The metrics name the file " code { (site) } ". " } None => {} } (words::witness(&incident.witness)) }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Where it leaks" {
                table {
                    caption { (words::witness(&incident.witness)) }
                    thead { tr { th scope="col" { "Place" } th scope="col" { "What" } th.number scope="col" { "How many" } th.number scope="col" { "Oldest" } } }
                    tbody {
                        @for place in &incident.places {
                            tr {
                                td { code { (place.site) } }
                                td { (words::place_kind(&place.kind)) }
                                td.number { (count(place.count as f64)) }
                                td.number { @match place.oldest_age_seconds { Some(age) => (duration(age)), None => "\u{2013}" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Everything that leaks: the carrier, and what follows from it.
fn signals(incident: &Incident) -> Markup {
    html! {
        h2 { "What leaks with it" }
        div.scroll tabindex="0" role="region" aria-label="What leaks with it" {
            table {
                caption { "The first explains the others: a task holds its call, a call its connection, a connection its descriptor." }
                thead { tr { th scope="col" { "Signal" } th scope="col" { "What" } th.number scope="col" { "Now" } th.number scope="col" { "Growth" } th scope="col" { "Since" } } }
                tbody {
                    @for signal in &incident.signals {
                        @let unit = Unit::of_metric(&signal.signal);
                        tr {
                            td { code { (signal.signal) } }
                            td { (words::signal(signal.kind, &signal.signal, signal.resource.as_deref())) }
                            td.number { (unit.text(signal.value)) }
                            td.number { (unit.growth(signal.growth_per_second.estimate)) }
                            td { time { (moment(signal.since.seconds())) } }
                        }
                    }
                }
            }
        }
    }
}

fn reasons(incident: &Incident) -> Markup {
    let evidence = &incident.evidence;
    html! {
        h2 { "Why it is believed" }
        section.card {
            p {
                (count(evidence.samples as f64)) " samples, judged over " (duration(evidence.scale_seconds)) ". "
                @match evidence.tier {
                    Tier::Exact => "The target itself counts what a correct program never has: this is no estimate.",
                    Tier::Level => "A level, judged by its lower envelope.",
                }
            }
            @if !evidence.ruled_out.is_empty() {
                h3 { "Ruled out" }
                dl.ruled-out {
                    @for (what, how) in &evidence.ruled_out { dt { (words::explanation(what)) } dd { (how) } }
                }
            }
        }
    }
}

/// What happened to the incident and to its alerts, in order.
fn timeline(view: &LeakView) -> Markup {
    let mut moments: Vec<(f64, String)> = view
        .incident
        .timeline
        .iter()
        .map(|own| (own.at.seconds(), own.what.clone()))
        .collect();
    for alert in &view.alerts {
        let name = alert.name.word();
        if let Some(at) = alert.fired_at {
            moments.push((at.seconds(), format!("{name} fires")));
        }
        if let Some(at) = alert
            .resolved_at
            .filter(|_| alert.state == AlertState::Resolved)
        {
            moments.push((at.seconds(), format!("{name} is resolved")));
        }
    }
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    html! {
        h2 { "What happened" }
        section.card {
            ol.timeline {
                @for (at, what) in &moments { li { time { (moment(*at)) } span { (what) } } }
            }
        }
    }
}
