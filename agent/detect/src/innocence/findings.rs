//! The figures by which explanations were judged, and how they read.

use crate::level::LevelSettings;
use crate::verdict::RuledOut;

/// Which explanation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Noise,
    Load,
    SlowUpstream,
    Step,
    Burst,
    EarlierHigh,
    WarmUp,
    Filling,
    EarlierLife,
}

impl Standing {
    pub(crate) const ALL: [Self; 9] = [
        Self::Noise,
        Self::Load,
        Self::SlowUpstream,
        Self::Step,
        Self::Burst,
        Self::EarlierHigh,
        Self::WarmUp,
        Self::Filling,
        Self::EarlierLife,
    ];

    /// The explanation's name for a series of counts or of amounts, as [`RuledOut::what`] lists them.
    pub(crate) fn word(self, settings: &LevelSettings) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Load => "load",
            Self::SlowUpstream => "slow upstream",
            Self::Step => "step",
            Self::Burst => "burst",
            Self::EarlierHigh if settings.integer => "diurnal peak",
            Self::EarlierHigh => "collector",
            Self::WarmUp => "warm-up",
            Self::Filling if settings.integer => "pool filling",
            Self::Filling => "filling cache",
            Self::EarlierLife => "restart",
        }
    }
}

/// The figures by which a climb was judged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Findings {
    /// Standard errors of the slope, the chance of that by noise, and the chance that is allowed.
    pub(crate) t: f64,
    pub(crate) chance: f64,
    pub(crate) level_per_test: f64,
    /// Rise that load does not explain, and the rise that the floors ask for.
    pub(crate) unexplained: f64,
    pub(crate) floor: f64,
    pub(crate) loaded: bool,
    /// Whether it rose by more than ordinary causes could, however short the time.
    pub(crate) steep: bool,
    /// What the climb leaves unexplained, as a share of what the best three steps leave.
    pub(crate) share_of_steps: f32,
    /// Greatest and newest share of the climb between neighbouring parts, and the least of the lower envelope's.
    pub(crate) greatest_share: f32,
    pub(crate) newest_share: f32,
    pub(crate) least_low_share: f32,
    /// The present lower envelope, the highest before, and the highest of earlier lives, under no more load.
    pub(crate) now: f64,
    pub(crate) highest_before: Option<f64>,
    pub(crate) earlier_lives: Option<f64>,
    /// For how long it has climbed, and the process's age when that began.
    pub(crate) seconds: f64,
    pub(crate) quiet_seconds: f64,
    /// What a slow upstream could hold.
    pub(crate) upstream_bound: f64,
}

impl Findings {
    /// Every explanation by name, with the reason why it does not hold.
    pub(crate) fn ruled_out(&self, settings: &LevelSettings) -> Vec<RuledOut> {
        Standing::ALL
            .into_iter()
            .map(|explanation| RuledOut {
                what: explanation.word(settings),
                how: self.sentence(explanation),
            })
            .collect()
    }

    /// The figures of one explanation, as a sentence.
    pub(crate) fn sentence(&self, explanation: Standing) -> String {
        let climbed = span(self.seconds);
        match explanation {
            Standing::Noise => format!(
                "the slope is {} standard errors, by noise alone in 1 of {} tests; 1 of {} is allowed",
                number(self.t),
                number(1.0 / self.chance.max(1e-99)),
                number(1.0 / self.level_per_test.max(1e-99))
            ),
            Standing::Load if self.loaded => format!(
                "with the load's growth credited in proportion, {} of the rise is left; {} suffices",
                number(self.unexplained),
                number(self.floor)
            ),
            Standing::Load => format!(
                "no load is known; the rise is {} in {climbed}",
                number(self.unexplained)
            ),
            Standing::SlowUpstream if self.loaded => format!(
                "climbing for {climbed}; all requests of a minute are {}, the rise is {}",
                number(self.upstream_bound),
                number(self.unexplained)
            ),
            Standing::SlowUpstream => {
                format!("climbing for {climbed}, by {}", number(self.unexplained))
            }
            Standing::Step => format!(
                "of three moves between four parts the largest holds {} % of the rise; a climb leaves {} % of what a few steps leave unexplained",
                percent(self.greatest_share),
                percent(self.share_of_steps)
            ),
            Standing::Burst => format!(
                "in no part does the lower envelope gain less than {} % of the rise",
                percent(self.least_low_share)
            ),
            Standing::EarlierHigh => match self.highest_before {
                Some(highest) => format!(
                    "the lower envelope is {}; before, under no more load, at most {}",
                    number(self.now),
                    number(highest)
                ),
                None => format!(
                    "the lower envelope is {}; nothing comparable was seen before",
                    number(self.now)
                ),
            },
            Standing::WarmUp => format!(
                "the process was {} old when it began, and it has climbed for {climbed}",
                span(self.quiet_seconds)
            ),
            Standing::Filling => {
                format!(
                    "the newest of three moves holds {} % of the rise, where a straight line's has 33 %",
                    percent(self.newest_share)
                )
            }
            Standing::EarlierLife => match self.earlier_lives {
                Some(highest) => format!(
                    "the lower envelope is {}; earlier lives reached {}",
                    number(self.now),
                    number(highest)
                ),
                None => "no earlier life is comparable".to_owned(),
            },
        }
    }
}

/// A number to three significant digits.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1e6 || (magnitude > 0.0 && magnitude < 1e-3) {
        format!("{value:.2e}")
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn percent(share: f32) -> String {
    format!("{:.0}", share * 100.0)
}

/// A length of time in its largest fitting unit.
fn span(seconds: f64) -> String {
    match seconds {
        s if s >= 172_800.0 => format!("{:.1} days", s / 86_400.0),
        s if s >= 7200.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 120.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} s", s.max(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        let written: Vec<String> = [0.0, 0.5, 12.34, 123.4, 1.5e9, 2e-5, -3.2]
            .map(number)
            .into();
        assert_eq!(
            written,
            ["0.00", "0.50", "12.3", "123", "1.50e9", "2.00e-5", "-3.20"]
        );
        let written: Vec<String> = [-4.0, 90.0, 600.0, 10_800.0, 259_200.0].map(span).into();
        assert_eq!(written, ["0 s", "90 s", "10 min", "3.0 h", "3.0 days"]);
    }

    #[test]
    fn every_explanation_has_a_name_of_its_own_and_a_sentence() {
        for settings in [LevelSettings::count(), LevelSettings::bytes()] {
            let mut names: Vec<&str> = Findings::default()
                .ruled_out(&settings)
                .iter()
                .map(|ruled_out| ruled_out.what)
                .collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), Standing::ALL.len());
            assert!(
                Findings::default()
                    .ruled_out(&settings)
                    .iter()
                    .all(|ruled_out| !ruled_out.how.is_empty())
            );
        }
    }
}
