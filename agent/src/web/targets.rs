//! The page of targets: who is looked at, who cannot be seen and why. Those that are down come first.

use maud::{Markup, html};

use crate::quantity::{count, duration};
use crate::source::SourceState;
use crate::web::filter::{Page, address, encoded};
use crate::web::suspects::pages;
use crate::web::view::{Overview, TargetView, counted};

/// Targets on one page.
const TARGETS_SHOWN: usize = 200;

/// Which targets are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// One job; all where empty.
    pub(super) job: String,
    /// `up`, `down` or `unknown`; all where empty.
    pub(super) health: String,
    /// The number of the page.
    pub(super) page: usize,
    /// Whether the page reloads itself.
    pub(super) reloads: bool,
}

impl Wanted {
    /// The choice as a query.
    pub(super) fn query(&self) -> String {
        let field = |name: &str, value: &str| {
            (!value.is_empty()).then(|| format!("{name}={}", encoded(value)))
        };
        let fields = [field("job", &self.job), field("health", &self.health)];
        let fields: Vec<String> = fields.into_iter().flatten().collect();
        fields.join("&")
    }

    fn wants(&self, own: &TargetView) -> bool {
        (self.job.is_empty() || self.job == *own.target.job)
            && (self.health.is_empty() || self.health == own.health())
    }
}

/// The content of the page.
pub(super) fn page(overview: &Overview, wanted: &Wanted) -> Markup {
    let mut chosen: Vec<&TargetView> = overview
        .targets
        .iter()
        .filter(|own| wanted.wants(own))
        .collect();
    chosen.sort_by_key(|own| (own.health() == "up", own.health() == "unknown"));
    let list = Page::of(&chosen, TARGETS_SHOWN, wanted.page);
    let down = overview.down();
    html! {
        section class=(if down > 0 { "banner warn" } else { "banner" }) {
            h1 {
                (counted(overview.targets.len() as u64, "target", "targets"))
                @if down > 0 { ", " (count(down as f64)) " down" }
            }
            @for spot in overview.blind_spots() { p { (spot) } }
        }
        (sources(overview))
        (form(overview, wanted))
        @if chosen.is_empty() { p { "No target is like that." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Targets" {
                table {
                    thead { tr { th scope="col" { "Job" } th scope="col" { "Instance" } th scope="col" { "Health" } th scope="col" { "Last scrape" } th.number scope="col" { "Watched series" } } }
                    tbody { @for own in list.shown { (row(overview, own)) } }
                }
            }
            (pages(&list, |number| address(&wanted.query(), number, wanted.reloads)))
        }
    }
}

/// The stores that are queried, where there are any.
pub(super) fn sources(overview: &Overview) -> Markup {
    html! {
        @if !overview.sources.is_empty() {
            h2 { "Sources" }
            div.scroll tabindex="0" role="region" aria-label="Sources" {
                table {
                    thead { tr { th scope="col" { "Source" } th scope="col" { "Health" } th scope="col" { "Last whole answer" } } }
                    tbody {
                        @for own in &overview.sources {
                            tr {
                                th scope="row" { (own.name) }
                                td {
                                    @match &own.state {
                                        SourceState::Starting(share) => { span.tag { "reading its history: " (format!("{:.0} %", 100.0 * share)) } }
                                        SourceState::Up => { span.tag.good { "up" } }
                                        SourceState::Down(error) => { span.tag.bad { "not known whole" } " " (error) }
                                    }
                                }
                                td {
                                    @match own.last_success {
                                        Some(at) => { (duration((overview.now - at).max(0.0))) " ago" }
                                        None => { "\u{2013}" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn form(overview: &Overview, wanted: &Wanted) -> Markup {
    let mut jobs: Vec<&str> = overview
        .targets
        .iter()
        .map(|own| &*own.target.job)
        .collect();
    jobs.sort_unstable();
    jobs.dedup();
    html! {
        form.filter method="get" action="targets" {
            div {
                label for="job" { "Job" }
                select id="job" name="job" {
                    option value="" { "any" }
                    @for job in jobs { option value=(job) selected[job == wanted.job] { (job) } }
                }
            }
            div {
                label for="health" { "Health" }
                select id="health" name="health" {
                    option value="" { "any" }
                    @for (health, word) in [("down", "down"), ("unknown", "not yet scraped"), ("up", "up")] {
                        option value=(health) selected[health == wanted.health] { (word) }
                    }
                }
            }
            @if !wanted.reloads { input type="hidden" name="refresh" value="off"; }
            button type="submit" { "Show" }
            @if !wanted.query().is_empty() { a href="targets" { "show all" } }
        }
    }
}

/// One target as a row.
pub(super) fn row(overview: &Overview, own: &TargetView) -> Markup {
    html! {
        tr {
            td { (own.target.job) }
            th scope="row" { (own.target.instance) }
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
            td.number { (count(own.watched as f64)) }
        }
    }
}
