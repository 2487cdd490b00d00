//! Versioned bytes of a detector, and back.
//!
//! Little-endian numbers in a fixed order behind a header of four bytes: magic, kind, version. Written by hand, for the
//! format must outlive any library's, and a state of an earlier version must stay readable. Whatever the bytes are,
//! reading them ends in a detector or an error, never in a panic or a large allocation.

use thiserror::Error;

use crate::time::Timestamp;
use crate::verdict::Interval;

/// Why bytes are no snapshot of this detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Not written by this package, or for another kind of detector.
    #[error("not a snapshot of this kind of detector")]
    Foreign,
    /// Written by a later version of this package.
    #[error("snapshot version {found} is later than {newest}, the newest that this program reads")]
    LaterVersion {
        /// The version found.
        found: u8,
        /// The newest version that can be read.
        newest: u8,
    },
    /// Cut short, too long, or with contents that no detector writes.
    #[error("snapshot is damaged at byte {at}")]
    Damaged {
        /// Offset at which it stopped making sense.
        at: usize,
    },
}

const MAGIC: [u8; 2] = *b"LD";

/// Writes a snapshot.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(kind: u8, version: u8) -> Self {
        Self {
            bytes: vec![MAGIC[0], MAGIC[1], kind, version],
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// The nearest finite number, since readers refuse others; 0 where it is none.
    pub(crate) fn finite(&mut self, value: f64) {
        self.f64(if value.is_nan() {
            0.0
        } else {
            value.clamp(f64::MIN, f64::MAX)
        });
    }

    pub(crate) fn time(&mut self, value: Timestamp) {
        self.u64(value.millis() as u64);
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads a snapshot; every read fails cleanly past the end.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks the header and gives the version with the reader.
    pub(crate) fn new(bytes: &'a [u8], kind: u8, newest: u8) -> Result<(Self, u8), RestoreError> {
        match bytes {
            [first, second, found_kind, version, ..]
                if [*first, *second] == MAGIC && *found_kind == kind =>
            {
                if *version > newest {
                    return Err(RestoreError::LaterVersion {
                        found: *version,
                        newest,
                    });
                }
                Ok((Self { bytes, at: 4 }, *version))
            }
            _ => Err(RestoreError::Foreign),
        }
    }

    /// Ends the reading: nothing may be left.
    pub(crate) fn finish(self) -> Result<(), RestoreError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }

    pub(crate) fn damaged(&self) -> RestoreError {
        RestoreError::Damaged { at: self.at }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let array = self
            .bytes
            .get(self.at..self.at + N)
            .and_then(|slice| slice.try_into().ok())
            .ok_or_else(|| self.damaged())?;
        self.at += N;
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RestoreError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, RestoreError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RestoreError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RestoreError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RestoreError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number that must be finite, as every number in a detector is.
    pub(crate) fn f32(&mut self) -> Result<f32, RestoreError> {
        let value = f32::from_bits(self.u32()?);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(self.damaged())
        }
    }

    /// A number that must be finite, as every number in a detector is.
    pub(crate) fn f64(&mut self) -> Result<f64, RestoreError> {
        let value = f64::from_bits(self.u64()?);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(self.damaged())
        }
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, RestoreError> {
        Ok(Timestamp::from_millis(self.u64()? as i64))
    }

    /// Low bound, estimate and high bound.
    pub(crate) fn interval(&mut self) -> Result<Interval, RestoreError> {
        Ok(Interval {
            low: self.f64()?,
            estimate: self.f64()?,
            high: self.f64()?,
        })
    }

    /// A length that must not exceed `most`.
    pub(crate) fn length(&mut self, most: usize) -> Result<usize, RestoreError> {
        let length = self.u8()? as usize;
        if length <= most {
            Ok(length)
        } else {
            Err(self.damaged())
        }
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RestoreError>,
    ) -> Result<Option<T>, RestoreError> {
        Ok(if self.bool()? {
            Some(read(self)?)
        } else {
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<f64, RestoreError> {
        let (mut reader, _) = Reader::new(bytes, 7, 2)?;
        let value = reader.f64()?;
        reader.finish()?;
        Ok(value)
    }

    fn written(version: u8, value: f64) -> Vec<u8> {
        let mut writer = Writer::new(7, version);
        writer.f64(value);
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written(2, 0.1)), Ok(0.1));
    }

    #[test]
    fn a_later_version_is_named() {
        assert_eq!(
            read(&written(3, 0.1)),
            Err(RestoreError::LaterVersion {
                found: 3,
                newest: 2
            })
        );
    }

    #[test]
    fn what_is_foreign_short_long_or_not_a_number_is_an_error() {
        assert_eq!(read(b"PNG"), Err(RestoreError::Foreign));
        assert_eq!(
            read(&written(2, 0.1)[..11]),
            Err(RestoreError::Damaged { at: 4 })
        );
        assert_eq!(
            read(&[written(2, 0.1), vec![0]].concat()),
            Err(RestoreError::Damaged { at: 12 })
        );
        assert_eq!(
            read(&written(2, f64::NAN)),
            Err(RestoreError::Damaged { at: 12 })
        );
    }
}
