//! The HTTP client against servers that the test writes: whom it trusts, who it says it is, and to whom.

mod credentials;
mod encrypted;
mod proxies;

use std::path::Path;

use leak_agent::http_client::{HttpClient, HttpError, HttpRequest, HttpSettings};
use tempfile::TempDir;

use crate::wire::certificates::{Authority, Identity};
use crate::wire::{Server, Step, answering, response};

/// Settings of YAML, whose files are relative to `directory`.
fn settings(yaml: &str, directory: &Path) -> HttpSettings {
    let root = checked_yaml::parse(yaml).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut mistakes = checked_yaml::Mistakes::new();
    let mut fields = root.fields(&mut mistakes);
    let settings = HttpSettings::read(&mut fields, directory, &mut mistakes);
    fields.finish(&mut mistakes);
    let settings = mistakes.into_result(settings);
    settings.unwrap_or_else(|mistakes| panic!("{yaml}: {mistakes}"))
}

fn client(yaml: &str, directory: &TempDir) -> HttpClient {
    HttpClient::new(settings(yaml, directory.path()), 1)
}

/// The body of an answer, or why there is none.
async fn get(client: &HttpClient, url: &str) -> Result<String, HttpError> {
    let request = HttpRequest::get(url.parse().expect("a URL"));
    let response = client.send(request).await?;
    let status = response.status().as_u16();
    let body = response.text().await.unwrap_or_default();
    Ok(format!("{status} {body}"))
}

#[track_caller]
fn assert_told(result: &Result<String, HttpError>, expected: &str) {
    let told = match result {
        Ok(body) => body.clone(),
        Err(error) => error.to_string(),
    };
    assert!(told.contains(expected), "{told:?} instead of {expected:?}");
    assert!(!told.contains("s3cret"), "{told}");
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (own, value) = line.split_once(": ")?;
        own.eq_ignore_ascii_case(name).then_some(value)
    })
}
