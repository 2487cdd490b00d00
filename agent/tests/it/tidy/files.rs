//! The project's files as text: what git tracks and what is new and not ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) struct File {
    /// From the root of the project, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// The files of this checkout; those that are not UTF-8 (pictures) have an empty text.
    pub(super) fn of_project() -> Tree {
        let root = root();
        let listing = Command::new("git")
            // A checkout that another user owns, as in a container, is read all the same.
            .args([
                "-c",
                "safe.directory=*",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&root)
            .output()
            .expect("git lists the project's files");
        assert!(
            listing.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listing.stderr)
        );
        let files: Vec<File> = String::from_utf8(listing.stdout)
            .expect("paths are UTF-8")
            .split_terminator('\0')
            .filter(|path| root.join(path).is_file())
            .map(|path| File {
                path: path.to_owned(),
                text: String::from_utf8(std::fs::read(root.join(path)).expect("a listed file"))
                    .unwrap_or_default(),
            })
            .collect();
        assert!(
            files.iter().any(|file| file.path == "Cargo.toml"),
            "not the project: {}",
            root.display()
        );
        Tree { files }
    }

    /// A tree for the test of a rule.
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Tree {
            files: files.iter().map(file).collect(),
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files of packages that end up in a library or binary, tests excepted.
    pub(super) fn sources(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_source())
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// A finding for each of `paths` (a file, or a folder ending in `/`) that is not there.
    pub(super) fn missing<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Vec<String> {
        let there = |path: &str| {
            self.files.iter().any(|file| {
                if path.ends_with('/') {
                    file.path.starts_with(path)
                } else {
                    file.path == path
                }
            })
        };
        paths
            .into_iter()
            .filter(|path| !there(path))
            .map(|path| format!("{path}: named by a rule, and missing"))
            .collect()
    }
}

impl File {
    fn is_source(&self) -> bool {
        let in_src = self.path.starts_with("src/") || self.path.contains("/src/");
        let is_test = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        in_src && !is_test && self.path.ends_with(".rs")
    }

    /// Is this `module.rs`, or a file below `module/`? `module` is a path without `.rs`.
    pub(super) fn is_in(&self, module: &str) -> bool {
        self.path
            .strip_prefix(module)
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// Numbered lines of code: no comment lines, and nothing from an inline test module on (it stands last).
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self
            .text
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(self.text.len());
        self.text[..tests]
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.starts_with("//"))
    }

    pub(super) fn finding(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Does `text` hold `word` with nothing on either side that would make it another identifier?
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(part_of_word) && !text[at + word.len()..].starts_with(part_of_word)
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the agent's folder is in the workspace")
        .to_owned()
}

#[test]
fn inline_tests_and_comments_are_not_code() {
    let tree = Tree::of(&[(
        "a/src/b.rs",
        "//! Doc.\nuse x;\n// remark\n#[cfg(test)]\nmod tests {\n    use y;\n}\n",
    )]);
    assert_eq!(tree.files[0].code().collect::<Vec<_>>(), [(2, "use x;")]);
}

#[test]
fn words_have_ends() {
    assert!(has_word("use tokio::net", "tokio"));
    assert!(!has_word("tokio_stream", "tokio"));
    assert!(!has_word("my_tokio", "tokio"));
}
