//! `leak-agent replay` from a shell: histories in files, what is printed, how it ends.

mod corpus;
mod files;
mod judgement;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A directory with one history in it.
struct History {
    directory: tempfile::TempDir,
}

impl History {
    fn new(text: &str) -> Self {
        let history = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        history.write("history.om", text.as_bytes());
        history
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("the file is written");
        path
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        self.replay_file("history.om", arguments)
    }

    fn replay_file(&self, name: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_leak-agent"))
            .arg("replay")
            .arg("--openmetrics")
            .arg(self.path(name))
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("the agent runs")
    }

    /// The verdict lines as bytes.
    #[track_caller]
    fn verdicts(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.replay(&[&["--verdicts", "-"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        output.stdout
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Verdict lines as values.
#[track_caller]
fn parsed(lines: &[u8]) -> Vec<Value> {
    text(lines)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a verdict line is JSON"))
        .collect()
}

fn files_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}
