//! `file_sd_configs`: targets listed in files, JSON or YAML, which are looked at every second and read when they change.
//!
//! Looking is asking the file system for size and times, so that a change is picked up within a second without a
//! watcher whose events differ by platform, mount and editor; whatever these say, every file is read again at the
//! refresh interval. A file that cannot be read, or only in part, keeps its targets of before; one that is gone takes
//! them with it.
//!
//! Source: Prometheus, "Configuration", `<file_sd_config>`.

mod pattern;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use checked_yaml::{Mistakes, Node};
use tokio::time::MissedTickBehavior;

use super::{Group, Outlet};
use crate::clock;
pub use pattern::FilePattern;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Bytes of one file; one that is larger is not read.
const MAX_FILE_BYTES: u64 = 32 << 20;
/// Files of one configuration; those above, by name, are not read.
const MAX_FILES: usize = 1000;

/// One of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileDiscovery {
    /// `files`.
    pub files: Vec<FilePattern>,
    /// `refresh_interval`: after so long every file is read again, changed or not; 5 min.
    pub refresh_interval: Duration,
}

/// The files as they are known.
#[derive(Debug, Default)]
struct Files {
    known: BTreeMap<PathBuf, Known>,
    refreshed_at: Option<Instant>,
    /// Why the last pass was not whole, one line each.
    errors: BTreeMap<PathBuf, String>,
}

#[derive(Debug, Default)]
struct Known {
    version: Option<Version>,
    groups: Vec<Group>,
}

/// What differs when a file has been written anew.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl FileDiscovery {
    pub(super) fn read(node: &Node, directory: &Path, mistakes: &mut Mistakes) -> Option<Self> {
        let mut fields = node.fields(mistakes);
        let files_node = fields.required("files", mistakes);
        let mut files = Vec::new();
        for item in files_node.map_or(&[][..], |node| node.items(mistakes)) {
            let Some(text) = item.text(mistakes) else {
                continue;
            };
            match FilePattern::new(text, directory) {
                Ok(pattern) => files.push(pattern),
                Err(reason) => item.reject(mistakes, reason),
            }
        }
        if let Some(node) = files_node
            && files.is_empty()
            && node.items(mistakes).is_empty()
        {
            node.reject(mistakes, "names no file");
        }
        let refresh_interval = fields
            .optional("refresh_interval")
            .and_then(|node| node.positive_duration(mistakes));
        fields.finish(mistakes);
        (!files.is_empty()).then_some(Self {
            files,
            refresh_interval: refresh_interval.unwrap_or(REFRESH_INTERVAL),
        })
    }

    pub(super) async fn run(self, outlet: Outlet) {
        let mut files = Files::default();
        let mut looks = tokio::time::interval(LOOK_EVERY.min(self.refresh_interval));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if !files.look(&self, clock::instant()) {
                continue;
            }
            let groups = files.groups();
            let errors: Vec<&str> = files.errors.values().map(String::as_str).collect();
            if errors.is_empty() {
                outlet.found(groups);
            } else {
                outlet.found_in_part(groups, errors.join("; "));
            }
        }
    }
}

impl Files {
    /// Reads what has changed; whether anything was read, or is gone.
    fn look(&mut self, settings: &FileDiscovery, now: Instant) -> bool {
        let is_due = self
            .refreshed_at
            .is_none_or(|at| now.saturating_duration_since(at) >= settings.refresh_interval);
        if is_due {
            self.refreshed_at = Some(now);
        }
        let mut errors = BTreeMap::new();
        let mut present = BTreeSet::new();
        for pattern in &settings.files {
            match pattern.files() {
                Ok(paths) => present.extend(paths),
                Err(error) => {
                    let directory = pattern.directory().to_owned();
                    // What is there cannot be told: nothing is gone.
                    let known = self
                        .known
                        .keys()
                        .filter(|path| path.starts_with(&directory));
                    present.extend(known.cloned());
                    let text = format!("{} cannot be listed: {error}", directory.display());
                    errors.insert(directory, text);
                }
            }
        }
        if present.len() > MAX_FILES {
            let text = format!(
                "{} files match, and only {MAX_FILES} are read",
                present.len()
            );
            errors.insert(PathBuf::new(), text);
            let first_left_out = present.iter().nth(MAX_FILES).cloned();
            first_left_out.map(|path| present.split_off(&path));
        }
        let before = self.known.len();
        self.known.retain(|path, _| present.contains(path));
        self.errors.retain(|path, _| present.contains(path));
        let mut has_changed = is_due || before != self.known.len();
        for path in present {
            has_changed |= self.look_at(path, is_due);
        }
        let is_new = errors
            .iter()
            .any(|(path, text)| self.errors.get(path) != Some(text));
        self.errors.extend(errors);
        has_changed || is_new
    }

    /// Whether the file was read.
    fn look_at(&mut self, path: PathBuf, is_due: bool) -> bool {
        let version = std::fs::metadata(&path).ok().as_ref().map(Version::of);
        let known = self.known.get(&path);
        if !is_due && known.is_some_and(|known| known.version == version) {
            return false;
        }
        let known = self.known.entry(path.clone()).or_default();
        known.version = version;
        match groups_in(&path) {
            Ok(groups) => {
                known.groups = groups;
                self.errors.remove(&path);
            }
            Err(reason) => {
                let text = format!("{}: {reason}", path.display());
                self.errors.insert(path, text);
            }
        }
        true
    }

    fn groups(&self) -> Vec<Group> {
        let groups = self.known.values().flat_map(|known| &known.groups);
        groups.cloned().collect()
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            inode,
        }
    }
}

/// The groups that a file lists, each with the file's name.
fn groups_in(path: &Path) -> Result<Vec<Group>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    let extension = path.extension().unwrap_or_default();
    let groups = if extension.eq_ignore_ascii_case("json") {
        Group::list_from_json(&text)
    } else {
        Group::list_from_yaml(&text)
    };
    let mut groups = groups.map_err(|error| error.to_string().replace('\n', "; "))?;
    let name = path.to_string_lossy();
    for group in &mut groups {
        group.labels = group.labels.with("__meta_filepath", &*name);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests;
