//! What holds of every reader, whatever it is fed: it ends, in a value or an error; how the bytes were cut into chunks
//! does not matter; and what it has read can be used.

use std::path::Path;

use leak_detect::{ExactDetector, LevelDetector, LevelSettings, Lives, Timestamp, Verdict};

use super::exposition::{Format, ParseError, Parser, RawSample};
use super::history::openmetrics::{Notes, ReadSettings, read as read_file};
use super::history::selector::Selector;
use super::history::{SeriesIndex, Slice};

/// One sample: series, name, labels, value (as bits, for NaN is a value), time, line.
type Read = (String, String, Vec<(String, String)>, u64, Option<i64>, u64);

/// A body of Prometheus' text format (`false`) or of OpenMetrics (`true`): its first byte says how it is cut.
pub fn exposition(openmetrics: bool, bytes: &[u8]) {
    let format = if openmetrics {
        Format::OpenMetrics
    } else {
        Format::Text
    };
    let (cut, body) = bytes.split_first().map_or((1, bytes), |(first, rest)| {
        (usize::from(*first).max(1), rest)
    });
    let whole = read(format, body, body.len().max(1));
    assert!(
        read(format, body, cut) == whole,
        "in chunks of {cut} it reads otherwise"
    );
    let (samples, _) = whole;
    for (series, name, labels, ..) in &samples {
        assert!(!name.is_empty() && series.len() <= body.len(), "{series:?}");
        for (index, (label, _)) in labels.iter().enumerate() {
            assert!(!label.is_empty());
            let twice = labels[..index].iter().any(|(earlier, _)| earlier == label);
            assert!(!twice, "{label:?} twice in {series:?}");
        }
    }
}

fn read(format: Format, body: &[u8], cut: usize) -> (Vec<Read>, Option<String>) {
    let mut samples = Vec::new();
    let mut sink = |sample: RawSample<'_>| {
        let labels = sample
            .labels()
            .map(|(name, value)| (name.into_owned(), value.into_owned()));
        samples.push((
            sample.series.to_owned(),
            sample.name().into_owned(),
            labels.collect(),
            sample.value.to_bits(),
            sample.at.map(Timestamp::millis),
            sample.line_number,
        ));
        Ok::<(), ParseError>(())
    };
    let mut parser = Parser::new(format);
    let mut result = Ok(());
    for chunk in body.chunks(cut) {
        result = parser.feed(chunk, &mut sink);
        if result.is_err() {
            break;
        }
    }
    let counted = parser.samples();
    if result.is_ok() {
        result = parser.finish(&mut sink);
    }
    assert!(
        (0..=1).contains(&(samples.len() as u64 - counted)),
        "miscounted"
    );
    (samples, result.err().map(|error| error.to_string()))
}

/// Bytes of a detector: those that are read give a detector that writes itself, comes back the same and goes on judging.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(detector) = LevelDetector::restore(bytes) {
        level(detector);
    }
    if let Ok(detector) = ExactDetector::restore(bytes) {
        exact(detector);
    }
    if let Ok(detector) = Lives::restore(bytes) {
        lives(detector);
    }
}

fn lives(mut detector: Lives) {
    let mut again = Lives::restore(&detector.snapshot()).expect("its own snapshot");
    assert!(again.snapshot() == detector.snapshot(), "not the same");
    let settings = LevelSettings::count();
    let mut process = LevelDetector::new(settings);
    for sample in 0..300_u32 {
        let at = Timestamp::from_seconds(1_700_000_000.0 + 5.0 * f64::from(sample));
        process.observe(at, f64::from(20 + sample), Some(f64::from(500 * sample)));
        let present: Vec<_> = process.life(7).into_iter().collect();
        for detector in [&mut detector, &mut again] {
            detector.judge(at, &present, &settings);
        }
    }
    if let Some(life) = process.life(8) {
        detector.ended(life);
        again.ended(life);
    }
    assert!(
        detector.snapshot() == again.snapshot(),
        "they went different ways"
    );
    let _verdict = detector.verdict(&settings);
}

