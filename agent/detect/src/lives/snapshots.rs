//! The lives of a workload as versioned bytes, and back.

use crate::life::Life;
use crate::lives::conviction::Conviction;
use crate::lives::findings::{Findings, Standing};
use crate::lives::{ENDED_LIVES, Lives, State};
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::verdict::{Fit, Interval};

const KIND: u8 = b'V';
const VERSION: u8 = 1;

impl Lives {
    /// All that is known of the lives, as versioned bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.u8(self.ended.len() as u8);
        for life in &self.ended {
            life.write(&mut writer);
        }
        writer.option(self.tested_at, Writer::time);
        writer.f64(self.interval_seconds);
        writer.option(self.since, Writer::time);
        writer.u8(self.passes);
        match &self.state {
            State::Quiet => writer.u8(0),
            State::Suspected(suspicion) => {
                writer.u8(1);
                writer.u8(suspicion.standing.place());
                write_findings(&mut writer, &suspicion.findings);
                writer.time(suspicion.onset);
                write_interval(&mut writer, suspicion.growth);
                write_fit(&mut writer, suspicion.fit);
            }
            State::Convicted(conviction) => {
                writer.u8(2);
                write_conviction(&mut writer, conviction);
            }
        }
        writer.finish()
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// The bytes are none of this kind, of a later version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let (mut reader, _) = Reader::new(bytes, KIND, VERSION)?;
        let count = reader.length(ENDED_LIVES)?;
        let mut ended = Vec::with_capacity(count);
        for _ in 0..count {
            ended.push(Life::read_from(&mut reader)?);
        }
        let tested_at = reader.option(Reader::time)?;
        let interval_seconds = reader.f64()?;
        let since = reader.option(Reader::time)?;
        let passes = reader.u8()?;
        let state = match reader.u8()? {
            0 => State::Quiet,
            1 => State::Suspected(super::Suspicion {
                standing: Standing::at(reader.u8()?).ok_or_else(|| reader.damaged())?,
                findings: read_findings(&mut reader)?,
                onset: reader.time()?,
                growth: reader.interval()?,
                fit: read_fit(&mut reader)?,
            }),
            2 => State::Convicted(read_conviction(&mut reader)?),
            _ => return Err(reader.damaged()),
        };
        reader.finish()?;
        Ok(Self {
            ended,
            tested_at,
            interval_seconds,
            since,
            passes,
            state,
        })
    }
}

fn write_conviction(writer: &mut Writer, conviction: &Conviction) {
    writer.time(conviction.at);
    writer.time(conviction.onset);
    write_findings(writer, &conviction.findings);
    write_interval(writer, conviction.growth);
    write_fit(writer, conviction.fit);
    for number in [
        conviction.baseline,
        conviction.share,
        conviction.load,
        conviction.span_seconds,
        conviction.excess,
        conviction.peak_excess,
    ] {
        writer.f64(number);
    }
    writer.u64(conviction.samples);
    writer.bool(conviction.growing);
}

fn read_conviction(reader: &mut Reader) -> Result<Conviction, RestoreError> {
    Ok(Conviction {
        at: reader.time()?,
        onset: reader.time()?,
        findings: read_findings(reader)?,
        growth: reader.interval()?,
        fit: read_fit(reader)?,
        baseline: reader.f64()?,
        share: reader.f64()?,
        load: reader.f64()?,
        span_seconds: reader.f64()?,
        excess: reader.f64()?,
        peak_excess: reader.f64()?,
        samples: reader.u64()?,
        growing: reader.bool()?,
    })
}

fn write_findings(writer: &mut Writer, findings: &Findings) {
    for count in [
        findings.lives,
        findings.instances,
        findings.alike,
        findings.voices,
        findings.successions,
    ] {
        writer.u32(count);
    }
    for number in [
        findings.t,
        findings.chance,
        findings.level_per_test,
        findings.rise,
        findings.floor,
        findings.beyond_load,
        findings.falls_back,
        findings.greatest_share,
        findings.newest_share,
        findings.seconds,
        findings.longest_seconds,
        findings.total_seconds,
        findings.succeeded_share,
    ] {
        writer.finite(number);
    }
    writer.bool(findings.loaded);
}

fn read_findings(reader: &mut Reader) -> Result<Findings, RestoreError> {
    Ok(Findings {
        lives: reader.u32()?,
        instances: reader.u32()?,
        alike: reader.u32()?,
        voices: reader.u32()?,
        successions: reader.u32()?,
        t: reader.f64()?,
        chance: reader.f64()?,
        level_per_test: reader.f64()?,
        rise: reader.f64()?,
        floor: reader.f64()?,
        beyond_load: reader.f64()?,
        falls_back: reader.f64()?,
        greatest_share: reader.f64()?,
        newest_share: reader.f64()?,
        seconds: reader.f64()?,
        longest_seconds: reader.f64()?,
        total_seconds: reader.f64()?,
        succeeded_share: reader.f64()?,
        loaded: reader.bool()?,
    })
}

fn write_interval(writer: &mut Writer, interval: Interval) {
    for number in [interval.low, interval.estimate, interval.high] {
        writer.finite(number);
    }
}

fn write_fit(writer: &mut Writer, fit: Fit) {
    writer.time(fit.start);
    writer.finite(fit.start_value);
    writer.finite(fit.slope);
}

fn read_fit(reader: &mut Reader) -> Result<Fit, RestoreError> {
    Ok(Fit {
        start: reader.time()?,
        start_value: reader.f64()?,
        slope: reader.f64()?,
    })
}
