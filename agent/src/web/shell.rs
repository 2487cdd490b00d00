//! What every page has: the head, the line on top, the foot. Every text goes through maud, which escapes it.

use maud::{DOCTYPE, Markup, html};

use crate::quantity::moment;

/// Where the style sheet is served.
pub(super) const STYLE_PATH: &str = "/style.css";
/// The style sheet itself.
pub(super) const STYLE: &str = include_str!("style.css");
/// What a page may load: our own style sheet and pictures, and nothing that runs. Its forms come back to it.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// What a picture may load: nothing, but for the style sheet within it.
pub(super) const PICTURE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/// Which of the pages a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Suspects,
    Targets,
    /// None of those in the navigation.
    Other,
}

/// A page around its content.
pub(super) struct Shell<'a> {
    /// Relative path to the root of the interface, so that links hold behind a path prefix: `""` or `"../"`.
    pub(super) root: &'static str,
    /// Where the reader is.
    pub(super) place: Place,
    /// The window's title.
    pub(super) title: &'a str,
    /// When the page was made, in unix seconds.
    pub(super) now: f64,
    /// After how many seconds the page reloads itself; `None`: never.
    pub(super) refresh_seconds: Option<u32>,
    /// Where the reader can stop or resume the reloading.
    pub(super) toggle: &'a str,
}

impl Shell<'_> {
    /// The whole document.
    pub(super) fn wrap(&self, content: Markup) -> Markup {
        let home = if self.root.is_empty() {
            "./"
        } else {
            self.root
        };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    meta name="color-scheme" content="light dark";
                    @if let Some(seconds) = self.refresh_seconds { meta http-equiv="refresh" content=(seconds); }
                    title { (self.title) }
                    link rel="stylesheet" href=(format!("{}{}", self.root, &STYLE_PATH[1..]));
                    // Without one every browser asks for an icon that is not there.
                    link rel="icon" href=(format!("{}icon.svg", self.root)) type="image/svg+xml";
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header {
                        a.name href=(home) { "Leakwatch" }
                        nav aria-label="Pages" {
                            (self.entry(Place::Suspects, home, "Suspects"))
                            (self.entry(Place::Targets, &format!("{}targets", self.root), "Targets"))
                        }
                        span.asof {
                            "as of " time { (moment(self.now)) }
                            @match self.refresh_seconds {
                                Some(seconds) => { ", reloads every " (seconds) " s · " a href=(self.toggle) { "stop reloading" } }
                                None => { " · " a href=(self.toggle) { "reload by itself" } }
                            }
                        }
                    }
                    main #content tabindex="-1" { (content) }
                    footer {
                        nav aria-label="For programs" {
                            a href=(format!("{}api/v1/leaks", self.root)) { "leaks as JSON" }
                            a href=(format!("{}api/v1/alerts", self.root)) { "alerts as JSON" }
                            a href=(format!("{}api/v1/targets", self.root)) { "targets as JSON" }
                            a href=(format!("{}metrics", self.root)) { "metrics" }
                        }
                        span { "leak-agent " (env!("CARGO_PKG_VERSION")) ", times in UTC" }
                    }
                }
            }
        }
    }

    fn entry(&self, place: Place, address: &str, word: &str) -> Markup {
        html! {
            @if self.place == place { a href=(address) aria-current="page" { (word) } }
            @else { a href=(address) { (word) } }
        }
    }
}
