//! The audit on a terminal: the figures, the suspects in one line each, and what could not be judged.

use std::fmt::Write as _;

use super::coroner::{DeathKind, Grown};
use super::report::{Grade, Leak, Report, counted, printable};
use crate::excerpt::excerpt;
use crate::quantity::{Unit, count, duration, moment};
use crate::web::words;

/// Suspects and deaths in one list of the terminal; the rest are counted.
const LISTED: usize = 20;

/// Characters of a text from the store.
const CHARACTERS: usize = 160;

/// The whole summary, with a line feed at its end.
pub(super) fn text(report: &Report) -> String {
    let mut lines = vec![format!("Audit of {}", excerpt(&report.store, CHARACTERS))];
    lines.push(format!(
        "{} to {} ({}), {}",
        moment(report.from.seconds()),
        moment(report.to.seconds()),
        duration(report.seconds()),
        report.step.map_or_else(
            || "every sample".to_owned(),
            |step| format!("one value in {}", duration(step.as_secs_f64()))
        )
    ));
    lines.push(String::new());
    figures(report, &mut lines);
    let suspects: Vec<&Leak> = report.suspects().map(|(_, leak)| leak).collect();
    list("Suspected leaks", &suspects, &mut lines);
    let doubtful: Vec<&Leak> = report.doubtful().map(|(_, leak)| leak).collect();
    list("Likely false alerts", &doubtful, &mut lines);
    missed(report, &mut lines);
    lines.push("Not judged".to_owned());
    if report.blind.is_empty() {
        lines.push("  Nothing that is known of.".to_owned());
    }
    lines.extend(report.blind.iter().map(|text| format!("  {text}")));
    printable(&lines.join("\n")) + "\n"
}

/// What the first lines say, each with its name.
pub(super) fn figures_of(report: &Report) -> Vec<(&'static str, String)> {
    let looked = &report.looked;
    vec![
        (
            "Looked at",
            format!(
                "{}, {}, {} series, {} samples, in {}",
                counted(looked.workloads, "workload", "workloads"),
                counted(looked.targets, "target", "targets"),
                count(looked.series as f64),
                count(looked.samples as f64),
                duration(looked.seconds)
            ),
        ),
        ("Suspected leaks", fates(report)),
        ("Deaths", deaths(report)),
        ("Foretold", foretold(report)),
        ("Rollouts", rollouts(report)),
        ("Likely false", likely_false(report)),
    ]
}

fn figures(report: &Report, lines: &mut Vec<String>) {
    lines.extend(
        figures_of(report)
            .into_iter()
            .map(|(name, text)| format!("{name:<16} {text}")),
    );
    lines.push(String::new());
}

fn rollouts(report: &Report) -> String {
    match report.rollouts.len() {
        0 => "none was seen".to_owned(),
        1 => "1, which is no death".to_owned(),
        many => format!("{}, which are no deaths", count(many as f64)),
    }
}

fn fates(report: &Report) -> String {
    let suspects = count(report.suspects().count() as f64);
    let count_of = |fate| report.leaks.iter().filter(|leak| leak.fate == fate).count();
    use super::report::Fate::{Deadly, Gone, Growing, Replaced};
    let parts: Vec<String> = [
        (Deadly, "led to deaths"),
        (Growing, "still growing"),
        (Replaced, "gone with a replacement"),
        (Gone, "gone with the workload"),
    ]
    .into_iter()
    .filter_map(|(fate, words)| {
        Some(count_of(fate))
            .filter(|number| *number > 0)
            .map(|number| format!("{number} {words}"))
    })
    .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        format!("{suspects}: {}", parts.join(", "))
    }
}

fn deaths(report: &Report) -> String {
    let kinds: Vec<String> = DeathKind::ALL
        .into_iter()
        .filter_map(|kind| {
            let number = report.count(|own| own.death.kind == kind);
            (number > 0).then(|| kind.counted(number))
        })
        .collect();
    match report.deaths.len() {
        0 => "none was seen".to_owned(),
        all => format!("{all}: {}", kinds.join(", ")),
    }
}

