//! Go's goroutine profile, `debug=1`: where goroutines stand in groups, and which mistake that looks like.
//!
//! Go's own library says much by what waits where. A connection's reader that waits for its body to be read is a body
//! that was not closed; one that waits for the next answer is idle, unless a call waits for it too. A caller in
//! `WaitGroup.Wait`, or one that serves a request and waits for an answer, has set no deadline; a call that nobody waits
//! for has outlived its caller. Source: `runtime/pprof`, `Lookup("goroutine").WriteTo(w, 1)`; net/http, transport.go.

use crate::diagnosis::Cause;
use crate::excerpt::excerpt;
use crate::incident::Place;
use crate::witness::places::{MAX_PLACES, MAX_SITE_CHARS};

/// What one place holds is counted, and called, so.
const KIND: &str = "goroutine";

/// Fewer goroutines in one mistake say nothing.
const LEAST: u64 = 8;

/// A mistake is named where at least this share of all goroutines stands in it.
const LEAST_SHARE: f64 = 0.25;

/// Groups smaller than this share of the whole are no places.
const LEAST_PLACE_SHARE: f64 = 0.05;

/// Packages of Go's own library, by the first part of their path.
const STANDARD: [&str; 42] = [
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "testing",
    "time",
];

/// Goroutines with the same stack.
#[derive(Debug, PartialEq, Eq)]
struct Group<'a> {
    count: u64,
    /// The innermost first.
    frames: Vec<Frame<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Frame<'a> {
    /// With its package: `net/http.(*persistConn).readLoop`.
    function: &'a str,
    /// `path/file.go:LINE`.
    line: &'a str,
}

/// A profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profile<'a> {
    groups: Vec<Group<'a>>,
}

impl<'a> Profile<'a> {
    /// `None` where the text is no profile of goroutines.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut lines = text.lines();
        let head = lines.next()?;
        let is_profile = head.starts_with("goroutine profile: total ")
            || head.starts_with("goroutineleak profile: total ");
        if !is_profile {
            return None;
        }
        let mut groups: Vec<Group<'a>> = Vec::new();
        for line in lines {
            if let Some(rest) = line.strip_prefix("#\t") {
                // `0xADDRESS <tab> function+0xOFFSET <tabs> file:LINE`
                let mut parts = rest.split('\t').filter(|part| !part.is_empty()).skip(1);
                if let (Some(function), Some(line), Some(group)) =
                    (parts.next(), parts.next(), groups.last_mut())
                {
                    let function = function.rsplit_once("+0x").map_or(function, |own| own.0);
                    group.frames.push(Frame { function, line });
                }
            } else if let Some((count, _)) = line.split_once(" @")
                && let Ok(count) = count.parse()
            {
                groups.push(Group {
                    count,
                    frames: Vec::new(),
                });
            }
        }
        Some(Self { groups })
    }

    fn total(&self) -> u64 {
        sum(self.groups.iter())
    }

    /// The places that hold most goroutines: those of the program's own code, then Go's, each that hold most first.
    pub(super) fn places(&self) -> Vec<Place> {
        let least = (self.total() as f64 * LEAST_PLACE_SHARE).max(2.0) as u64;
        let mut places: Vec<(bool, Place)> = Vec::new();
        for group in &self.groups {
            // The writer of a connection says nothing that its reader does not.
            if group.stands_in("net/http.(*persistConn).writeLoop") {
                continue;
            }
            let Some(site) = group.site() else { continue };
            match places.iter_mut().find(|(_, own)| own.site == site) {
                Some((_, own)) => own.count = own.count.saturating_add(group.count),
                None => {
                    let place = Place {
                        site,
                        count: group.count,
                        oldest_age_seconds: None,
                        kind: KIND.to_owned(),
                    };
                    places.push((group.is_own(), place));
                }
            }
        }
        places.retain(|(_, place)| place.count >= least);
        places.sort_by(|(own, one), (others, other)| {
            let by_count = other.count.cmp(&one.count);
            (others.cmp(own).then(by_count)).then_with(|| one.site.cmp(&other.site))
        });
        places.truncate(MAX_PLACES);
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// The mistake in which most goroutines stand, where those are many.
    pub(super) fn cause(&self) -> Option<Cause> {
        let of = |wanted: &dyn Fn(&Group<'_>) -> bool| {
            sum(self.groups.iter().filter(|group| wanted(group)))
        };
        let trip = "net/http.(*persistConn).roundTrip";
        let reader = "net/http.(*persistConn).readLoop";
        let trips = of(&|own| own.stands_in(trip));
        let served = of(&|own| own.stands_in(trip) && own.serves());
        let detached = trips - served;
        let waiting = of(&|own| own.stands_in("sync.(*WaitGroup).Wait"));
        let reading = of(&|own| own.stands_in(reader) && own.stands_in("bufio.(*Reader).Peek"));
        let unread = of(&|own| own.stands_in(reader)) - reading;
        let idle = reading.saturating_sub(trips);
        // Callers that still wait for their calls have not left them behind.
        let left_behind = if waiting * 10 < detached { detached } else { 0 };
        let unbounded = served
            + if left_behind == 0 {
                waiting + detached
            } else {
                0
            };
        let unexplained = self
            .groups
            .iter()
            .filter(|own| own.is_own() && !own.serves() && !own.stands_in(trip))
            .map(|own| own.count)
            .max()
            .unwrap_or_default();
        // How often the mistake was made, and how many goroutines that are: a connection is two.
        let (_, goroutines, cause) = [
            (
                left_behind,
                left_behind,
                Some(Cause::TimeoutWithoutCancellation),
            ),
            (unbounded, unbounded, Some(Cause::FanOutWithoutDeadline)),
            (unread, 2 * unread, Some(Cause::UnclosedBodies)),
            (idle, 2 * idle, Some(Cause::IdleConnectionsUnbounded)),
            // The program's own goroutines, which wait for something that only it knows.
            (unexplained, unexplained, None),
        ]
        .into_iter()
        .max_by_key(|(count, _, _)| *count)?;
        let share = goroutines as f64 / self.total() as f64;
        cause.filter(|_| goroutines >= LEAST && share >= LEAST_SHARE)
    }
}

