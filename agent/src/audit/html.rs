//! The report as one HTML file that needs nothing else: it can be attached, printed and read offline.
//!
//! Every text from the store goes through maud, which escapes it; pictures are embedded as images, so that nothing in
//! them can reach the page; a content security policy in the document forbids everything that it does not need.

use std::fmt::Write as _;

use leak_detect::Tier;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::coroner::Grown;
use super::report::{Grade, GradedDeath, Leak, Report};
use super::summary;
use crate::labels::Labels;
use crate::quantity::{Unit, count, duration, moment};
use crate::web::words;

/// The style of the agent's own pages, and what only a report has.
const STYLE: &str = concat!(include_str!("../web/style.css"), include_str!("report.css"));

/// Nothing from elsewhere, nothing that runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// Deaths and rollouts in one table; the rest are counted.
const ROWS: usize = 1000;

/// Deaths in a table that is open from the beginning.
const ROWS_OPEN: usize = 40;

/// The whole document.
pub(super) fn page(report: &Report) -> String {
    let title = format!(
        "Leak audit, {} to {}",
        day(report.from.seconds()),
        day(report.to.seconds())
    );
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                // Our own text; a style sheet is not escaped.
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { span.name { "Leakwatch" } span.asof { "leak-agent " (env!("CARGO_PKG_VERSION")) " audit" } }
                main {
                    h1 { (headline(report)) }
                    p.quiet { (report.store) ", " (moment(report.from.seconds())) " to " (moment(report.to.seconds())) }
                    (figures(report))
                    (contents(report))
                    (suspects(report))
                    (deaths(report))
                    (doubtful(report))
                    (rollouts(report))
                    (blind(report))
                    (method(report))
                }
            }
        }
    };
    super::report::printable(&document.into_string())
}

fn headline(report: &Report) -> String {
    let suspects = report.suspects().count();
    let leads = report.leads();
    let with_leak = leads.len() + report.count(|own| own.grade == Grade::Missed);
    let found = match suspects {
        0 => "No leak is suspected".to_owned(),
        1 => "One leak is suspected".to_owned(),
        many => format!("{} leaks are suspected", count(many as f64)),
    };
    match with_leak {
        0 => found,
        1 if leads.len() == 1 => {
            format!("{found}; the one death with a leak before it would have been ticketed")
        }
        all => format!(
            "{found}; of {all} deaths with a leak before them {} would have been ticketed",
            leads.len()
        ),
    }
}

fn figures(report: &Report) -> Markup {
    html! {
        section.card { dl {
            @for (name, text) in summary::figures_of(report) { dt { (name) } dd { (text) } }
        } }
    }
}

/// Every suspect in one line, with a link to its section.
fn contents(report: &Report) -> Markup {
    let leaks: Vec<_> = report.suspects().collect();
    html! {
        @if leaks.len() > 1 {
            div.scroll { table {
                caption { "Suspected leaks" }
                thead { tr { th { "What" } th { "Since" } th.number { "Growth" } th.number { "Deaths" } th { "At the end" } } }
                tbody { @for (place, leak) in leaks {
                    @let incident = &leak.incident;
                    tr {
                        td { a href=(format!("#leak-{place}")) { (words::subject(incident)) } }
                        td { time { (moment(incident.onset.seconds())) } }
                        td.number { @if words::is_level(incident) { (Unit::of_metric(&incident.signal).growth(incident.evidence.growth_per_second.estimate)) } @else { "\u{2013}" } }
                        td.number { (leak.deaths.len()) }
                        td { (leak.fate.words()) }
                    }
                } }
            } }
        }
    }
}

fn suspects(report: &Report) -> Markup {
    html! {
        h2 { "Suspected leaks" }
        @for (place, leak) in report.suspects() { (leak_card(report, place, leak)) }
        @if report.suspects().next().is_none() { p { "None. Read below what could not be judged before you believe it." } }
    }
}

fn doubtful(report: &Report) -> Markup {
    html! {
        h2 #doubtful { "Likely false alerts" }
        @if report.doubtful().next().is_none() {
            p { "None: every ticket has a growth that went on, or a death after it." }
        } @else {
            p { "Tickets of which nothing came: the growth ended by itself, and no instance died. Some may be leaks that a quiet hour released; none would have been missed." }
        }
        @for (place, leak) in report.doubtful() { (leak_card(report, place, leak)) }
    }
}

