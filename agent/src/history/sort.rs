//! More samples than memory, in order of time: sorted runs in a nameless temporary file, merged when they are read.
//!
//! The file is unlinked as soon as it is made, so that nothing of it can stay behind, however the process ends. What
//! fits into memory never touches the disk. Of equal keys the one that was pushed first comes out first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a record on disk and in memory.
pub(super) const RECORD_BYTES: usize = 16;

/// A stable sort needs half as much again as what it sorts.
const SORT_SHARE: f64 = 1.5;

/// Fewer bytes than this are never read of a run at once.
const LEAST_READ_BYTES: usize = 16 << 10;

/// Fewer records than this are not worth a run.
const LEAST_RECORDS: usize = 1024;

/// One sample: its time and series as one key, so that sorting compares whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) key: u64,
    pub(super) value: f64,
}

/// Takes records in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    directory: PathBuf,
    /// Records that fit into memory.
    capacity: usize,
    buffer: Vec<Record>,
    spilled: Option<Spilled>,
}

/// What was written to disk.
#[derive(Debug)]
struct Spilled {
    file: File,
    /// Records of each run, which lie one behind the other.
    runs: Vec<u64>,
}

/// Records in order of their keys.
#[derive(Debug)]
pub(super) enum Sorted {
    Memory(std::vec::IntoIter<Record>),
    Disk(Merge),
}

