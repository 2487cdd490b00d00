//! Files of samples with timestamps: OpenMetrics, or Prometheus' text format, plain or gzipped, families in any order.
//!
//! A file is read once from its beginning to its end; only series that somebody wants are kept, as sixteen bytes a
//! sample in memory or, where there are too many, in a temporary file, and are then given out slice by slice in order
//! of time. The numbering of the series, and so everything that is made of the slices, does not depend on the order of
//! the file. A file that is damaged or incomplete is refused with the line: half a history would be judged wrongly.

mod error;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;

use crate::exposition::{Format, ParseError, Parser, RawSample};
use crate::history::sort::{Record, Sorted, Sorter};
use crate::history::{Series, SeriesIndex, SeriesTable, Slice};
use crate::labels::Labels;

pub use error::{ReadError, ReadProblem};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Timestamps at or above this are milliseconds: as seconds they would lie beyond the year 5000.
const LEAST_MILLISECONDS: f64 = 1e11;

/// Bits of a record's key that number its series; the others are its time.
const SERIES_BITS: u32 = 24;

/// With fewer samples a series does not tell how far apart they usually are.
const TELLING_SAMPLES: u64 = 10;

/// The most series that are kept.
const MAX_SERIES: usize = 1 << SERIES_BITS;

/// Times lie at most this many milliseconds (17 years) from the file's first.
const MAX_DISTANCE_MILLIS: i64 = 1 << (63 - SERIES_BITS);

/// A file that has been read.
#[derive(Debug)]
pub struct Recording {
    /// Its wanted series, ordered by `job`, `instance`, name and labels.
    pub table: SeriesTable,
    /// What each series of the table covers.
    pub extents: Vec<Extent>,
    /// What is to be told of it.
    pub notes: Notes,
    records: Sorted,
    base: Timestamp,
    /// From a record's series to the table's.
    order: Vec<SeriesIndex>,
}

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSettings {
    /// Bytes of memory for samples.
    pub memory_bytes: usize,
    /// Where they are sorted when there are more.
    pub temporary_directory: PathBuf,
}

/// How far the reading of a file has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Bytes read of the file as it is on disk, and its length.
    pub read_bytes: u64,
    /// The file's length.
    pub file_bytes: u64,
    /// Bytes in the temporary file so far; zero where there is none.
    pub temporary_bytes: u64,
}

/// What one series covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// Its first sample.
    pub first: Timestamp,
    /// Its last.
    pub last: Timestamp,
    /// How many there are, repetitions included.
    pub samples: u64,
}

impl Extent {
    /// Seconds between two samples; `None` where there are few.
    fn mean_distance(&self) -> Option<f64> {
        (self.samples >= TELLING_SAMPLES && self.last > self.first)
            .then(|| (self.last - self.first) / (self.samples - 1) as f64)
    }
}

/// What is to be told of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Samples in the file.
    pub samples: u64,
    /// Those of wanted series.
    pub kept: u64,
    /// Samples of a series at a time at which it had one already: the first won. Complete after the last slice.
    pub duplicates: u64,
    /// Bytes that were sorted on disk.
    pub temporary_bytes: u64,
}

struct Reading<'a> {
    settings: &'a ReadSettings,
    wanted: &'a dyn Fn(&str) -> bool,
    series: Vec<Series>,
    extents: Vec<Extent>,
    /// By their text in the file; `None` where nobody wants it.
    known: HashMap<Box<str>, Option<u32>>,
    /// Different texts may be the same series.
    same: HashMap<Series, u32>,
    /// The series of the last line: most files name one many times in a row.
    last: (String, Option<u32>),
    records: Sorter,
    base: Timestamp,
    notes: Notes,
}