fn leak_card(report: &Report, place: usize, leak: &Leak) -> Markup {
    let incident = &leak.incident;
    let tone = match (leak.fate.is_doubtful(), leak.deaths.is_empty()) {
        (true, _) => "card suspect doubtful",
        (false, true) => "card suspect",
        (false, false) => "card suspect urgent",
    };
    html! {
        section class=(tone) id=(format!("leak-{place}")) {
            h3 { (words::subject(incident)) }
            ul.tags {
                li.tag.warn { "ticket" }
                @if leak.told.paged_at.is_some() { li.tag.bad { "page" } }
                li.tag { (leak.fate.words()) }
                li.tag { code { (incident.cause) } }
            }
            @match &leak.picture {
                Ok(svg) => { figure.figure { img src=(data_url(svg)) alt=(words::subject(incident)) width="960" height="380"; figcaption.quiet { "The highest of its instances at each moment, as a line with the band from least to greatest value of each point; upright: its onset, the ticket" @if !leak.deaths.is_empty() { ", each death" } "." } } }
                Err(why) => { p.quiet { "No picture: " (why) "." } }
            }
            p { (words::cause(incident.cause)) }
            (facts(leak))
            (reasoning(leak))
            @if !leak.deaths.is_empty() {
                details { summary { "Its deaths" } (death_table(report, leak.deaths.iter().filter_map(|place| report.deaths.get(*place)))) }
            }
        }
    }
}

fn facts(leak: &Leak) -> Markup {
    let incident = &leak.incident;
    let evidence = &incident.evidence;
    let unit = Unit::of_metric(&incident.signal);
    let growth = evidence.growth_per_second;
    html! {
        dl {
            dt { "Workload" } dd { (label_list(&incident.workload)) }
            dt { "Signal" } dd { code { (incident.signal) } @if let Some(resource) = &incident.resource { " of " code { (resource) } } @if let Some(upstream) = &incident.upstream { " towards " (upstream) } @if let Some(route) = &incident.route { " on " code { (route) } } }
            dt { "Since" } dd { time { (moment(incident.onset.seconds())) } }
            @if let Some(at) = leak.told.ticketed_at { dt { "Ticket" } dd { time { (moment(at.seconds())) } ", " (duration(at - incident.onset)) " after it began" } }
            @if let Some(at) = leak.told.paged_at { dt { "Page" } dd { time { (moment(at.seconds())) } } }
            @if let Some(at) = incident.ended_at { dt { "Over" } dd { time { (moment(at.seconds())) } ", " (words::state(incident.state)) } }
            @if words::is_level(incident) {
                dt { "Held" } dd { (unit.text(evidence.value)) " when seen last, " (unit.text(evidence.peak)) " at most, all leaking instances together" }
                dt { "Growth" } dd { (unit.growth(growth.estimate)) span.quiet { " (between " (unit.growth(growth.low)) " and " (unit.growth(growth.high)) ")" } }
            }
            @if let Some(own) = &evidence.exhaustion {
                dt { "Runs out" } dd { "in " (duration(own.seconds.estimate)) ", not before " (duration(own.seconds.low)) ": " code { (own.signal) } " of " (own.instance) " at " (Unit::of_metric(&own.signal).text(own.limit)) }
            } @else {
                dt { "Runs out" } dd { "no limit is known, or it does not grow" }
            }
            dt { "Instances" } dd { (instances(leak)) }
            @if let Some(site) = incident.place() { dt { "Place" } dd { code { (site) } } }
            dt { "Do first" } dd { (leak.first_action) }
        }
    }
}

/// Why it is believed: what was ruled out, and how.
fn reasoning(leak: &Leak) -> Markup {
    let evidence = &leak.incident.evidence;
    html! {
        details open { summary { "Why it is believed" }
            p {
                (count(evidence.samples as f64)) " samples, judged over " (duration(evidence.scale_seconds)) ". "
                @match evidence.tier {
                    Tier::Exact => "The target itself counts what a correct program never has: this is no estimate.",
                    Tier::Level => "A level, judged by its lower envelope.",
                }
            }
            @if !evidence.ruled_out.is_empty() {
                dl { @for (what, how) in &evidence.ruled_out { dt { "not " (what) } dd { (how) } } }
            }
            @if leak.incident.signals.len() > 1 {
                p { "With it grew: " @for (index, signal) in leak.incident.signals.iter().skip(1).enumerate() { @if index > 0 { ", " } code { (signal.signal) } } "." }
            }
        }
    }
}

fn deaths(report: &Report) -> Markup {
    let missed: Vec<&GradedDeath> = report
        .deaths
        .iter()
        .filter(|own| own.grade == Grade::Missed)
        .collect();
    html! {
        h2 #deaths { "Deaths" }
        @if report.deaths.is_empty() {
            p { "None was seen: no process began anew by itself, no container was restarted, no descriptors were used up." }
        } @else {
            @if !missed.is_empty() {
                p { "In " (count(missed.len() as f64)) " of them something had grown, and no ticket would have said so in time:" }
                (death_table(report, missed.into_iter()))
            }
            details open[report.deaths.len() <= ROWS_OPEN] {
                summary { (super::report::counted(report.deaths.len(), "death", "deaths")) " in all" }
                (death_table(report, report.deaths.iter()))
            }
        }
    }
}

