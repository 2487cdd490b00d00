//! What holds of every reader, whatever it is fed: it ends, in a value or an error; how the bytes were cut into chunks
//! does not matter; and what it has read can be used.

use leak_detect::{ExactDetector, LevelDetector, LevelSettings, Lives, Timestamp, Verdict};

use super::exposition::{Format, ParseError, Parser, RawSample};

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