impl Group<'_> {
    fn stands_in(&self, function: &str) -> bool {
        self.frames.iter().any(|own| own.function == function)
    }

    /// Whether it serves a request.
    fn serves(&self) -> bool {
        self.stands_in("net/http.(*conn).serve")
    }

    /// Whether the program's own code stands in it.
    fn is_own(&self) -> bool {
        self.frames.iter().any(|own| !is_standard(own.function))
    }

    /// The innermost place in the program's own code; where there is none, Go's own that says most.
    fn site(&self) -> Option<String> {
        let own = self
            .frames
            .iter()
            .find(|frame| !is_standard(frame.function));
        let frame = own.or_else(|| self.frames.last())?;
        let mut parts = frame.line.rsplitn(3, '/');
        let (file, folder) = (parts.next().unwrap_or_default(), parts.next());
        let line = match folder {
            Some(folder) if folder != "." => format!("{folder}/{file}"),
            _ => file.to_owned(),
        };
        Some(excerpt(
            &format!("{line} ({})", frame.function),
            MAX_SITE_CHARS,
        ))
    }
}

fn sum<'a>(groups: impl Iterator<Item = &'a Group<'a>>) -> u64 {
    groups.fold(0, |sum, group| sum.saturating_add(group.count))
}

fn is_standard(function: &str) -> bool {
    let package = function.split(['.', '/']).next().unwrap_or_default();
    // A path with a dot in its first part is somebody's: `github.com/…`.
    let is_path = function.split('/').next() != Some(function);
    let has_dot = is_path
        && function
            .split('/')
            .next()
            .is_some_and(|own| own.contains('.'));
    !has_dot && STANDARD.contains(&package)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(recorded: &str, expected: Expect) {
        let profile = Profile::parse(recorded).expect("a profile");
        let mut told = match profile.cause() {
            Some(cause) => format!("{cause}\n"),
            None => "no cause\n".to_owned(),
        };
        for place in profile.places() {
            told.push_str(&format!("{} {}\n", place.count, place.site));
        }
        expected.assert_eq(&told);
    }

    // Recorded of a program of forty requests to each of these mistakes, Go 1.19.

    #[test]
    fn bodies_that_are_not_closed() {
        check(
            include_str!("recorded/unclosed.txt"),
            expect![[r#"
            unclosed_bodies
            40 http/transport.go:2213 (net/http.(*persistConn).readLoop)
        "#]],
        );
    }

    #[test]
    fn a_client_for_each_request() {
        check(
            include_str!("recorded/clients.txt"),
            expect![[r#"
            idle_connections_unbounded
            40 http/transport.go:2093 (net/http.(*persistConn).readLoop)
        "#]],
        );
    }

    #[test]
    fn a_fan_out_that_waits_for_all() {
        check(
            include_str!("recorded/fan.txt"),
            expect![[r#"
                fan_out_without_deadline
                40 main.go:34 (main.fetch)
                40 main.go:47 (main.home)
                44 http/transport.go:2093 (net/http.(*persistConn).readLoop)
            "#]],
        );
    }

    #[test]
    fn calls_that_outlive_their_callers() {
        check(
            include_str!("recorded/detached.txt"),
            expect![[r#"
                timeout_without_cancellation
                40 main.go:34 (main.fetch)
                40 http/transport.go:2093 (net/http.(*persistConn).readLoop)
            "#]],
        );
    }

    #[test]
    fn goroutines_that_send_to_nobody() {
        check(
            include_str!("recorded/sends.txt"),
            expect![[r#"
                no cause
                40 main.go:61 (main.listen.func1)
                29 http/transport.go:2093 (net/http.(*persistConn).readLoop)
            "#]],
        );
    }

    #[test]
    fn what_is_no_profile_is_none() {
        for text in ["", "<html>", "heap profile: 1: 2 [3: 4] @ heap/1"] {
            assert_eq!(Profile::parse(text), None, "{text}");
        }
        let damaged = "goroutine profile: total 9\n#\t0x1\tmain.x+0x1\tx.go:1\nmany @ 0x1\n99999999999999999999999 @\n18446744073709551615 @ 0x1\n#\t0x1\tmain.y+0x2\t\t/srv/shop/y.go:2\n18446744073709551615 @ 0x1\n#\n# labels: {}\n#\tx\n";
        check(
            damaged,
            expect![[r#"
            no cause
            18446744073709551615 shop/y.go:2 (main.y)
        "#]],
        );
    }

    #[test]
    fn gos_own_packages_are_told_from_others() {
        for (function, standard) in [
            ("net/http.(*conn).serve", true),
            ("runtime.gopark", true),
            ("sync.(*WaitGroup).Wait", true),
            ("main.main", false),
            ("github.com/acme/shop/stock.(*Client).Fetch", false),
            ("shop/stock.Fetch", false),
            ("net.example.org/shop.Fetch", false),
            ("timeline.Fetch", false),
        ] {
            assert_eq!(is_standard(function), standard, "{function}");
        }
    }
}
