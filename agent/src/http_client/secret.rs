//! Texts that nobody may see: passwords and tokens, written in the configuration or in a file of their own.
//!
//! A [`Secret`] shows itself as `<secret>` wherever it is printed, as Prometheus does, and gives its text only to the
//! code that puts it on the wire. A file is read at each use: secrets are rotated under running programs, and a
//! rotation must not need a restart.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::HttpError;

/// Bytes of a file with a secret; no token is longer.
const SECRET_BYTES: u64 = 64 << 10;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the wire and for nothing else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration.
    Inline(Secret),
    /// In a file, less the white space around it.
    File {
        /// The key that names the file, for messages.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
}

impl SecretSource {
    /// The secret as it is now.
    pub(super) fn read(&self) -> Result<Secret, HttpError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File { key, path } => {
                let bytes = read_file(key, path, SECRET_BYTES)?;
                let text = String::from_utf8(bytes).map_err(|_| HttpError::File {
                    key,
                    path: path.clone(),
                    reason: "it is not UTF-8".to_owned(),
                })?;
                Ok(Secret::new(text.trim()))
            }
        }
    }
}

/// A whole file, if it is not larger than `limit` bytes.
pub(super) fn read_file(key: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, HttpError> {
    let failed = |reason: String| HttpError::File {
        key,
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
