//! The alert as the on-call engineer reads it: what, since when, why, where, and what to do first.

use leak_agent::quantity::{count, duration};

use crate::observe::{Alert, Leak};
use crate::screen::{Screen, Tone, printable, wrapped};

/// Letters of a line of text.
const WIDTH: usize = 88;

/// Prints the alert and what the agent knows beside it.
pub(crate) fn print(screen: &mut Screen, alert: &Alert, leak: Option<&Leak>, page: &str) {
    let heading = format!(
        "{} ({}) {} since {}",
        alert.label("alertname"),
        alert.label("severity"),
        alert.state,
        alert.active_at
    );
    screen.say(Tone::Plain, "");
    screen.say(Tone::Bad, &format!("  {}", printable(&heading)));
    paragraph(screen, "", alert.annotation("summary"));
    paragraph(screen, "", alert.annotation("description"));
    screen.say(Tone::Plain, "");
    paragraph(screen, "cause", alert.annotation("cause"));
    match leak.map(|leak| &*leak.places).unwrap_or_default() {
        [] => paragraph(screen, "place", alert.annotation("site")),
        places => {
            for (index, place) in places.iter().enumerate() {
                let age = place
                    .oldest_age_seconds
                    .map(|age| format!(", the oldest for {}", duration(age)))
                    .unwrap_or_default();
                let text = format!("{} ({}{age})", place.site, count(place.count as f64));
                paragraph(screen, if index == 0 { "place" } else { "" }, &text);
            }
        }
    }
    for label in ["signal", "resource", "upstream", "route"] {
        paragraph(screen, label, alert.label(label));
    }
    if let Some(leak) = leak {
        paragraph(screen, "first", &leak.first_action);
    }
    paragraph(screen, "page", page);
    screen.say(Tone::Plain, "");
}

fn paragraph(screen: &mut Screen, name: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    for (index, line) in wrapped(&printable(text), WIDTH - 12).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        screen.say(Tone::Plain, &format!("  {name:<10}{line}"));
    }
}