/// Runs of a file, merged.
#[derive(Debug)]
pub(super) struct Merge {
    file: File,
    runs: Vec<Run>,
    /// The next key of each run that is not at its end, the least first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

/// What is left of one run.
#[derive(Debug)]
struct Run {
    /// Where the next bytes are read, and where the run ends.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    read_bytes: usize,
}

impl Sorter {
    /// One that uses about `memory_bytes` of memory, and beyond that a file in `directory`.
    pub(super) fn new(memory_bytes: usize, directory: &Path) -> Self {
        let capacity = (memory_bytes as f64 / SORT_SHARE) as usize / RECORD_BYTES;
        Self {
            directory: directory.to_owned(),
            capacity: capacity.max(LEAST_RECORDS),
            buffer: Vec::new(),
            spilled: None,
        }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// The temporary file cannot be made or written.
    pub(super) fn push(&mut self, record: Record) -> io::Result<()> {
        if self.buffer.len() >= self.capacity {
            self.spill()?;
        }
        if self.buffer.len() == self.buffer.capacity() {
            // Twice as much as before, but never more than may be.
            let more = self.buffer.len().max(LEAST_RECORDS);
            self.buffer
                .reserve_exact(more.min(self.capacity - self.buffer.len()));
        }
        self.buffer.push(record);
        Ok(())
    }

    /// Bytes on disk so far.
    pub(super) fn disk_bytes(&self) -> u64 {
        let records = self
            .spilled
            .as_ref()
            .map_or(0, |spilled| spilled.runs.iter().sum());
        records * RECORD_BYTES as u64
    }

    fn spill(&mut self) -> io::Result<()> {
        self.buffer.sort_by_key(|record| record.key);
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            None => self.spilled.insert(Spilled {
                file: nameless(&self.directory)?,
                runs: Vec::new(),
            }),
        };
        let mut writer = BufWriter::with_capacity(1 << 20, &spilled.file);
        for record in &self.buffer {
            writer.write_all(&record.key.to_le_bytes())?;
            writer.write_all(&record.value.to_bits().to_le_bytes())?;
        }
        writer.flush()?;
        drop(writer);
        spilled.runs.push(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// All records in order.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        if self.spilled.is_some() && !self.buffer.is_empty() {
            self.spill()?;
        }
        match self.spilled {
            None => {
                self.buffer.sort_by_key(|record| record.key);
                Ok(Sorted::Memory(self.buffer.into_iter()))
            }
            Some(spilled) => {
                self.buffer = Vec::new();
                let memory = self.capacity * RECORD_BYTES;
                Ok(Sorted::Disk(Merge::new(spilled, memory)?))
            }
        }
    }
}

/// A file that nobody else can open and that vanishes with its last handle.
fn nameless(directory: &Path) -> io::Result<File> {
    let mut attempt = 0;
    loop {
        let name = format!("leak-agent-replay-{}-{attempt}", std::process::id());
        let path = directory.join(name);
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Merge {
    fn new(spilled: Spilled, memory_bytes: usize) -> io::Result<Self> {
        let each = (memory_bytes / spilled.runs.len()).clamp(LEAST_READ_BYTES, 4 << 20);
        let mut at = 0;
        let mut runs = Vec::with_capacity(spilled.runs.len());
        for records in spilled.runs {
            let end = at + records * RECORD_BYTES as u64;
            runs.push(Run {
                at,
                end,
                buffer: Vec::new(),
                used: 0,
                read_bytes: each / RECORD_BYTES * RECORD_BYTES,
            });
            at = end;
        }
        let mut merge = Self {
            file: spilled.file,
            runs,
            next: BinaryHeap::new(),
        };
        for run in 0..merge.runs.len() {
            if let Some(key) = merge.runs[run].peek(&merge.file)? {
                merge.next.push(Reverse((key, run)));
            }
        }
        Ok(merge)
    }

    fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(mut least) = self.next.peek_mut() else {
            return Ok(None);
        };
        let Reverse((_, run)) = *least;
        let record = self.runs[run].take();
        match self.runs[run].peek(&self.file)? {
            Some(key) => *least = Reverse((key, run)),
            None => {
                std::collections::binary_heap::PeekMut::pop(least);
            }
        }
        Ok(Some(record))
    }
}

impl Run {
    /// The next key; `None` at the end.
    fn peek(&mut self, file: &File) -> io::Result<Option<u64>> {
        if self.used == self.buffer.len() {
            let wanted = (self.end - self.at).min(self.read_bytes as u64) as usize;
            if wanted == 0 {
                self.buffer = Vec::new();
                self.used = 0;
                return Ok(None);
            }
            self.buffer.resize(wanted, 0);
            file.read_exact_at(&mut self.buffer, self.at)?;
            self.at += wanted as u64;
            self.used = 0;
        }
        Ok(Some(self.word(0)))
    }

    /// The record that was peeked at.
    fn take(&mut self) -> Record {
        let record = Record {
            key: self.word(0),
            value: f64::from_bits(self.word(8)),
        };
        self.used += RECORD_BYTES;
        record
    }

    fn word(&self, offset: usize) -> u64 {
        let from = self.used + offset;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.buffer[from..from + 8]);
        u64::from_le_bytes(bytes)
    }
}

impl Sorted {
    /// The next record in order; `None` after the last.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        match self {
            Self::Memory(records) => Ok(records.next()),
            Self::Disk(merge) => merge.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(keys: &[u64], memory_bytes: usize, directory: &Path) -> (Vec<Record>, u64) {
        let mut sorter = Sorter::new(memory_bytes, directory);
        for (place, key) in keys.iter().enumerate() {
            let value = place as f64;
            sorter.push(Record { key: *key, value }).unwrap();
        }
        let disk = sorter.disk_bytes();
        let mut sorted = sorter.finish().unwrap();
        let mut all = Vec::new();
        while let Some(record) = sorted.next().unwrap() {
            all.push(record);
        }
        (all, disk)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn disk_and_memory_give_the_same_order(keys in prop::collection::vec(0_u64..500, 0..9000)) {
            let directory = tempfile::tempdir().unwrap();
            let (in_memory, none) = sorted(&keys, 1 << 20, directory.path());
            let (on_disk, some) = sorted(&keys, 1, directory.path());
            prop_assert_eq!(none, 0);
            prop_assert_eq!(some > 0, keys.len() > LEAST_RECORDS);
            prop_assert_eq!(&in_memory, &on_disk);
            let mut expected: Vec<(u64, f64)> = keys.iter().copied().zip((0..).map(f64::from)).collect();
            expected.sort_by_key(|(key, _)| *key);
            let got: Vec<(u64, f64)> = in_memory.iter().map(|own| (own.key, own.value)).collect();
            prop_assert_eq!(got, expected, "stable");
            prop_assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_file_has_no_name_while_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(1, directory.path());
        for key in (0..5000).rev() {
            sorter.push(Record { key, value: 0.0 }).unwrap();
        }
        assert!(sorter.disk_bytes() >= 4 * 1024 * RECORD_BYTES as u64);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_once_it_is_needed() {
        let mut sorter = Sorter::new(1, Path::new("/nowhere/at/all"));
        let mut push = || sorter.push(Record { key: 1, value: 1.0 });
        let failed = (0..2 * LEAST_RECORDS).find_map(|_| push().err());
        assert_eq!(failed.unwrap().kind(), io::ErrorKind::NotFound);
    }
}
