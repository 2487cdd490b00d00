//! A level detector as versioned bytes, and back.

use crate::innocence::{Findings, Standing};
use crate::level::conviction::{Charge, Conviction};
use crate::level::{LevelDetector, LevelSettings, State, Suspicion};
use crate::memory::{Memory, SCALES};
use crate::order::Order;
use crate::snapshot::{Reader, RestoreError, Writer};
use crate::verdict::{Fit, Interval};

const KIND: u8 = b'L';
const VERSION: u8 = 1;

impl LevelDetector {
    /// The detector, its settings included, as versioned bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.f64(self.settings.absolute_floor);
        writer.f64(self.settings.relative_floor);
        writer.bool(self.settings.integer);
        writer.f64(self.settings.false_alerts_per_year);
        self.memory.write(&mut writer);
        self.order.write(&mut writer);
        writer.option(self.load, |writer, (at, total)| {
            writer.time(at);
            writer.f64(total);
        });
        writer.option(self.started, Writer::time);
        writer.option(self.first, Writer::time);
        writer.time(self.since);
        writer.u64(self.samples);
        writer.option(self.earlier_lives, |writer, (highest, load)| {
            writer.f64(highest);
            writer.option(load, Writer::f64);
        });
        writer.option(self.charge, write_charge);
        for passes in self.passes {
            writer.u8(passes);
        }
        match &self.state {
            State::Watching(None) => writer.u8(0),
            State::Watching(Some(suspicion)) => {
                writer.u8(1);
                write_suspicion(&mut writer, suspicion);
            }
            State::Convicted(conviction) => {
                writer.u8(2);
                write_conviction(&mut writer, conviction);
            }
        }
        writer.finish()
    }

    /// The detector that [`snapshot`](Self::snapshot) wrote: it gives the same verdicts from here on.
    ///
    /// # Errors
    ///
    /// The bytes are of something else, of a later version, or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let (mut reader, _) = Reader::new(bytes, KIND, VERSION)?;
        let detector = Self {
            settings: LevelSettings {
                absolute_floor: reader.f64()?,
                relative_floor: reader.f64()?,
                integer: reader.bool()?,
                false_alerts_per_year: reader.f64()?,
            },
            memory: Memory::read(&mut reader)?,
            order: Order::read(&mut reader)?,
            load: reader.option(|reader| Ok((reader.time()?, reader.f64()?)))?,
            started: reader.option(Reader::time)?,
            first: reader.option(Reader::time)?,
            since: reader.time()?,
            samples: reader.u64()?,
            earlier_lives: reader
                .option(|reader| Ok((reader.f64()?, reader.option(Reader::f64)?)))?,
            charge: reader.option(read_charge)?,
            passes: {
                let mut passes = [0; SCALES];
                for passes in &mut passes {
                    *passes = reader.u8()?;
                }
                passes
            },
            state: match reader.u8()? {
                0 => State::Watching(None),
                1 => State::Watching(Some(read_suspicion(&mut reader)?)),
                2 => State::Convicted(read_conviction(&mut reader)?),
                _ => return Err(reader.damaged()),
            },
        };
        reader.finish()?;
        Ok(detector)
    }
}

fn write_charge(writer: &mut Writer, charge: Charge) {
    writer.time(charge.restarted_at);
    writer.time(charge.onset);
    writer.f64(charge.onset_uncertainty_seconds);
    writer.time(charge.convicted_at);
    writer.f64(charge.acquitted_after_seconds);
}

fn read_charge(reader: &mut Reader) -> Result<Charge, RestoreError> {
    Ok(Charge {
        restarted_at: reader.time()?,
        onset: reader.time()?,
        onset_uncertainty_seconds: reader.f64()?,
        convicted_at: reader.time()?,
        acquitted_after_seconds: reader.f64()?,
    })
}

fn write_suspicion(writer: &mut Writer, suspicion: &Suspicion) {
    writer.u8(suspicion.scale as u8);
    let standing = Standing::ALL
        .iter()
        .position(|standing| *standing == suspicion.standing);
    writer.u8(standing.unwrap_or_default() as u8);
    write_findings(writer, &suspicion.findings);
    writer.time(suspicion.onset);
    write_growth(writer, suspicion.growth, suspicion.fit);
}

