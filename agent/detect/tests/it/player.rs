//! Plays a simulated series to a detector.

use leak_detect::{Evidence, LevelDetector, LevelSettings, Timestamp, Verdict};

use crate::simulator::Series;

const START: f64 = 1_700_000_000.0;

/// Seconds after the first sample at which it was first convicted, and by what evidence.
pub(crate) fn first_conviction(
    series: &Series,
    false_alerts_per_year: f64,
) -> Option<(f64, Evidence)> {
    let settings = if series.bytes {
        LevelSettings::bytes()
    } else {
        LevelSettings::count()
    };
    let mut detector = LevelDetector::new(LevelSettings {
        false_alerts_per_year,
        ..settings
    });
    let mut life = 0;
    for (sample, (level, load)) in series.samples.iter().enumerate() {
        let now = sample as f64 * series.interval_seconds;
        while series
            .starts
            .get(life + 1)
            .is_some_and(|start| *start <= now)
        {
            life += 1;
        }
        detector.restarted(Timestamp::from_seconds(START + series.starts[life]));
        detector.observe(Timestamp::from_seconds(START + now), *level, *load);
        if let Verdict::Leaking(evidence) = detector.verdict() {
            return Some((now, evidence));
        }
    }
    None
}