/// Reads a file; `wanted` says which metric families are kept, `progress` is told now and then how far it is.
///
/// # Errors
/// The first thing in it that cannot be played, with its line.
pub fn read(
    path: &Path,
    settings: &ReadSettings,
    wanted: &dyn Fn(&str) -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recording, ReadError> {
    let mut read = || -> Result<Recording, ReadProblem> {
        let (mut file, position, file_bytes) = open(path)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = fill(&mut file, &mut chunk)?;
        if filled == 0 {
            return Err(ReadProblem::Empty);
        }
        let mut parser = Parser::new(format_of(&chunk[..filled]));
        let mut reading = Reading::new(settings, wanted);
        while filled > 0 {
            parser.feed(&chunk[..filled], &mut |sample| reading.take(&sample))?;
            progress(Progress {
                read_bytes: position.get(),
                file_bytes,
                temporary_bytes: reading.records.disk_bytes(),
            });
            filled = fill(&mut file, &mut chunk)?;
        }
        parser.finish(&mut |sample| reading.take(&sample))?;
        reading.finish()
    };
    read().map_err(|problem| ReadError {
        path: path.to_owned(),
        problem,
    })
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    position: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.set(self.position.get() + read as u64);
        Ok(read)
    }
}

/// A text, how much of its file has been read, and the file's length.
type Opened = (Box<dyn Read>, Rc<Cell<u64>>, u64);

/// The file's text, decompressed where it begins as gzip does (RFC 1952).
fn open(path: &Path) -> io::Result<Opened> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let position = Rc::new(Cell::new(0));
    let counted = Counted {
        file,
        position: Rc::clone(&position),
    };
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, counted);
    let text: Box<dyn Read> = if reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };
    Ok((text, position, length))
}

/// Fills the buffer as far as there is something to read.
fn fill(file: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The format, from the first timestamp of a file's beginning.
fn format_of(head: &[u8]) -> Format {
    let mut found = None;
    let mut parser = Parser::new(Format::OpenMetrics);
    // Whatever is wrong with it is found again when it is read.
    let _: Result<(), ParseError> = parser.feed(head, &mut |sample: RawSample<'_>| {
        found = found.or(sample.at);
        Ok(())
    });
    match found {
        Some(at) if at.seconds().abs() >= LEAST_MILLISECONDS => Format::Text,
        _ => Format::OpenMetrics,
    }
}

impl<'a> Reading<'a> {
    fn new(settings: &'a ReadSettings, wanted: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            settings,
            wanted,
            series: Vec::new(),
            extents: Vec::new(),
            known: HashMap::new(),
            same: HashMap::new(),
            last: (String::new(), None),
            records: Sorter::new(settings.memory_bytes, &settings.temporary_directory),
            base: Timestamp::default(),
            notes: Notes::default(),
        }
    }

    fn take(&mut self, sample: &RawSample<'_>) -> Result<(), ReadProblem> {
        self.notes.samples += 1;
        let Some(series) = self.series_of(sample)? else {
            return Ok(());
        };
        let at = sample.at.ok_or_else(|| ReadProblem::NoTimestamp {
            line: sample.line_number,
            series: sample.series.to_owned(),
        })?;
        if self.notes.kept == 0 {
            self.base = at;
        }
        self.notes.kept += 1;
        let extent = &mut self.extents[series as usize];
        if extent.samples == 0 {
            (extent.first, extent.last) = (at, at);
        }
        extent.first = extent.first.min(at);
        extent.last = extent.last.max(at);
        extent.samples += 1;
        let distance = at.millis().saturating_sub(self.base.millis());
        if distance.abs() >= MAX_DISTANCE_MILLIS {
            return Err(ReadProblem::FarTimestamp {
                line: sample.line_number,
            });
        }
        let time = (distance + MAX_DISTANCE_MILLIS) as u64;
        let record = Record {
            key: time << SERIES_BITS | u64::from(series),
            value: sample.value,
        };
        let pushed = self.records.push(record);
        pushed.map_err(|source| sort_error(self.settings, source))
    }

    fn series_of(&mut self, sample: &RawSample<'_>) -> Result<Option<u32>, ReadProblem> {
        if self.last.0 == sample.series {
            return Ok(self.last.1);
        }
        let found = match self.known.get(sample.series) {
            Some(known) => *known,
            None => self.meet(sample)?,
        };
        self.last.0.clear();
        self.last.0.push_str(sample.series);
        self.last.1 = found;
        Ok(found)
    }

    /// A text that was not there before.
    fn meet(&mut self, sample: &RawSample<'_>) -> Result<Option<u32>, ReadProblem> {
        let name = sample.name();
        if !(self.wanted)(&name) {
            return Ok(None);
        }
        let labels: Labels = sample
            .labels()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let series = Series {
            name: Arc::from(name),
            labels,
        };
        let next = self.series.len();
        if next >= MAX_SERIES && !self.same.contains_key(&series) {
            return Err(ReadProblem::TooManySeries {
                line: sample.line_number,
                limit: MAX_SERIES,
            });
        }
        let index = *self.same.entry(series.clone()).or_insert(next as u32);
        if index as usize == next {
            self.series.push(series);
            self.extents.push(Extent {
                first: Timestamp::default(),
                last: Timestamp::default(),
                samples: 0,
            });
        }
        self.known.insert(sample.series.into(), Some(index));
        Ok(Some(index))
    }

    fn finish(self) -> Result<Recording, ReadProblem> {
        let mut sorted: Vec<u32> = (0..self.series.len() as u32).collect();
        sorted.sort_by_cached_key(|index| {
            let series = &self.series[*index as usize];
            let label = |name| series.labels.get(name).map(str::to_owned);
            (label("job"), label("instance"), series.clone())
        });
        let mut table = SeriesTable::default();
        let mut order = vec![SeriesIndex(0); sorted.len()];
        for index in &sorted {
            order[*index as usize] = table.intern(self.series[*index as usize].clone());
        }
        let extents = sorted
            .iter()
            .map(|index| self.extents[*index as usize])
            .collect();
        let settings = self.settings;
        let temporary_bytes = self.records.disk_bytes();
        let records = self.records.finish();
        Ok(Recording {
            table,
            extents,
            notes: Notes {
                temporary_bytes,
                ..self.notes
            },
            records: records.map_err(|source| sort_error(settings, source))?,
            base: self.base,
            order,
        })
    }
}

