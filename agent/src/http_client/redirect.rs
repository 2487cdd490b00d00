//! Redirects: within the same scheme, host and port, and nowhere else.
//!
//! Prometheus follows them anywhere; here targets come from configuration and discovery alone, and a server that is
//! taken over must not send the agent, with or without credentials, to another.

use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};

use super::HttpError;
use super::error::shown;

/// Whether a response sends its reader elsewhere.
pub(super) fn is_one(method: &Method, response: &Response) -> bool {
    let status = response.status();
    let reads = [Method::GET, Method::HEAD].contains(method);
    let moved = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => reads,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => false,
    };
    moved && response.headers().contains_key(LOCATION)
}

/// Where a redirect leads, if it is to be followed.
pub(super) fn follow(from: &Url, response: &Response, follow: bool) -> Result<Url, HttpError> {
    let location = response.headers().get(LOCATION);
    let location = location.map_or(&b""[..], |value| value.as_bytes());
    target(from, &String::from_utf8_lossy(location), follow)
}

fn target(from: &Url, location: &str, follow: bool) -> Result<Url, HttpError> {
    // What cannot be read cannot be shown either: it may hold credentials.
    let Ok(to) = from.join(location) else {
        return Err(HttpError::Redirect {
            location: "something".to_owned(),
            reason: "it is not a URL",
        });
    };
    let refuse = |reason| {
        Err(HttpError::Redirect {
            location: shown(&to),
            reason,
        })
    };
    if !follow {
        return refuse("`follow_redirects` is false");
    }
    if to.scheme() != from.scheme()
        || to.host_str() != from.host_str()
        || to.port_or_known_default() != from.port_or_known_default()
    {
        return refuse("it leads to another host; if that is the target, configure it");
    }
    if !to.username().is_empty() || to.password().is_some() {
        return refuse("it holds credentials");
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, expected: Result<&str, &str>) {
        let from: Url = "http://h:1/metrics?a=b".parse().expect("a URL");
        let got = target(&from, location, true).map_err(|error| error.to_string());
        assert!(!format!("{got:?}").contains("secret"), "{got:?}");
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got.as_str(), expected),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
            (got, expected) => panic!("{location}: {got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn redirects_stay_with_the_host() {
        check("/other", Ok("http://h:1/other"));
        check("?c", Ok("http://h:1/metrics?c"));
        check("//H:1/x", Ok("http://h:1/x"));
        check("https://h:1/", Err("another host"));
        check("http://h/", Err("another host"));
        check(
            "http://h:2/x?token=secret",
            Err("http://h:2/x, which is not"),
        );
        check("http://h.:1/", Err("another host"));
        check(
            "//me:secret@other/",
            Err("//other/, which is not followed: it leads to another"),
        );
        check("http://me:secret@h:1/", Err("it holds credentials"));
        check("http://secret:x:y/", Err("not a URL"));
        check("file:///etc/passwd", Err("another host"));
    }
}
