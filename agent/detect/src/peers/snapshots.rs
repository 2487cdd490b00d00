//! A comparison of peers as versioned bytes, and back.

use crate::peers::conviction::{Conviction, Findings};
use crate::peers::{MOST_CONVICTED, Peers};
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::verdict::Fit;

const KIND: u8 = b'P';
const VERSION: u8 = 1;

/// Instances that stood out at the last test, at most.
const MOST_PASSES: usize = 255;

impl Peers {
    /// All that is known, as versioned bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.option(self.tested_at, Writer::time);
        writer.f64(self.interval_seconds);
        let passes = &self.passes[..self.passes.len().min(MOST_PASSES)];
        writer.u8(passes.len() as u8);
        for (instance, count) in passes {
            writer.u64(*instance);
            writer.u8(*count);
        }
        writer.u8(self.convicted.len() as u8);
        for conviction in &self.convicted {
            write(&mut writer, conviction);
        }
        writer.finish()
    }

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// The bytes are none of this kind, of a later version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let (mut reader, _) = Reader::new(bytes, KIND, VERSION)?;
        let tested_at = reader.option(Reader::time)?;
        let interval_seconds = reader.f64()?;
        let mut passes = Vec::new();
        for _ in 0..reader.length(MOST_PASSES)? {
            passes.push((reader.u64()?, reader.u8()?.min(1)));
        }
        let mut convicted = Vec::new();
        for _ in 0..reader.length(MOST_CONVICTED)? {
            convicted.push(read(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self {
            tested_at,
            interval_seconds,
            passes,
            convicted,
        })
    }
}

fn write(writer: &mut Writer, own: &Conviction) {
    writer.u64(own.instance);
    writer.time(own.at);
    writer.time(own.onset);
    writer.time(own.fit.start);
    writer.u64(own.samples);
    let findings = &own.findings;
    writer.u32(findings.peers);
    writer.u32(findings.alike);
    for number in [
        own.window_seconds,
        own.growth.low,
        own.growth.estimate,
        own.growth.high,
        own.convicted_growth,
        own.fit.start_value,
        own.fit.slope,
        own.baseline,
        own.excess,
        own.peak_excess,
        findings.t,
        findings.chance,
        findings.level_per_test,
        findings.rise,
        findings.floor,
        findings.spread,
        findings.seconds,
        findings.greatest_share,
        findings.newest_share,
    ] {
        writer.finite(number);
    }
    writer.bool(findings.loaded);
    writer.bool(own.growing);
    writer.u8(own.calm);
}

fn read(reader: &mut Reader) -> Result<Conviction, RestoreError> {
    let instance = reader.u64()?;
    let (at, onset, fit_start) = (reader.time()?, reader.time()?, reader.time()?);
    let samples = reader.u64()?;
    let (peers, alike) = (reader.u32()?, reader.u32()?);
    let window_seconds = reader.f64()?;
    let growth = reader.interval()?;
    let convicted_growth = reader.f64()?;
    let fit = Fit {
        start: fit_start,
        start_value: reader.f64()?,
        slope: reader.f64()?,
    };
    let (baseline, excess, peak_excess) = (reader.f64()?, reader.f64()?, reader.f64()?);
    let findings = Findings {
        peers,
        alike,
        t: reader.f64()?,
        chance: reader.f64()?,
        level_per_test: reader.f64()?,
        rise: reader.f64()?,
        floor: reader.f64()?,
        spread: reader.f64()?,
        seconds: reader.f64()?,
        greatest_share: reader.f64()?,
        newest_share: reader.f64()?,
        loaded: reader.bool()?,
    };
    Ok(Conviction {
        instance,
        at,
        onset,
        window_seconds,
        samples,
        findings,
        growth,
        convicted_growth,
        fit,
        baseline,
        excess,
        peak_excess,
        growing: reader.bool()?,
        calm: reader.u8()?,
    })
}
