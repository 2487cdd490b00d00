//! What a level detector is told about its series.

use crate::budget::Budget;

/// What a level detector is told about its series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelSettings {
    /// Growth below this is never a leak, in the series' unit.
    pub absolute_floor: f64,
    /// Growth below this share of the level before it is never a leak.
    pub relative_floor: f64,
    /// Whether the series counts things (`true`) or measures an amount such as bytes (`false`). Amounts are kept by
    /// allocators, caches and collectors, and are watched for longer before they are judged.
    pub integer: bool,
    /// False alerts a year that this series may cause: [`Budget::per_series_year`].
    pub false_alerts_per_year: f64,
}

impl LevelSettings {
    /// Things that are counted: descriptors, threads, goroutines, connections, entries. At least 8 more and a tenth.
    pub fn count() -> Self {
        Self {
            absolute_floor: 8.0,
            relative_floor: 0.1,
            integer: true,
            false_alerts_per_year: Budget::new(12.0, 64, 1).per_series_year(),
        }
    }

    /// Bytes of memory. At least 16 MiB more and a tenth.
    pub fn bytes() -> Self {
        Self {
            absolute_floor: 16.0 * 1_048_576.0,
            integer: false,
            ..Self::count()
        }
    }

    /// The same with every number finite: a floor that is none is the highest there is, and nothing is a leak.
    pub(crate) fn finite(self) -> Self {
        let floor = |floor: f64| {
            if floor.is_finite() {
                floor.max(0.0)
            } else {
                f64::MAX
            }
        };
        Self {
            absolute_floor: floor(self.absolute_floor),
            relative_floor: floor(self.relative_floor),
            false_alerts_per_year: if self.false_alerts_per_year > 0.0 {
                self.false_alerts_per_year.min(f64::MAX)
            } else {
                0.0
            },
            ..self
        }
    }

    /// The smallest step of the series: noise is not taken for less.
    pub(crate) fn quantum(&self) -> f64 {
        if self.integer {
            1.0
        } else {
            1e-3 * self.absolute_floor
        }
    }
}