fn read_suspicion(reader: &mut Reader) -> Result<Suspicion, RestoreError> {
    let scale = reader.length(SCALES - 1)?;
    let standing = Standing::ALL[reader.length(Standing::ALL.len() - 1)?];
    let findings = read_findings(reader)?;
    let onset = reader.time()?;
    let (growth, fit) = read_growth(reader)?;
    Ok(Suspicion {
        scale,
        standing,
        findings,
        onset,
        growth,
        fit,
    })
}

fn write_conviction(writer: &mut Writer, conviction: &Conviction) {
    writer.time(conviction.at);
    writer.time(conviction.onset);
    writer.f64(conviction.onset_uncertainty_seconds);
    writer.u8(conviction.scale as u8);
    writer.f64(conviction.scale_seconds);
    writer.u64(conviction.samples);
    write_findings(writer, &conviction.findings);
    writer.f64(conviction.baseline);
    writer.option(conviction.base_load, Writer::f64);
    writer.f64(conviction.load_share);
    writer.f64(conviction.convicted_growth);
    write_growth(writer, conviction.growth, conviction.fit);
    writer.f64(conviction.excess);
    writer.f64(conviction.peak_excess);
    writer.bool(conviction.growing);
    writer.u8(conviction.calm);
}

fn read_conviction(reader: &mut Reader) -> Result<Conviction, RestoreError> {
    let (at, onset, onset_uncertainty_seconds) = (reader.time()?, reader.time()?, reader.f64()?);
    let (scale, scale_seconds, samples) =
        (reader.length(SCALES - 1)?, reader.f64()?, reader.u64()?);
    let findings = read_findings(reader)?;
    let (baseline, base_load, load_share) =
        (reader.f64()?, reader.option(Reader::f64)?, reader.f64()?);
    let convicted_growth = reader.f64()?;
    let (growth, fit) = read_growth(reader)?;
    Ok(Conviction {
        at,
        onset,
        onset_uncertainty_seconds,
        scale,
        scale_seconds,
        samples,
        findings,
        baseline,
        base_load,
        load_share,
        convicted_growth,
        growth,
        fit,
        excess: reader.f64()?,
        peak_excess: reader.f64()?,
        growing: reader.bool()?,
        calm: reader.u8()?,
    })
}

fn write_growth(writer: &mut Writer, growth: Interval, fit: Fit) {
    for number in [
        growth.low,
        growth.estimate,
        growth.high,
        fit.start_value,
        fit.slope,
    ] {
        writer.f64(number);
    }
    writer.time(fit.start);
}

fn read_growth(reader: &mut Reader) -> Result<(Interval, Fit), RestoreError> {
    let growth = reader.interval()?;
    let (start_value, slope) = (reader.f64()?, reader.f64()?);
    Ok((
        growth,
        Fit {
            start: reader.time()?,
            start_value,
            slope,
        },
    ))
}

fn write_findings(writer: &mut Writer, findings: &Findings) {
    let Findings {
        t,
        chance,
        level_per_test,
        unexplained,
        floor,
        now,
        seconds,
        quiet_seconds,
        upstream_bound,
        ..
    } = *findings;
    for number in [
        t,
        chance,
        level_per_test,
        unexplained,
        floor,
        now,
        seconds,
        quiet_seconds,
        upstream_bound,
    ] {
        writer.f64(number);
    }
    let Findings {
        share_of_steps,
        greatest_share,
        newest_share,
        least_low_share,
        ..
    } = *findings;
    for share in [
        share_of_steps,
        greatest_share,
        newest_share,
        least_low_share,
    ] {
        writer.f32(share);
    }
    writer.bool(findings.loaded);
    writer.bool(findings.steep);
    writer.option(findings.highest_before, Writer::f64);
    writer.option(findings.earlier_lives, Writer::f64);
}

fn read_findings(reader: &mut Reader) -> Result<Findings, RestoreError> {
    Ok(Findings {
        t: reader.f64()?,
        chance: reader.f64()?,
        level_per_test: reader.f64()?,
        unexplained: reader.f64()?,
        floor: reader.f64()?,
        now: reader.f64()?,
        seconds: reader.f64()?,
        quiet_seconds: reader.f64()?,
        upstream_bound: reader.f64()?,
        share_of_steps: reader.f32()?,
        greatest_share: reader.f32()?,
        newest_share: reader.f32()?,
        least_low_share: reader.f32()?,
        loaded: reader.bool()?,
        steep: reader.bool()?,
        highest_before: reader.option(Reader::f64)?,
        earlier_lives: reader.option(Reader::f64)?,
    })
}