fn level(mut detector: LevelDetector) {
    let again = LevelDetector::restore(&detector.snapshot()).expect("its own snapshot");
    assert!(again.snapshot() == detector.snapshot(), "not the same");
    let mut again = again;
    for sample in 0..300_u32 {
        for detector in [&mut detector, &mut again] {
            let at = Timestamp::from_seconds(1_700_000_000.0 + 5.0 * f64::from(sample));
            detector.observe(at, f64::from(20 + sample), Some(f64::from(500 * sample)));
        }
    }
    let bytes = detector.snapshot();
    assert!(bytes == again.snapshot(), "they went different ways");
    if let Verdict::Leaking(evidence) = detector.verdict() {
        assert!(!evidence.ruled_out.is_empty());
    }
    assert!(bytes.len() <= 4096 && detector.history().len() <= 168);
}

fn exact(mut detector: ExactDetector) {
    let mut again = ExactDetector::restore(&detector.snapshot()).expect("its own snapshot");
    for sample in 0..20_u32 {
        for detector in [&mut detector, &mut again] {
            let at = Timestamp::from_seconds(1_700_000_000.0 + 5.0 * f64::from(sample));
            detector.observe_oldest_age(at, 30.0);
            detector.observe(at, f64::from(sample % 7));
        }
    }
    assert!(
        detector.snapshot() == again.snapshot(),
        "they went different ways"
    );
    let _verdict = detector.verdict();
}

/// What a history gave: its series, its slices with values as bits, what is told of it.
type Played = (Vec<String>, Vec<(i64, Vec<(SeriesIndex, u64)>)>, Notes);

/// A file of samples with timestamps, written into `folder`: however little memory there is to sort it in, its slices come
/// in order of time, each series once in each, and none is lost.
pub fn history(folder: &Path, bytes: &[u8]) {
    let path = folder.join("history");
    std::fs::write(&path, bytes).expect("the folder takes files");
    let in_memory = play(&path, folder, 1 << 24);
    let on_disk = play(&path, folder, 1);
    let Ok((series, slices, notes)) = in_memory else {
        assert!(in_memory.err() == on_disk.err(), "one is refused");
        return;
    };
    let (same_series, same_slices, _) = on_disk.expect("the other was read");
    assert!(
        series == same_series && slices == same_slices,
        "memory changes it"
    );
    let samples: usize = slices.iter().map(|(_, samples)| samples.len()).sum();
    assert!(samples as u64 + notes.duplicates == notes.kept && notes.kept <= notes.samples);
    assert!(
        slices.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "out of order"
    );
    for (_, samples) in &slices {
        assert!(!samples.is_empty());
        assert!(
            samples.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "a series twice"
        );
        assert!(
            samples
                .iter()
                .all(|(index, _)| (index.0 as usize) < series.len())
        );
    }
}

fn play(path: &Path, folder: &Path, memory_bytes: usize) -> Result<Played, String> {
    let settings = ReadSettings {
        memory_bytes,
        temporary_directory: folder.to_owned(),
    };
    let wanted = |name: &str| !name.starts_with("unwanted");
    let recording =
        read_file(path, &settings, &wanted, &mut |_| {}).map_err(|error| error.to_string())?;
    let series = recording
        .table
        .iter()
        .map(|(_, series)| format!("{series:?}"))
        .collect();
    let span = recording.span();
    let _interval = recording.interval();
    let mut slices = Vec::new();
    let notes = recording
        .play(&mut |slice: &Slice| {
            let bits = |(index, value): &(SeriesIndex, f64)| (*index, value.to_bits());
            slices.push((
                slice.at.millis(),
                slice.samples.iter().map(bits).collect::<Vec<_>>(),
            ));
        })
        .map_err(|error| error.to_string())?;
    let ends = slices.first().zip(slices.last());
    assert!(
        ends.map(|(first, last)| (first.0, last.0))
            == span.map(|(from, to)| (from.millis(), to.millis()))
    );
    Ok((series, slices, notes))
}

/// A selector of the command line.
pub fn selector(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(selector) = text.parse::<Selector>()
    {
        let _matches = selector.matches("a", &Default::default());
    }
}
