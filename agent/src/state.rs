//! State: what outlives the agent's process, in one embedded store.
//!
//! A save is one transaction, on the disk when it returns: a kill at any instant leaves the state before it or the state
//! after it. A file that is damaged is set aside under another name and the agent starts without; one that a later agent
//! wrote is refused and kept, because what it means is not known here; one that cannot be opened for want of rights or
//! space is an error, because an agent that forgets at each start would be worse than none.
//!
//! Source: redb's file format keeps two commit slots and checksums every page; the check at opening reads them all.

mod records;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::{fs, io};

use leak_detect::Timestamp;
use redb::{Builder, Database, ReadableDatabase};

use crate::engine::{Detectors, Saved, SavedTarget};
use crate::state::records::{Contents, WriteError};

/// The version of the records that this agent writes. 1: the first.
pub const FORMAT: u64 = 1;

/// The file's name in the storage directory.
pub const FILE_NAME: &str = "state.redb";

/// Memory for pages of the file: what is read is read once, and what is written is not read again.
const CACHE_BYTES: usize = 2 << 20;

/// The store, open and locked against other agents.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

/// A store that has been opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was in it; `None` where it is new.
    pub saved: Option<Saved>,
    /// A file that could not be used.
    pub set_aside: Option<SetAside>,
}

/// A damaged file that was kept under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub to: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Whether all of it is lost to this agent; else the records that could be read were taken over.
    pub is_whole: bool,
}

/// Why there is no state, or why it could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it open.
    #[error("{} is in use by another agent; give each agent a `storage.path` of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later agent wrote it.
    #[error(
        "{} has format {found}, and this agent reads formats up to {newest}: run the later agent again, or move the file away to start without its state",
        path.display()
    )]
    LaterVersion {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that can be read.
        newest: u64,
    },
    /// The directory or the file cannot be used.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something cannot be written as a record.
    #[error("the state cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// The store failed.
    #[error("{} cannot be read or written", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

/// What is wrong with a file at opening.
enum Trouble {
    Damaged(String),
    Error(StateError),
}

impl Store {
    /// Opens the state in a directory, which is made if it is not there. `now` names a file that is set aside.
    ///
    /// # Errors
    /// Why it can be neither used nor set aside.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Opened, StateError> {
        let path = directory.join(FILE_NAME);
        let io_error = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(directory).map_err(|source| StateError::Io {
            path: directory.to_owned(),
            source,
        })?;
        match Self::try_open(&path) {
            Ok((store, Contents { saved, unreadable })) if unreadable.is_empty() => Ok(Opened {
                store,
                saved,
                set_aside: None,
            }),
            Ok((store, Contents { saved, unreadable })) => {
                let to = aside(&path, now);
                fs::copy(&path, &to).map_err(io_error)?;
                let reason = unreadable.join("; ");
                Ok(Opened {
                    store,
                    saved,
                    set_aside: Some(SetAside {
                        to,
                        reason,
                        is_whole: false,
                    }),
                })
            }
            Err(Trouble::Error(error)) => Err(error),
            Err(Trouble::Damaged(reason)) => {
                let to = aside(&path, now);
                fs::rename(&path, &to).map_err(io_error)?;
                match Self::try_open(&path) {
                    Ok((store, _)) => {
                        let set_aside = Some(SetAside {
                            to,
                            reason,
                            is_whole: true,
                        });
                        Ok(Opened {
                            store,
                            saved: None,
                            set_aside,
                        })
                    }
                    Err(Trouble::Error(error)) => Err(error),
                    Err(Trouble::Damaged(again)) => {
                        Err(io_error(io::Error::new(io::ErrorKind::InvalidData, again)))
                    }
                }
            }
        }
    }

    /// Stores everything that has changed, in one transaction that is on the disk when this returns.
    ///
    /// # Errors
    /// [`StateError::Store`] or [`StateError::Encode`]; then what was stored before is still there.
    pub fn save(&self, saved: &Saved) -> Result<(), StateError> {
        let detectors = saved.detectors.as_ref().map(|own| Detectors {
            divisor: own.divisor,
            targets: own.targets.iter().cloned(),
        });
        self.write(saved, detectors)
    }

    /// As [`save`](Self::save), with detectors that are never all in memory at once.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_with(
        &self,
        saved: &Saved,
        detectors: Detectors<impl Iterator<Item = SavedTarget>>,
    ) -> Result<(), StateError> {
        self.write(saved, Some(detectors))
    }

    fn write(
        &self,
        saved: &Saved,
        detectors: Option<Detectors<impl Iterator<Item = SavedTarget>>>,
    ) -> Result<(), StateError> {
        let write = || -> Result<(), WriteError> {
            let transaction = self.database.begin_write().map_err(redb::Error::from)?;
            records::write(&transaction, saved, detectors)?;
            transaction.commit().map_err(redb::Error::from)?;
            Ok(())
        };
        write().map_err(|error| match error {
            WriteError::Encode(source) => StateError::Encode(source),
            WriteError::Store(source) => StateError::Store {
                path: self.path.clone(),
                source: Box::new(source),
            },
        })
    }

    fn try_open(path: &Path) -> Result<(Self, Contents), Trouble> {
        // A damaged file must not end the agent: redb checks what it reads, and asserts that it has.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| Self::open_unguarded(path)));
        opened.unwrap_or_else(|_| {
            Err(Trouble::Damaged(
                "its pages contradict each other".to_owned(),
            ))
        })
    }

    fn open_unguarded(path: &Path) -> Result<(Self, Contents), Trouble> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create(path)
            .map_err(|error| trouble(path, error.into()))?;
        let store = Self {
            database,
            path: path.to_owned(),
        };
        let failed = |error: redb::Error| trouble(path, error);
        let transaction = store
            .database
            .begin_read()
            .map_err(|error| failed(error.into()))?;
        let version = records::version(&transaction).map_err(failed)?;
        let contents = match version {
            None => {
                let transaction = store
                    .database
                    .begin_write()
                    .map_err(|error| failed(error.into()))?;
                records::begin(&transaction).map_err(failed)?;
                transaction.commit().map_err(|error| failed(error.into()))?;
                Contents::default()
            }
            Some(FORMAT) => records::read(&transaction).map_err(failed)?,
            Some(0) => return Err(Trouble::Damaged("it says that it has format 0".to_owned())),
            Some(found) => {
                return Err(Trouble::Error(StateError::LaterVersion {
                    path: path.to_owned(),
                    found,
                    newest: FORMAT,
                }));
            }
        };
        Ok((store, contents))
    }
}

/// Damage is set aside; everything else is for the operator.
fn trouble(path: &Path, error: redb::Error) -> Trouble {
    let path = path.to_owned();
    match error {
        redb::Error::Corrupted(reason) => Trouble::Damaged(reason),
        redb::Error::Io(source)
            if matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Trouble::Damaged(source.to_string())
        }
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            Trouble::Error(StateError::InUse { path })
        }
        redb::Error::Io(source) => Trouble::Error(StateError::Io { path, source }),
        // A table of another type, or none where one must be: nobody of ours wrote this.
        source @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TableDoesNotExist(_)) => Trouble::Damaged(source.to_string()),
        source => Trouble::Error(StateError::Store {
            path,
            source: Box::new(source),
        }),
    }
}

/// The name under which a damaged file is kept.
fn aside(path: &Path, now: Timestamp) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{}", now.millis()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
