//! Colours, letters, and the style sheet that turns the picture dark where the reader prefers it.

use plotters::style::{IntoFont, RGBColor, TextStyle};

pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFE);
pub(super) const INK: RGBColor = RGBColor(0x1A, 0x1D, 0x21);
pub(super) const QUIET: RGBColor = RGBColor(0x5B, 0x64, 0x6E);
pub(super) const GRID: RGBColor = RGBColor(0xDF, 0xE3, 0xE8);
pub(super) const MEASURED: RGBColor = RGBColor(0x1F, 0x6F, 0xD6);
pub(super) const ENVELOPE: RGBColor = RGBColor(0x0B, 0x7A, 0x75);
pub(super) const FIT: RGBColor = RGBColor(0xB4, 0x5A, 0x00);
pub(super) const LIMIT: RGBColor = RGBColor(0xC6, 0x28, 0x28);
pub(super) const ONSET: RGBColor = RGBColor(0x7A, 0x3E, 0xB1);

/// Each light colour with its dark counterpart; both pairs keep a contrast of 4.5 with their paper (WCAG 2.2, 1.4.3),
/// the grid excepted.
const DARK: [(RGBColor, &str); 9] = [
    (PAPER, "#14171A"),
    (INK, "#ECEFF2"),
    (QUIET, "#A3ADB8"),
    (GRID, "#2C3238"),
    (MEASURED, "#6CB0FF"),
    (ENVELOPE, "#4FD1C7"),
    (FIT, "#FFB25E"),
    (LIMIT, "#FF7B72"),
    (ONSET, "#C9A0F5"),
];

/// Letters of a nominal size; the backend draws them at four fifths of it, in pixels.
pub(super) fn text(pixels: u32, colour: RGBColor) -> TextStyle<'static> {
    ("system-ui, sans-serif", pixels).into_font().color(&colour)
}

/// Without control characters: XML 1.0 has no way to write them, not even escaped.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// `text` cut to what fits `width` pixels, by the average letter's width.
pub(super) fn shortened(text: &str, width: u32, pixels: u32) -> String {
    let text = printable(text);
    let room = (width.saturating_sub(28) * 100 / (pixels * 42)) as usize;
    if text.chars().count() <= room {
        return text;
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.push('\u{2026}');
    cut
}

/// Adds to the drawn document its name, its description and the dark colours.
pub(super) fn dress(document: &str, title: &str, description: &str) -> String {
    // The backend opens the document with one `<svg …>` tag, whose attributes are numbers and its own.
    let Some((head, body)) = document.split_once('>') else {
        return document.to_owned();
    };
    let rules: String = DARK
        .iter()
        .map(|(light, dark)| {
            let RGBColor(red, green, blue) = light;
            let light = format!("#{red:02X}{green:02X}{blue:02X}");
            format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
        })
        .collect();
    let (title, description) = (escaped(title), escaped(description));
    let (light_paper, dark_paper) = ("#FFFFFE", "#14171A");
    // Letters have a rim of paper, so that a line behind them does not make them illegible.
    let letters = format!(
        "text{{font-family:system-ui,-apple-system,\"Segoe UI\",sans-serif;paint-order:stroke;stroke:{light_paper};stroke-width:4px;stroke-linejoin:round}}"
    );
    let dark = format!("@media (prefers-color-scheme:dark){{text{{stroke:{dark_paper}}}{rules}}}");
    format!(
        "{head} role=\"img\" aria-labelledby=\"title description\">\n<title id=\"title\">{title}</title>\n<desc id=\"description\">{description}</desc>\n\
         <style>{letters}{dark}</style>{body}"
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}
