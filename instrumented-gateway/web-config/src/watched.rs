//! Files that are read whole, within a bound, and looked at again later: has one changed?
//!
//! A change is told by length, inode and modification time. Whoever replaces a file by renaming another over it, as
//! Kubernetes does with secrets, changes the inode.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of one file: a bundle of every public authority has a quarter of a megabyte.
const FILE_BYTES: u64 = 4 << 20;

/// What a file looked like from outside; nothing where it could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// Some files as they were before they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    files: Vec<(PathBuf, Option<Look>)>,
}

impl Watched {
    /// Reads a file whole and remembers what it looked like before.
    ///
    /// # Errors
    /// Where it cannot be read, or is larger than 4 MiB.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        // First: a change in between is then seen at the next look.
        self.files.push((path.to_owned(), look(path)));
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(io::Error::other("is larger than 4 MiB"));
        }
        Ok(bytes)
    }

    /// Whether one of the files no longer looks as it did.
    pub(crate) fn has_changed(&self) -> bool {
        self.files.iter().any(|(path, seen)| look(path) != *seen)
    }
}

fn look(path: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Look {
        length: metadata.len(),
        modified: metadata.modified().ok(),
        inode,
    })
}
