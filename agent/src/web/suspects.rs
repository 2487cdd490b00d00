//! The first page: whether something leaks, what, and, where nothing does, what that silence is worth.
//!
//! Silence has two meanings that must never look alike: everything was judged and nothing leaks, or the agent could
//! not see.

use maud::{Markup, html};

use crate::incident::{Incident, State};
use crate::quantity::{Unit, count, duration, moment};
use crate::source::SourceState;
use crate::web::leak::tags;
use crate::web::view::{Glance, Overview, TargetView, counted};
use crate::web::words;

/// Ended incidents on the page; the API lists all.
const ENDED_SHOWN: usize = 20;
/// Targets on the page that are up; those that are down are all shown.
const HEALTHY_TARGETS_SHOWN: usize = 50;
/// Suspects with their picture: beyond that a page of five hundred would draw five hundred.
const PICTURES_SHOWN: usize = 3;

/// The window's title: readable in a row of tabs.
pub(super) fn title(overview: &Overview) -> String {
    match overview.glance() {
        Glance::Leaking { living, .. } => format!(
            "{} \u{b7} Leakwatch",
            counted(living as u64, "leak", "leaks")
        ),
        Glance::Quiet => "nothing leaks \u{b7} Leakwatch".to_owned(),
        Glance::Blind => "blind \u{b7} Leakwatch".to_owned(),
    }
}

/// The content of the page.
pub(super) fn page(overview: &Overview) -> Markup {
    let ended: Vec<&Incident> = overview.ended().take(ENDED_SHOWN).collect();
    html! {
        (banner(overview))
        @for (index, incident) in overview.living().enumerate() { (suspect(overview, incident, index < PICTURES_SHOWN)) }
        @if !ended.is_empty() {
            h2 { "Over" }
            @for incident in ended { (over(incident)) }
        }
        (targets(overview))
        (series(overview))
    }
}

fn banner(overview: &Overview) -> Markup {
    let spots = overview.blind_spots();
    let (watched, learning) = overview.watched();
    let up = overview.targets.len() - overview.down();
    html! {
        @match overview.glance() {
            Glance::Leaking { living, urgent } => {
                section class=(if urgent > 0 { "banner bad" } else { "banner warn" }) {
                    h1 { (counted(living as u64, "leak", "leaks")) @if urgent > 0 { ", " (count(urgent as f64)) " urgent" } }
                    (judged(overview))
                }
                @if !spots.is_empty() { section.banner.warn { @for spot in &spots { p { (spot) } } } }
            }
            Glance::Quiet => section.banner.good {
                h1 { "Nothing leaks" }
                p { (counted(watched, "series", "series")) " of " (counted(up as u64, "target", "targets")) " are watched, and all of them are judged." }
                (judged(overview))
            },
            Glance::Blind => section.banner.warn {
                h1 { @if learning > 0 && overview.down() == 0 { "Nothing leaks so far, and not all can be judged yet" } @else { "Blind: this is not the same as healthy" } }
                @for spot in &spots { p { (spot) } }
                (judged(overview))
            },
        }
        @if overview.dry_run {
            section.banner { p { strong { "Dry run. " } "Everything is shown and counted, and nothing is sent to anybody." } }
        }
    }
}

fn judged(overview: &Overview) -> Markup {
    html! {
        p.quiet {
            @match overview.evaluated_at {
                Some(at) => { "Judged " (duration((overview.now - at).max(0.0))) " ago" }
                None => { "Not judged yet" }
            }
            "; watching for " (duration((overview.now - overview.started_at).max(0.0))) "."
        }
    }
}