/// Of the deaths that a leak explains, those that were ticketed, and how long before.
fn foretold(report: &Report) -> String {
    let leads = report.leads();
    let missed = report.count(|own| own.grade == Grade::Missed);
    let flat = report.count(|own| own.grade == Grade::NoLeak);
    let unknown = report.count(|own| matches!(own.grade, Grade::Unknown(_)));
    let mut text = match leads.len() + missed {
        0 => "no death had a leak before it".to_owned(),
        all => format!(
            "{} of {} with a leak before it would have been ticketed",
            leads.len(),
            counted(all, "death", "deaths")
        ),
    };
    if let Some(worst) = leads.first() {
        let median = duration(leads[leads.len() / 2]);
        let _ = write!(
            text,
            ", {median} before in the median, {} at worst",
            duration(*worst)
        );
    }
    if flat > 0 {
        let _ = write!(
            text,
            "; before {} nothing had grown",
            counted(flat, "other", "others")
        );
    }
    if unknown > 0 {
        let _ = write!(text, "; of {unknown} it cannot be told");
    }
    text
}

fn likely_false(report: &Report) -> String {
    let looked = &report.looked;
    let years = report.seconds() / (365.25 * 86_400.0);
    format!(
        "{}; the budget allows {} tickets in this time, over {} series",
        counted(report.doubtful().count(), "ticket", "tickets"),
        count(looked.budget.0 * years),
        count(looked.divisor as f64)
    )
}

fn list(title: &str, leaks: &[&Leak], lines: &mut Vec<String>) {
    if leaks.is_empty() {
        return;
    }
    lines.push(title.to_owned());
    for leak in leaks.iter().take(LISTED) {
        let incident = &leak.incident;
        let unit = Unit::of_metric(&incident.signal);
        lines.push(format!(
            "  {}",
            excerpt(&words::subject(incident), CHARACTERS)
        ));
        let mut text = format!(
            "    {} since {}",
            excerpt(&incident.signal, CHARACTERS),
            moment(incident.onset.seconds())
        );
        if words::is_level(incident) {
            let _ = write!(
                text,
                ", {}, {} at most",
                unit.growth(incident.evidence.growth_per_second.estimate),
                unit.text(incident.evidence.peak)
            );
        }
        if let Some(at) = leak.told.ticketed_at {
            let _ = write!(
                text,
                "; ticket {} after its onset",
                duration(at - incident.onset)
            );
        }
        let _ = write!(text, "; {}", leak.fate.words());
        if !leak.deaths.is_empty() {
            let _ = write!(text, " ({})", counted(leak.deaths.len(), "death", "deaths"));
        }
        lines.push(text);
    }
    if leaks.len() > LISTED {
        lines.push(format!("  and {} more", leaks.len() - LISTED));
    }
    lines.push(String::new());
}

fn missed(report: &Report, lines: &mut Vec<String>) {
    let missed: Vec<_> = report
        .deaths
        .iter()
        .filter(|own| own.grade == Grade::Missed)
        .collect();
    if missed.is_empty() {
        return;
    }
    lines.push("Deaths with growth before them and no ticket in time".to_owned());
    for own in missed.iter().take(LISTED) {
        let mut text = format!(
            "  {} {}: {}",
            moment(own.death.at.seconds()),
            excerpt(&own.death.name, CHARACTERS),
            own.death.kind.words()
        );
        if let Some(Grown {
            signal,
            growth,
            standing,
            ..
        }) = own.death.grown.first()
        {
            let unit = Unit::of_metric(signal);
            let _ = write!(
                text,
                "; {signal} from {} to {} in {}",
                unit.text(growth.from),
                unit.text(growth.to),
                duration(growth.seconds)
            );
            if let Some(standing) = standing {
                let _ = write!(text, "; {standing}");
            }
        }
        lines.push(text);
    }
    if missed.len() > LISTED {
        lines.push(format!("  and {} more", missed.len() - LISTED));
    }
    lines.push(String::new());
}
