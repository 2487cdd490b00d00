//! The alert as the on-call engineer reads it: what, since when, why, where, and what to do first.

use leak_agent::quantity::{count, duration};

use crate::observe::{Alert, Leak};
use crate::screen::{Screen, Tone, printable, wrapped};

/// Letters of a line of text.
const WIDTH: usize = 88;

/// Prints the alert and what the agent knows beside it; `page` is the louder alert of the same leak, if that fires too.
pub(crate) fn print(
    screen: &mut Screen,
    alert: &Alert,
    page: Option<&Alert>,
    leak: Option<&Leak>,
    address: &str,
) {
    screen.say(Tone::Plain, "");
    for own in [Some(alert), page].into_iter().flatten() {
        let heading = format!(
            "{} ({}) {} since {}",
            own.label("alertname"),
            own.label("severity"),
            own.state,
            own.active_at
        );
        screen.say(Tone::Bad, &format!("  {}", printable(&heading)));
        paragraph(screen, own.annotation("summary"));
    }
    screen.say(Tone::Plain, "");
    paragraph(screen, alert.annotation("description"));
    screen.say(Tone::Plain, "");
    row(screen, "cause", alert.annotation("cause"));
    match leak.map(|leak| &*leak.places).unwrap_or_default() {
        [] => row(screen, "place", alert.annotation("site")),
        places => {
            for (index, place) in places.iter().enumerate() {
                let age = place
                    .oldest_age_seconds
                    .map(|age| format!(", the oldest for {}", duration(age)))
                    .unwrap_or_default();
                let text = format!(
                    "{} ({} {}{age})",
                    place.site,
                    count(place.count as f64),
                    place.kind
                );
                row(screen, if index == 0 { "place" } else { "" }, &text);
            }
        }
    }
    for label in ["signal", "resource", "upstream", "route"] {
        row(screen, label, alert.label(label));
    }
    if let Some(leak) = leak {
        row(screen, "first", &leak.first_action);
    }
    row(screen, "page", address);
    screen.say(Tone::Plain, "");
}

fn paragraph(screen: &mut Screen, text: &str) {
    for line in wrapped(&printable(text), WIDTH - 2)
        .iter()
        .filter(|line| !line.is_empty())
    {
        screen.say(Tone::Plain, &format!("  {line}"));
    }
}

fn row(screen: &mut Screen, name: &str, text: &str) {
    for (index, line) in wrapped(&printable(text), WIDTH - 12)
        .iter()
        .filter(|line| !line.is_empty())
        .enumerate()
    {
        let name = if index == 0 { name } else { "" };
        screen.say(Tone::Plain, &format!("  {name:<10}{line}"));
    }
}
