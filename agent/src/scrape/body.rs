//! From the bytes of a response to samples: decompressed, measured and parsed as they arrive.
//!
//! Nothing is held whole: of a body of any size there is a window of the decompressor, one unfinished line and the
//! watched samples. The limit counts decompressed bytes, so a small bomb is a large body.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::watched::Watched;
use super::{Notes, Sample, ScrapeError};
use crate::exposition::{Format, Parser};

/// How a body is encoded for transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Reads one body.
pub(super) enum Body<'w> {
    Plain(Box<Intake<'w>>),
    Gzip(Box<MultiGzDecoder<Intake<'w>>>),
}

/// Takes decompressed bytes.
pub(super) struct Intake<'w> {
    parser: Parser,
    watched: &'w mut Watched,
    body_limit: Option<u64>,
    sample_limit: Option<u64>,
    samples: Vec<Sample>,
    notes: Notes,
    /// What [`Write`] cannot say.
    error: Option<ScrapeError>,
}

impl<'w> Body<'w> {
    pub(super) fn new(
        format: Format,
        encoding: Encoding,
        watched: &'w mut Watched,
        limits: &crate::discovery::ScrapeLimits,
    ) -> Self {
        let intake = Intake {
            parser: Parser::begin(format, &mut watched.unwanted),
            watched,
            body_limit: limits.body_bytes,
            sample_limit: limits.samples,
            samples: Vec::new(),
            notes: Notes::default(),
            error: None,
        };
        match encoding {
            Encoding::Identity => Self::Plain(Box::new(intake)),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(intake))),
        }
    }

    /// Reads the next bytes as they were sent.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), ScrapeError> {
        match self {
            Self::Plain(intake) => intake.bytes(chunk),
            Self::Gzip(decoder) => {
                let result = decoder.write_all(chunk);
                result.map_err(|error| decoder.get_mut().why(&error))
            }
        }
    }

    /// The samples of the whole body.
    pub(super) fn finish(self) -> Result<(Vec<Sample>, Notes), ScrapeError> {
        match self {
            Self::Plain(intake) => intake.finish(),
            Self::Gzip(mut decoder) => {
                let result = decoder.try_finish();
                result.map_err(|error| decoder.get_mut().why(&error))?;
                match decoder.finish() {
                    Ok(intake) => intake.finish(),
                    Err(error) => Err(ScrapeError::Gzip(error.to_string())),
                }
            }
        }
    }
}

impl Intake<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ScrapeError> {
        self.notes.body_bytes += bytes.len() as u64;
        if let Some(limit) = self.body_limit
            && self.notes.body_bytes > limit
        {
            return Err(ScrapeError::BodyLimit(limit));
        }
        let (watched, samples, notes) = (&mut *self.watched, &mut self.samples, &mut self.notes);
        let mut unwanted = std::mem::take(&mut watched.unwanted);
        let read = self.parser.feed_wanted(bytes, &mut unwanted, &mut |raw| {
            watched.take(&raw, samples, notes)
        });
        watched.unwanted = unwanted;
        self.notes.samples = self.parser.samples();
        within(self.sample_limit, self.notes.samples)?;
        read
    }

    fn finish(mut self) -> Result<(Vec<Sample>, Notes), ScrapeError> {
        let (watched, samples, notes) = (&mut *self.watched, &mut self.samples, &mut self.notes);
        let mut unwanted = std::mem::take(&mut watched.unwanted);
        let read = self
            .parser
            .finish_wanted(&mut unwanted, &mut |raw| watched.take(&raw, samples, notes));
        watched.unwanted = unwanted;
        self.notes.samples = read?;
        within(self.sample_limit, self.notes.samples)?;
        Ok((self.samples, self.notes))
    }

    /// Why writing to the decompressor failed: what was written, or that it is no gzip.
    fn why(&mut self, error: &io::Error) -> ScrapeError {
        self.error
            .take()
            .unwrap_or_else(|| ScrapeError::Gzip(error.to_string()))
    }
}

fn within(limit: Option<u64>, samples: u64) -> Result<(), ScrapeError> {
    match limit {
        Some(limit) if samples > limit => Err(ScrapeError::SampleLimit(limit)),
        _ => Ok(()),
    }
}

impl Write for Intake<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.bytes(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.error = Some(error);
                Err(io::Error::other("the body is refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
