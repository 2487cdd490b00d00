//! From the place in the source that opened an entry to text that is stable across releases.
//!
//! The compiler names a file as it was given to it: with the home directory and the version for a dependency, relative
//! to the workspace for one's own crate. A metric label must change with neither, so a site is `crate/src/file.rs`,
//! where the crate is the directory of its package. The line changes with every edit: listings show it, labels never do.

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
    let absolute = file.starts_with('/') || file.get(1..2) == Some(":");
    let (package, inside) = split_package(&parts, absolute);
    let package = (!package.is_empty()).then_some(package);
    let site: Vec<&str> = package.into_iter().chain(inside.iter().copied()).collect();
    site.join("/")
}

/// The package's name and the path inside it.
fn split_package<'parts>(
    parts: &'parts [&'parts str],
    absolute: bool,
) -> (&'parts str, &'parts [&'parts str]) {
    let Some((_file, directories)) = parts.split_last() else {
        return ("", parts);
    };
    if let Some(versioned) = versioned_package(directories) {
        return (without_version(parts[versioned]), &parts[versioned + 1..]);
    }
    match source_directory(directories, absolute) {
        // git/checkouts/NAME-HASH/REVISION/src/file.rs
        Some(source) if source >= 3 && directories[source - 3] == "checkouts" => {
            let name = directories[source - 2];
            (
                name.rsplit_once('-').map_or(name, |(name, _hash)| name),
                &parts[source..],
            )
        }
        Some(source) if source > 0 => (parts[source - 1], &parts[source..]),
        Some(_) => ("", parts),
        // Generated code: its directory tells something, the ones before it a machine's layout.
        None if absolute => (
            directories.last().copied().unwrap_or_default(),
            &parts[directories.len()..],
        ),
        None => ("", parts),
    }
}

/// The last directory that is named like a package of a registry (`hyper-1.12.0`) and stands where one would.
fn versioned_package(directories: &[&str]) -> Option<usize> {
    directories.iter().enumerate().rposition(|(index, part)| {
        let in_registry = index >= 3 && directories[index - 3..index - 1] == ["registry", "src"];
        let holds_sources = directories
            .get(index + 1)
            .is_none_or(|next| SOURCE_DIRECTORIES.contains(next));
        without_version(part) != *part && (in_registry || holds_sources)
    })
}

/// The directory right below the package's own.
fn source_directory(directories: &[&str], absolute: bool) -> Option<usize> {
    let any = directories
        .iter()
        .rposition(|part| SOURCE_DIRECTORIES.contains(part));
    let src = directories.iter().rposition(|part| *part == "src");
    match (src, any) {
        // A module named `tests` below `src`, and not a package that lies in somebody's ~/src.
        (Some(src), Some(any)) if !absolute || src + 1 == any => Some(src),
        (_, any) => any,
    }
}

/// `hyper-1.12.0` is `hyper`; `instrumented-gateway` stays what it is.
fn without_version(part: &str) -> &str {
    let version = part
        .match_indices('-')
        .find(|(dash, _)| *dash > 0 && is_version(&part[dash + 1..]));
    version.map_or(part, |(dash, _)| &part[..dash])
}

/// `1.12.0`, `0.8.0-rc.1`, `0.4.2+build`.
fn is_version(text: &str) -> bool {
    let is_number =
        |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.splitn(3, '.');
    let [Some(major), Some(minor), Some(patch)] = [parts.next(), parts.next(), parts.next()] else {
        return false;
    };
    is_number(major) && is_number(minor) && patch.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, site: &str) {
        assert_eq!(normalise(file), site, "{file}");
    }

    #[test]
    fn a_package_of_the_workspace_keeps_its_directory() {
        check(
            "instrumented-gateway/src/drill.rs",
            "instrumented-gateway/src/drill.rs",
        );
        check(
            "instrumented-gateway/src/pool/idle.rs",
            "instrumented-gateway/src/pool/idle.rs",
        );
        check(
            "instrumented-gateway/ledger/src/task.rs",
            "ledger/src/task.rs",
        );
        check("./agent/src/main.rs", "agent/src/main.rs");
        check("agent/src/tests/rows.rs", "agent/src/tests/rows.rs");
        check(
            "agent/src/scrape/tests/rows.rs",
            "agent/src/scrape/tests/rows.rs",
        );
    }

    #[test]
    fn a_package_of_its_own_has_no_directory_to_be_named_by() {
        check("src/main.rs", "src/main.rs");
        check("examples/three_lines.rs", "examples/three_lines.rs");
        check("build.rs", "build.rs");
    }

    #[test]
    fn tests_examples_and_benchmarks_belong_to_their_package() {
        check(
            "instrumented-gateway/ledger/tests/it/main.rs",
            "ledger/tests/it/main.rs",
        );
        check("agent/examples/demo.rs", "agent/examples/demo.rs");
        check("agent/benches/parse.rs", "agent/benches/parse.rs");
        check(
            "/home/me/src/agent/tests/it/main.rs",
            "agent/tests/it/main.rs",
        );
    }

    #[test]
    fn a_dependency_loses_home_registry_and_version() {
        let registry = "/home/me/.cargo/registry/src/index.crates.io-6f17d22bba15001f";
        check(
            &format!("{registry}/hyper-1.12.0/src/client/conn/http1.rs"),
            "hyper/src/client/conn/http1.rs",
        );
        check(
            &format!("{registry}/md-5-0.10.6/src/lib.rs"),
            "md-5/src/lib.rs",
        );
        check(
            &format!("{registry}/rustls-0.24.0-dev.0/src/lib.rs"),
            "rustls/src/lib.rs",
        );
        check(
            &format!("{registry}/zstd-sys-2.0.9+zstd.1.5.5/src/lib.rs"),
            "zstd-sys/src/lib.rs",
        );
        check(
            &format!("{registry}/odd-1.0.0/rust/src/lib.rs"),
            "odd/rust/src/lib.rs",
        );
        check(&format!("{registry}/odd-1.0.0/lib.rs"), "odd/lib.rs");
        check(
            "/srv/build/vendor/hyper-1.12.0/src/lib.rs",
            "hyper/src/lib.rs",
        );
        check("/srv/build/vendor/hyper/src/lib.rs", "hyper/src/lib.rs");
        check(
            r"C:\Users\me\.cargo\registry\src\index\tokio-1.54.1\src\task.rs",
            "tokio/src/task.rs",
        );
    }

    #[test]
    fn a_git_dependency_loses_home_hash_and_revision() {
        let checkouts = "/home/me/.cargo/git/checkouts";
        check(
            &format!("{checkouts}/hyper-1a2b3c4d5e6f7a8b/9c8d7e6/src/lib.rs"),
            "hyper/src/lib.rs",
        );
        check(
            &format!("{checkouts}/tokio-util-1a2b3c4d5e6f7a8b/9c8d7e6/tokio-util/src/lib.rs"),
            "tokio-util/src/lib.rs",
        );
    }

    #[test]
    fn elsewhere_the_directory_before_the_sources_names_the_package() {
        check(
            "/home/me/code/shop/basket/src/session.rs",
            "basket/src/session.rs",
        );
        check(
            "/srv/release-1.2.3/services/basket/src/session.rs",
            "basket/src/session.rs",
        );
        check(
            "/rustc/59807616e1f2a3b4/library/std/src/thread/mod.rs",
            "std/src/thread/mod.rs",
        );
        check(
            "/home/me/shop/target/debug/build/basket-1a2b/out/messages.rs",
            "out/messages.rs",
        );
        check("", "");
    }

    #[test]
    fn a_location_is_its_file_and_its_line() {
        let location = Location::caller();
        assert_eq!(site_of(location), "ledger/src/site.rs");
        assert_eq!(
            site_line_of(location),
            format!("ledger/src/site.rs:{}", location.line())
        );
    }
}