fn death_table<'d>(report: &Report, deaths: impl Iterator<Item = &'d GradedDeath>) -> Markup {
    let deaths: Vec<&GradedDeath> = deaths.collect();
    html! {
        div.scroll { table {
            thead { tr { th { "When" } th { "Who" } th { "How" } th { "What had grown" } th { "Ticket" } } }
            tbody { @for own in deaths.iter().take(ROWS) {
                tr {
                    td { time { (moment(own.death.at.seconds())) } }
                    td { (own.death.name) }
                    td { (own.death.kind.words()) }
                    td { (grown(own)) }
                    td { (grade(report, own)) }
                }
            } }
        } }
        @if deaths.len() > ROWS { p.quiet { "And " (count((deaths.len() - ROWS) as f64)) " more." } }
    }
}

fn grown(own: &GradedDeath) -> Markup {
    html! {
        @match own.death.grown.first() {
            Some(Grown { signal, growth, .. }) => {
                @let unit = Unit::of_metric(signal);
                code { (signal) } " from " (unit.text(growth.from)) " to " (unit.text(growth.to)) " in " (duration(growth.seconds))
            }
            None => { @match &own.death.unseen { Some(why) => span.quiet { (why) }, None => "nothing" } }
        }
    }
}

fn grade(report: &Report, own: &GradedDeath) -> Markup {
    html! {
        @match &own.grade {
            Grade::Ticketed { lead, leak } => {
                @let name = report.leaks.get(*leak).map(|leak| leak.incident.signal.clone()).unwrap_or_default();
                a href=(format!("#leak-{leak}")) title=(name) { (duration(*lead)) " before" }
            }
            Grade::Missed => { strong.missed { "none in time" } @if let Some(why) = own.death.grown.first().and_then(|own| own.standing.as_ref()) { br; span.quiet { (why) } } }
            Grade::NoLeak => span.quiet { "no leak to be ticketed" },
            Grade::Unknown(_) => span.quiet { "cannot be told" },
        }
    }
}

fn rollouts(report: &Report) -> Markup {
    html! {
        h2 { "Rollouts" }
        @if report.rollouts.is_empty() { p { "None was seen." } } @else {
            p { "Instances of a workload that began anew together, or new names in the place of old ones. They are no deaths." }
            details { summary { (summary_of_rollouts(report)) }
                div.scroll { table {
                    thead { tr { th { "When" } th { "Workload" } th.number { "Instances" } th { "How" } } }
                    tbody { @for own in report.rollouts.iter().take(ROWS) {
                        tr {
                            td { time { (moment(own.at.seconds())) } }
                            td { (label_list(&own.workload)) }
                            td.number { (own.instances) }
                            td { @if own.is_renamed { "replaced by new names" } @else { "began anew together" } }
                        }
                    } }
                } }
                @if report.rollouts.len() > ROWS { p.quiet { "And " (count((report.rollouts.len() - ROWS) as f64)) " more." } }
            }
        }
    }
}

fn summary_of_rollouts(report: &Report) -> String {
    super::report::counted(report.rollouts.len(), "rollout", "rollouts")
}

fn blind(report: &Report) -> Markup {
    html! {
        h2 #not-judged { "What could not be judged" }
        @if report.blind.is_empty() { p { "Nothing that is known of." } } @else {
            ul { @for text in &report.blind { li { (text) } } }
        }
        p.quiet { "Only what the catalogue knows was looked at; what a service does not expose leaks unseen." }
    }
}

fn method(report: &Report) -> Markup {
    let looked = &report.looked;
    html! {
        h2 { "How this was found" }
        p {
            "The history of every series of the catalogue was played to the agent's detector, as if it had been running: nothing was known to it before its time. "
            "False alerts are budgeted for the whole agent: " (count(looked.budget.0)) " tickets and " (count(looked.budget.1)) " pages a year, divided by " (count(looked.divisor as f64)) " series. "
            "A death counts as a leak's if a ticket of the same workload stood before it, or if a level had grown in that life: its lower envelope at the end above that of the beginning by the catalogue's floors, with some of it by the middle. "
            "The second rule is not the detector's."
        }
    }
}

fn instances(leak: &Leak) -> String {
    const NAMED: usize = 12;
    let mut names: Vec<&str> = leak
        .incident
        .instances
        .values()
        .map(|own| &*own.instance)
        .collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn label_list(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    pairs.join(", ")
}

fn day(unix_seconds: f64) -> String {
    moment(unix_seconds)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A picture within the document: as an image it can neither run nor load anything, and keeps its names to itself.
fn data_url(svg: &str) -> String {
    let mut url = String::with_capacity(svg.len() * 5 / 4);
    url.push_str("data:image/svg+xml,");
    for byte in svg.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b' '
            | b'-'
            | b'_'
            | b'.'
            | b'/'
            | b':'
            | b';'
            | b','
            | b'='
            | b'('
            | b')'
            | b'{'
            | b'}'
            | b'\'' => {
                url.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            other => {
                let _ = write!(url, "%{other:02X}");
            }
        }
    }
    url
}
