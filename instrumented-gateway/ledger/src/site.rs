//! From the place in the source that opened an entry to text that is stable across releases.
//!
//! The compiler names a file as it was given to it: with the home directory and the version for a dependency, relative
//! to the workspace for one's own crate. A metric label must not change with either, so a site is `crate/src/file.rs`.
//! The line changes with every edit: listings show it, labels never do.

use std::panic::Location;

/// The directories in which cargo looks for a package's sources.
const SOURCE_DIRECTORIES: [&str; 4] = ["src", "tests", "examples", "benches"];

/// `crate/src/file.rs` of a source location: the value of the label `site`.
pub fn site_of(location: &Location<'_>) -> String {
    normalise(location.file())
}

/// `crate/src/file.rs:LINE` of a source location, for listings and logs.
pub fn site_line_of(location: &Location<'_>) -> String {
    format!("{}:{}", site_of(location), location.line())
}

fn normalise(file: &str) -> String {
    let file = file.replace('\\', "/");
    let parts: Vec<&str> = file
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    let absolute = file.starts_with('/') || parts.first().is_some_and(|drive| drive.ends_with(':'));
    let start = package_start(&parts, absolute);
    let Some((package, rest)) = parts[start..].split_first() else {
        return file;
    };
    let package = without_version(package);
    rest.iter()
        .fold(package.to_owned(), |site, part| site + "/" + part)
}

/// The index of the part that names the package.
fn package_start(parts: &[&str], absolute: bool) -> usize {
    let directories = &parts[..parts.len().saturating_sub(1)];
    // Cargo's registry and vendored sources: the version tells where the package starts.
    if let Some(versioned) = directories
        .iter()
        .rposition(|part| without_version(part) != *part)
    {
        return versioned;
    }
    let source = directories.iter().rposition(|part| *part == "src");
    let other = directories
        .iter()
        .rposition(|part| SOURCE_DIRECTORIES.contains(part));
    let marker = match (source, other) {
        // A module named `tests` below `src`, not a package in somebody's ~/src.
        (Some(source), Some(other)) if !absolute || source + 1 >= other => Some(source),
        (_, other) => other,
    };
    match marker {
        Some(marker) => git_checkout(directories, marker).unwrap_or(marker.saturating_sub(1)),
        // Generated code: the last directory tells something, the ones before it a machine's layout.
        None if absolute => parts.len().saturating_sub(2),
        None => 0,
    }
}

/// In `git/checkouts/NAME-HASH/REVISION/src/…` the part before `src` is a revision: the package is one further up.
fn git_checkout(directories: &[&str], marker: usize) -> Option<usize> {
    let checkout = marker.checked_sub(2)?;
    (checkout.checked_sub(1).map(|before| directories[before]) == Some("checkouts"))
        .then_some(checkout)
}

/// `hyper-1.12.0` is `hyper`; `instrumented-gateway` stays what it is.
fn without_version(part: &str) -> &str {
    let is_version = |text: &str| {
        let mut numbers = text.splitn(3, '.');
        let number = |text: Option<&str>| {
            text.is_some_and(|text| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        number(numbers.next())
            && number(numbers.next())
            && numbers
                .next()
                .is_some_and(|patch| patch.starts_with(|first: char| first.is_ascii_digit()))
    };
    part.match_indices('-')
        .find(|(dash, _)| *dash > 0 && is_version(&part[dash + 1..]))
        .map_or(part, |(dash, _)| &part[..dash])
}