/// One suspect: enough to decide whether to get up.
fn suspect(overview: &Overview, incident: &Incident, with_picture: bool) -> Markup {
    let evidence = &incident.evidence;
    let unit = Unit::of_metric(&incident.signal);
    let id = &incident.id;
    let page = format!("leaks/{id}");
    html! {
        section class=(if incident.urgent.is_some() { "card suspect urgent" } else { "card suspect" }) {
            h3 { a href=(page) { (words::headline(incident)) } }
            (tags(incident))
            p { (words::cause(incident.cause)) }
            @if let Some(urgency) = &incident.urgent { p { strong { (urgency.sentence()) } } }
            dl {
                dt { "Since" }
                dd { (moment(incident.onset.seconds())) " (" (duration((overview.now - incident.onset).max(0.0))) " ago)" }
                dt { "Held" }
                dd {
                    (unit.text(evidence.value))
                    @if incident.state == State::Growing && words::is_level(incident) { ", " (unit.growth(evidence.growth_per_second.estimate)) }
                }
                @if let Some(exhaustion) = &evidence.exhaustion {
                    dt { "Runs out" }
                    dd { "in " (duration(exhaustion.seconds.estimate)) " (" code { (exhaustion.signal) } ")" }
                }
                dt { "Place" }
                dd { @match incident.place() { Some(place) => code { (place) }, None => "not known" } }
                @if let Some(route) = &incident.route { dt { "Route" } dd { code { (route) } } }
                dt { "Instances" }
                dd { (counted(incident.instances.len() as u64, "instance", "instances")) }
            }
            @if with_picture {
                a href=(page) {
                    picture.figure {
                        source media="(max-width: 34rem)" srcset=(format!("{page}.svg?size=narrow"));
                        img src=(format!("{page}.svg?size=low")) alt="The measured line and its future" width="960" height="240" loading="lazy";
                    }
                }
            }
        }
    }
}

fn over(incident: &Incident) -> Markup {
    html! {
        section.card.suspect.over {
            h3 { a href=(format!("leaks/{}", incident.id)) { (words::headline(incident)) } }
            p.quiet {
                code { (incident.cause) } ", " (words::state(incident.state))
                @if let Some(ended) = incident.ended_at { ", " (moment(ended.seconds())) ", after " (duration(ended - incident.onset)) }
            }
        }
    }
}

fn targets(overview: &Overview) -> Markup {
    let is_down = |own: &&TargetView| own.last.as_ref().is_some_and(|last| last.error.is_some());
    let down = overview.targets.iter().filter(is_down);
    let up = overview
        .targets
        .iter()
        .filter(|own| !is_down(own))
        .take(HEALTHY_TARGETS_SHOWN);
    let shown: Vec<&TargetView> = down.chain(up).collect();
    let hidden = overview.targets.len() - shown.len();
    html! {
        (sources(overview))
        h2 { "Targets" }
        div.scroll {
            table {
                thead { tr { th { "Job" } th { "Instance" } th { "Health" } th { "Last scrape" } } }
                tbody { @for own in shown { (target(overview, own)) } }
            }
        }
        @if hidden > 0 { p.quiet { (counted(hidden as u64, "target that is", "targets that are")) " well stand in the API only." } }
    }
}

/// The stores that are queried, where there are any.
fn sources(overview: &Overview) -> Markup {
    html! {
        @if !overview.sources.is_empty() {
            h2 { "Sources" }
            div.scroll {
                table {
                    thead { tr { th { "Source" } th { "Health" } th { "Last whole answer" } } }
                    tbody { @for own in &overview.sources { tr {
                        td { (own.name) }
                        td {
                            @match &own.state {
                                SourceState::Starting(share) => { span.tag { "reading its history: " (format!("{:.0} %", 100.0 * share)) } }
                                SourceState::Up => { span.tag { "up" } }
                                SourceState::Down(error) => { span.tag.bad { "not known whole" } " " (error) }
                            }
                        }
                        td {
                            @match own.last_success {
                                Some(at) => { (duration((overview.now - at).max(0.0))) " ago" }
                                None => { "\u{2013}" }
                            }
                        }
                    } } }
                }
            }
        }
    }
}

fn target(overview: &Overview, own: &TargetView) -> Markup {
    html! {
        tr {
            td { (own.target.job) }
            td { (own.target.instance) }
            @match &own.last {
                None => { td { span.tag { "not yet scraped" } } td { "\u{2013}" } }
                Some(last) => {
                    td {
                        @match &last.error {
                            Some(error) => { span.tag.bad { "down" } " " (error) }
                            None => { span.tag.good { "up" } @if let Some(warning) = &last.warning { " " (warning) } }
                        }
                    }
                    td { (duration((overview.now - last.at).max(0.0))) " ago, took " (duration(last.seconds)) }
                }
            }
        }
    }
}

fn series(overview: &Overview) -> Markup {
    html! {
        h2 { "What is watched" }
        @if overview.series.is_empty() {
            p { "Nothing yet." }
        } @else {
            div.scroll {
                table {
                    thead { tr { th { "Job" } th { "Signal" } th.number { "Healthy" } th.number { "Learning" } th.number { "Undecided" } th.number { "Leaking" } } }
                    tbody {
                        @for own in &overview.series {
                            tr {
                                td { (own.job) }
                                td { code { (own.signal) } }
                                @for number in [own.healthy, own.learning, own.undecided, own.leaking] { td.number { (count(number as f64)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