fn sort_error(settings: &ReadSettings, source: io::Error) -> ReadProblem {
    ReadProblem::Sort {
        directory: settings.temporary_directory.clone(),
        source,
    }
}

impl Recording {
    /// The usual time between two samples of nine targets in ten, at most. That of a target is the least of its series' mean times
    /// between two samples: gaps make a mean too long, and the counters that explain others are seldom all broken off.
    pub fn interval(&self) -> Duration {
        let label = |series: &Series, name| series.labels.get(name).map(str::to_owned);
        let mut least: BTreeMap<(Option<String>, Option<String>), f64> = BTreeMap::new();
        for ((_, series), extent) in self.table.iter().zip(&self.extents) {
            let Some(mean) = extent.mean_distance() else {
                continue;
            };
            let target = (label(series, "job"), label(series, "instance"));
            let own = least.entry(target).or_insert(mean);
            *own = own.min(mean);
        }
        let mut all: Vec<f64> = least.into_values().collect();
        all.sort_by(f64::total_cmp);
        let place = (all.len() * 9 / 10).min(all.len().saturating_sub(1));
        Duration::from_secs_f64(all.get(place).copied().unwrap_or_default())
    }

    /// From the first sample to the last; `None` without samples.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.extents.iter().map(|own| own.first).min()?;
        let last = self.extents.iter().map(|own| own.last).max()?;
        Some((first, last))
    }

    /// The slices in order of time. Of two samples of one series and time the first in the file counts.
    ///
    /// # Errors
    /// What was sorted on disk cannot be read.
    pub fn play(mut self, next: &mut dyn FnMut(&Slice)) -> Result<Notes, io::Error> {
        let mut slice = Slice {
            at: Timestamp::default(),
            samples: Vec::new(),
        };
        let mut last_key = None;
        while let Some(record) = self.records.next()? {
            if last_key == Some(record.key) {
                self.notes.duplicates += 1;
                continue;
            }
            last_key = Some(record.key);
            let at = self.time_of(&record);
            if at != slice.at && !slice.samples.is_empty() {
                slice.samples.sort_unstable_by_key(|(series, _)| *series);
                next(&slice);
                slice.samples.clear();
            }
            slice.at = at;
            let series = (record.key & (MAX_SERIES as u64 - 1)) as usize;
            slice.samples.push((self.order[series], record.value));
        }
        if !slice.samples.is_empty() {
            slice.samples.sort_unstable_by_key(|(series, _)| *series);
            next(&slice);
        }
        Ok(self.notes)
    }

    fn time_of(&self, record: &Record) -> Timestamp {
        let distance = (record.key >> SERIES_BITS) as i64 - MAX_DISTANCE_MILLIS;
        Timestamp::from_millis(self.base.millis() + distance)
    }
}
