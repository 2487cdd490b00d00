//! One line of the access log, collected while its request runs, written when it ends.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, Version};
use resource_ledger::OwnerId;
use serde::Serialize;

use super::notes::Call;
use super::{Logger, Notes};
use crate::clock;
use crate::config::AccessLogFormat;

/// A request on its way to its line.
#[derive(Debug)]
pub(crate) struct Line {
    logger: Logger,
    client: SocketAddr,
    /// Absent where what came was no request.
    asked: Option<Asked>,
    route: Arc<str>,
    notes: Notes,
    response_bytes: u64,
    reason: Option<String>,
}

#[derive(Debug)]
struct Asked {
    method: String,
    path: String,
    query: Option<String>,
    version: Version,
    id: OwnerId,
}

/// The line as JSON; the text has the same in the same order.
#[derive(Serialize)]
struct Written<'a> {
    time: String,
    client: String,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    protocol: &'static str,
    route: &'a str,
    status: u16,
    request_bytes: u64,
    response_bytes: u64,
    duration_seconds: f64,
    upstreams: &'a [Call],
    reason: Option<&'a str>,
    request_id: &'a str,
    trace_id: Option<&'a str>,
}

impl Line {
    /// The line of a request that a route, or none, has been found for. What asks upstreams finds its notes in the
    /// request's extensions.
    pub(crate) fn begin<B>(
        logger: &Logger,
        client: SocketAddr,
        route: &Arc<str>,
        request: &mut Request<B>,
        id: &OwnerId,
    ) -> Box<Self> {
        let notes = Notes::default();
        request.extensions_mut().insert(notes.clone());
        let query = request.uri().query().filter(|_| logger.with_query);
        Box::new(Self {
            asked: Some(Asked {
                method: request.method().as_str().to_owned(),
                path: request.uri().path().to_owned(),
                query: query.map(str::to_owned),
                version: request.version(),
                id: id.clone(),
            }),
            notes,
            ..Self::unread(logger, client, route)
        })
    }

    /// The line of what came and could not be read as a request.
    pub(crate) fn unread(logger: &Logger, client: SocketAddr, route: &Arc<str>) -> Self {
        Self {
            logger: logger.clone(),
            client,
            asked: None,
            route: Arc::clone(route),
            notes: Notes::default(),
            response_bytes: 0,
            reason: None,
        }
    }

    /// So many bytes of the answer's content were given to the server.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    /// Why the request did not go well; the first reason stays.
    pub(crate) fn reason(&mut self, reason: impl FnOnce() -> String) {
        self.reason.get_or_insert_with(reason);
    }

    /// Writes it.
    pub(crate) fn end(&self, status: StatusCode, duration: Duration) {
        let noted = self.notes.noted();
        let asked = self.asked.as_ref();
        let written = Written {
            time: rfc3339(clock::unix_seconds()),
            client: self.client.to_string(),
            method: asked.map_or("", |asked| &asked.method),
            path: asked.map_or("", |asked| &asked.path),
            query: asked.and_then(|asked| asked.query.as_deref()),
            protocol: asked.map_or("", |asked| protocol(asked.version)),
            route: &self.route,
            status: status.as_u16(),
            request_bytes: noted.uploaded(),
            response_bytes: self.response_bytes,
            duration_seconds: duration.as_secs_f64(),
            upstreams: &noted.calls,
            reason: self.reason.as_deref().or_else(|| noted.failure()),
            request_id: asked.map_or("", |asked| &asked.id.request_id),
            trace_id: asked.and_then(|asked| asked.id.trace_id.as_deref()),
        };
        let mut line = match self.logger.format {
            // Texts and numbers are always JSON.
            AccessLogFormat::Json => serde_json::to_vec(&written).unwrap_or_default(),
            AccessLogFormat::Text => written.text().into_bytes(),
        };
        drop(noted);
        line.push(b'\n');
        self.logger.log.write(line);
    }
}

impl Written<'_> {
    fn text(&self) -> String {
        let mut text = String::with_capacity(256);
        let quoted = |value: &str| serde_json::Value::from(value).to_string();
        let Self {
            time,
            client,
            method,
            status,
            ..
        } = self;
        let path = match self.query {
            Some(query) => quoted(&format!("{}?{query}", self.path)),
            None => quoted(self.path),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{time} {client} {method} {path} {} {status} route={} request_bytes={} response_bytes={} duration_seconds={:.6}",
            self.protocol,
            quoted(self.route),
            self.request_bytes,
            self.response_bytes,
            self.duration_seconds,
        );
        for call in self.upstreams {
            let _ = write!(
                text,
                " upstream={} attempts={}",
                call.upstream, call.attempts
            );
        }
        if let Some(reason) = self.reason {
            let _ = write!(text, " reason={}", quoted(reason));
        }
        let _ = write!(text, " request_id={}", self.request_id);
        if let Some(trace_id) = self.trace_id {
            let _ = write!(text, " trace_id={trace_id}");
        }
        text
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP",
    }
}

/// A time of the unix clock as RFC 3339 has it, in UTC, to the millisecond.
fn rfc3339(unix_seconds: f64) -> String {
    const DAY_SECONDS: u64 = 24 * 3600;
    let milliseconds = (unix_seconds * 1000.0).max(0.0) as u64;
    let (seconds, millisecond) = (milliseconds / 1000, milliseconds % 1000);
    let (days, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar; by eras of 400 years that begin in March,
/// so that the day that is not always there comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_seconds, expected) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.0, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199.999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_599.5, "2024-12-31T23:59:59.500Z"),
            (4_107_542_400.25, "2100-03-01T00:00:00.250Z"),
        ] {
            assert_eq!(rfc3339(unix_seconds), expected);
        }
    }

    #[test]
    fn what_a_client_says_cannot_break_a_line() {
        let written = Written {
            time: "T".to_owned(),
            client: "127.0.0.1:1".to_owned(),
            method: "GET",
            path: "/a\"b",
            query: Some("x=\u{7f}\n"),
            protocol: "HTTP/1.1",
            route: "/a*",
            status: 502,
            request_bytes: 1,
            response_bytes: 2,
            duration_seconds: 0.25,
            upstreams: &[Call {
                upstream: "one".into(),
                attempts: 2,
                failure: None,
            }],
            reason: Some("it \"broke\"\n"),
            request_id: "r",
            trace_id: Some("t"),
        };
        assert_eq!(
            written.text().replace('\u{7f}', "DEL"),
            "T 127.0.0.1:1 GET \"/a\\\"b?x=DEL\\n\" HTTP/1.1 502 route=\"/a*\" request_bytes=1 response_bytes=2 \
             duration_seconds=0.250000 upstream=one attempts=2 reason=\"it \\\"broke\\\"\\n\" request_id=r trace_id=t"
        );
    }
}
