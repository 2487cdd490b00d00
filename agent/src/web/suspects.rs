//! The first page: whether something leaks, what, and, where nothing does, what that silence is worth.
//!
//! Silence has two meanings that must never look alike: everything was judged and nothing leaks, or the agent could
//! not see. What runs out first comes first; the list is bounded and says so.

use maud::{Markup, html};

use crate::incident::{Incident, State};
use crate::quantity::{Unit, count, duration, moment};
use crate::source::SourceState;
use crate::web::filter::{Filter, Page, STATES, address};
use crate::web::leak::tags;
use crate::web::targets::{row, sources};
use crate::web::view::{Glance, Overview, TargetView, counted};
use crate::web::words;

/// Suspects on one page.
const SUSPECTS_SHOWN: usize = 50;
/// Ended incidents under the living ones; the filter shows all.
const ENDED_SHOWN: usize = 10;
/// Targets that are down, on this page; the page of targets has all.
const DOWN_SHOWN: usize = 10;
/// Suspects with their picture: beyond that a page of fifty would draw fifty.
const PICTURES_SHOWN: usize = 3;

/// What the reader wants to see.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Which suspects.
    pub(super) filter: Filter,
    /// The number of the page.
    pub(super) page: usize,
    /// Whether the page reloads itself.
    pub(super) reloads: bool,
}

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
pub(super) fn page(overview: &Overview, wanted: &Wanted) -> Markup {
    let chosen: Vec<&Incident> = overview
        .living()
        .chain(overview.ended())
        .filter(|incident| wanted.filter.wants(incident))
        .collect();
    let list = Page::of(&chosen, SUSPECTS_SHOWN, wanted.page);
    let shows_over = matches!(&*wanted.filter.state, "over" | "all");
    let over = overview
        .ended()
        .filter(|_| !shows_over && !wanted.filter.is_narrow());
    let over: Vec<&Incident> = over.take(ENDED_SHOWN).collect();
    html! {
        (banner(overview))
        (tally(overview))
        @if !overview.incidents.is_empty() {
            h2 #suspects { "Suspects" }
            (form(overview, wanted))
            @if chosen.is_empty() {
                p { @if wanted.filter.is_narrow() { "No suspect is like that. " a href="./" { "Show all" } } @else { "None." } }
            }
            @else if wanted.filter.is_narrow() || list.count > 1 {
                p.quiet {
                    (counted(chosen.len() as u64, "suspect", "suspects"))
                    @if list.count > 1 { ", " (SUSPECTS_SHOWN) " on a page; what runs out first comes first" }
                }
            }
            @for (index, incident) in list.shown.iter().enumerate() {
                @if incident.is_living() { (suspect(overview, incident, list.number == 1 && index < PICTURES_SHOWN)) }
                @else { (ended(incident)) }
            }
            (pages(&list, |number| address(&wanted.filter.query(), number, wanted.reloads)))
            @if !over.is_empty() {
                h2 { "Over" }
                @for incident in over { (ended(incident)) }
                p { a href="?state=over" { "All that are over" } }
            }
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
                @if !spots.is_empty() {
                    section.banner.warn aria-label="What cannot be seen" {
                        p { strong { "There may be more: the agent does not see everything." } }
                        @for spot in &spots { p { (spot) } }
                    }
                }
            }
            Glance::Quiet => section.banner.good {
                h1 { "Nothing leaks" }
                p { (counted(watched, "series", "series")) " of " (counted(up as u64, "target", "targets")) " are watched, and all of them are judged." }
                (judged(overview))
            },
            Glance::Blind => section class=(if overview.is_stopped() { "banner bad" } else { "banner warn" }) {
                h1 { @if learning > 0 && overview.down() == 0 && !overview.is_stopped() { "Nothing leaks so far, and not all can be judged yet" } @else { "Blind: this is not the same as healthy" } }
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

/// How many series are what, always in the same place.
fn tally(overview: &Overview) -> Markup {
    let sum = |of: fn(&super::view::SeriesView) -> u64| overview.series.iter().map(of).sum::<u64>();
    let up = overview
        .targets
        .iter()
        .filter(|own| own.health() == "up")
        .count();
    html! {
        dl.tally aria-label="Watched series" {
            @for (word, number, tone) in [
                ("leaking", sum(|own| own.leaking), "bad"),
                ("undecided", sum(|own| own.undecided), "warn"),
                ("learning", sum(|own| own.learning), ""),
                ("healthy", sum(|own| own.healthy), "good"),
            ] {
                div { dt { "series " (word) } dd class=(if number > 0 { tone } else { "" }) { (count(number as f64)) } }
            }
            div { dt { "targets up" } dd { a href="targets" { (count(up as f64)) " of " (count(overview.targets.len() as f64)) } } }
        }
    }
}

fn form(overview: &Overview, wanted: &Wanted) -> Markup {
    let filter = &wanted.filter;
    let values = |of: fn(&Incident) -> String| {
        let mut values: Vec<String> = overview.incidents.iter().map(of).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let fields = [
        (
            "workload",
            "Workload",
            &filter.workload,
            values(words::workload),
        ),
        (
            "signal",
            "Signal",
            &filter.signal,
            values(|own| own.signal.clone()),
        ),
        (
            "cause",
            "Cause",
            &filter.cause,
            values(|own| own.cause.word().to_owned()),
        ),
    ];
    html! {
        form.filter method="get" action="./" aria-label="Choose suspects" {
            @for (name, word, chosen, values) in &fields {
                div {
                    label for=(name) { (word) }
                    select id=(name) name=(name) {
                        option value="" { "any" }
                        @for value in values { option value=(value) selected[value == *chosen] { (value) } }
                    }
                }
            }
            div {
                label for="state" { "State" }
                select id="state" name="state" {
                    @for (state, word) in STATES { option value=(state) selected[state == filter.state] { (word) } }
                }
            }
            @if !wanted.reloads { input type="hidden" name="refresh" value="off"; }
            button type="submit" { "Show" }
            @if filter.is_narrow() { a href="./" { "show all" } }
        }
    }
}

/// Links to the other pages of a list, where there are some.
pub(super) fn pages<T>(list: &Page<'_, T>, address: impl Fn(usize) -> String) -> Markup {
    html! {
        @if list.count > 1 {
            nav.pages aria-label="Pages of the list" {
                @if list.number > 1 { a rel="prev" href=(address(list.number - 1)) { "\u{2190} earlier" } }
                span { "page " (list.number) " of " (list.count) }
                @if list.number < list.count { a rel="next" href=(address(list.number + 1)) { "later \u{2192}" } }
            }
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
        article class=(if incident.urgent.is_some() { "card suspect urgent" } else { "card suspect" }) {
            h3 { a href=(page) { (words::headline(incident)) } }
            (tags(incident))
            p { (words::cause(incident.cause)) }
            @if let Some(urgency) = &incident.urgent { p { strong { (urgency.sentence()) } } }
            dl {
                @if let Some(exhaustion) = &evidence.exhaustion {
                    dt { "Runs out" }
                    dd { strong { "in " (duration(exhaustion.seconds.estimate)) } ", not before " (duration(exhaustion.seconds.low)) " (" code { (exhaustion.signal) } ")" }
                }
                dt { "Since" }
                dd { (moment(incident.onset.seconds())) " (" (duration((overview.now - incident.onset).max(0.0))) " ago)" }
                dt { "Held" }
                dd {
                    (unit.text(evidence.value))
                    @if incident.state == State::Growing && words::is_level(incident) { ", " (unit.growth(evidence.growth_per_second.estimate)) }
                    ", on " (counted(incident.instances.len() as u64, "instance", "instances"))
                }
                @if let Some(place) = incident.place() {
                    dt { "Place" }
                    dd { code { (place) } @if let Some(route) = &incident.route { ", route " code { (route) } } }
                }
            }
            @if with_picture {
                a.picture href=(page) {
                    picture.figure {
                        source media="(max-width: 34rem)" srcset=(format!("{page}.svg?size=narrow"));
                        img src=(format!("{page}.svg?size=low")) alt=(format!("The measured line of {} and its future", words::subject(incident))) width="960" height="240" loading="lazy";
                    }
                }
            }
        }
    }
}

fn ended(incident: &Incident) -> Markup {
    html! {
        article.card.suspect.over {
            h3 { a href=(format!("leaks/{}", incident.id)) { (words::headline(incident)) } }
            p.quiet {
                code { (incident.cause) } ", " (words::state(incident.state))
                @if let Some(ended) = incident.ended_at { ", " (moment(ended.seconds())) ", after " (duration(ended - incident.onset)) }
            }
        }
    }
}

/// Those that cannot be seen.
fn targets(overview: &Overview) -> Markup {
    let down: Vec<&TargetView> = overview
        .targets
        .iter()
        .filter(|own| own.health() == "down")
        .collect();
    html! {
        @if overview.sources.iter().any(|own| own.state != SourceState::Up) { (sources(overview)) }
        @if !down.is_empty() {
            h2 { "Targets that cannot be seen" }
            div.scroll tabindex="0" role="region" aria-label="Targets that cannot be seen" {
                table {
                    thead { tr { th scope="col" { "Job" } th scope="col" { "Instance" } th scope="col" { "Health" } th scope="col" { "Last scrape" } th.number scope="col" { "Watched series" } } }
                    tbody { @for own in down.iter().take(DOWN_SHOWN) { (row(overview, own)) } }
                }
            }
            @if down.len() > DOWN_SHOWN { p { a href="targets?health=down" { "All " (count(down.len() as f64)) " that are down" } } }
        }
    }
}

fn series(overview: &Overview) -> Markup {
    html! {
        h2 { "What is watched" }
        @if overview.series.is_empty() {
            p { "Nothing yet." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="What is watched" {
                table {
                    thead { tr { th scope="col" { "Job" } th scope="col" { "Signal" } th.number scope="col" { "Healthy" } th.number scope="col" { "Learning" } th.number scope="col" { "Undecided" } th.number scope="col" { "Leaking" } } }
                    tbody {
                        @for own in overview.series.iter().take(SUSPECTS_SHOWN) {
                            tr {
                                td { (own.job) }
                                th scope="row" { code { (own.signal) } }
                                @for number in [own.healthy, own.learning, own.undecided, own.leaking] { td.number { (count(number as f64)) } }
                            }
                        }
                    }
                }
            }
            @if overview.series.len() > SUSPECTS_SHOWN { p.quiet { (counted((overview.series.len() - SUSPECTS_SHOWN) as u64, "more line stands", "more lines stand")) " in the metrics." } }
        }
    }
}
