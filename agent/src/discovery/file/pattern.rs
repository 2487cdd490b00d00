//! Names of files, with wildcards in the last part only: `targets/*.json`.
//!
//! Source: Prometheus, `discovery/file`; Go, `path/filepath.Match`.

use std::io;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The names of files to read.
#[derive(Debug, Clone)]
pub struct FilePattern {
    directory: PathBuf,
    name: String,
    regex: Regex,
}

impl PartialEq for FilePattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.directory, &self.name) == (&other.directory, &other.name)
    }
}

impl FilePattern {
    /// The files that `text` means, relative to `base`; the reason where it means none.
    pub(super) fn new(text: &str, base: &Path) -> Result<Self, String> {
        let extension = Path::new(text).extension().unwrap_or_default();
        let is_known = ["json", "yml", "yaml"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known));
        if !is_known {
            return Err(format!(
                "`{text}` ends neither in .json nor in .yml or .yaml"
            ));
        }
        let path = base.join(text);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let inner = Path::new(text).parent().unwrap_or(Path::new(""));
        if inner.to_string_lossy().contains(['*', '?', '[']) {
            return Err(format!(
                "`{text}` has a wildcard in a directory; only the file name may have one"
            ));
        }
        let regex = expression(&name).and_then(|text| Regex::new(&text).ok());
        let regex = regex.ok_or_else(|| format!("`{text}` is no pattern of file names"))?;
        Ok(Self {
            directory: directory.to_owned(),
            name: name.into_owned(),
            regex,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files of that name that are there now; none where there is no such directory.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| self.regex.is_match(name)) {
                files.push(self.directory.join(name));
            }
        }
        Ok(files)
    }
}

/// A pattern of the shell as a regular expression.
fn expression(pattern: &str) -> Option<String> {
    let mut text = String::from("^(?s:");
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '\\' => text.push_str(&regex::escape(&rest.next()?.to_string())),
            '[' => {
                let (class, tail) = rest.as_str().split_once(']')?;
                let (negation, class) = match class.strip_prefix('^') {
                    Some(class) => ("^", class),
                    None => ("", class),
                };
                let escaped = class.replace(['[', '&', '~', '\\'], "");
                text.push_str(&format!("[{negation}{escaped}]"));
                rest = tail.chars();
            }
            letter => text.push_str(&regex::escape(&letter.to_string())),
        }
    }
    text.push_str(")$");
    Some(text)
}
