//! The repository stands by itself: no paths, documents or registries of the place where it was written.

use super::files::Tree;

pub(super) fn workplace(tree: &Tree) -> Vec<String> {
    // In pieces, since this file is read too.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/wo", "rk\""),
        concat!("/ro", "ot/"),
        concat!("sha", "red/"),
        concat!("facts", ".md"),
        concat!("(fa", "ct "),
        concat!("(fa", "cts "),
        concat!("(fa", "ct:"),
        concat!("design", ".md"),
        concat!("iss", "ue 2"),
        concat!("foun", "der"),
        concat!("hel", "per"),
        concat!("Co-auth", "ored-by"),
    ];
    let mut findings = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| file.path != "LICENSE" && file.path != "Cargo.lock")
    {
        for (index, line) in file.text.lines().enumerate() {
            let lower = line.to_lowercase();
            if let Some(word) = words
                .iter()
                .find(|word| lower.contains(&word.to_lowercase()))
            {
                findings.push(file.finding(
                    index + 1,
                    &format!("{word}: names the place where this was written"),
                ));
            }
        }
    }
    if let Some(lock) = tree.get("Cargo.lock") {
        let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        let foreign = lock
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.starts_with("source = ") && *line != public);
        findings.extend(foreign.map(|(index, line)| {
            lock.finding(index + 1, &format!("{line}: not the public registry"))
        }));
    }
    if let Some(config) = tree.get(".cargo/config.toml") {
        let sources = ["[source", "[registr", "registry ="];
        let line = config
            .text
            .lines()
            .enumerate()
            .find(|(_, line)| sources.iter().any(|word| line.contains(word)));
        findings.extend(line.map(|(index, _)| {
            config.finding(
                index + 1,
                "a registry belongs to the machine, not to the project",
            )
        }));
    }
    findings.extend(tree.missing(["Cargo.lock", ".cargo/config.toml"]));
    findings
}

#[cfg(test)]
mod tests {
    use super::super::check_finds;
    use super::*;

    const PUBLIC: (&str, &str) = (
        "Cargo.lock",
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
    );
    const CONFIG: (&str, &str) = (".cargo/config.toml", "[build]\n");

    #[test]
    fn paths_and_documents_of_the_workplace_are_found() {
        let clean = || {
            Tree::of(&[
                PUBLIC,
                CONFIG,
                (
                    "README.md",
                    "See hyper#4176, RFC 9110; a work in progress.\n",
                ),
            ])
        };
        for line in [
            concat!("see facts", ".md"),
            concat!("cd /wo", "rk/x"),
            concat!("as iss", "ue 2 asks"),
            concat!("pinned (fa", "ct 36)"),
        ] {
            check_finds(
                workplace,
                Tree::of(&[PUBLIC, CONFIG, ("a/src/b.rs", line)]),
                "a/src/b.rs:1:",
                clean(),
            );
        }
        let lock = (
            "Cargo.lock",
            "source = \"registry+https://mirror.example.org/index\"\n",
        );
        check_finds(
            workplace,
            Tree::of(&[lock, CONFIG]),
            "Cargo.lock:1:",
            clean(),
        );
        let config = (".cargo/config.toml", "[source.crates-io]\n");
        check_finds(
            workplace,
            Tree::of(&[PUBLIC, config]),
            ".cargo/config.toml:1:",
            clean(),
        );
    }
}
