//! What of a target is carried on: over a restart of the agent by what was stored, from a history by what was found there.

use std::collections::HashMap;
use std::sync::Arc;

use leak_detect::Timestamp;

use crate::engine::saved::{SavedSeries, SavedTarget};
use crate::engine::target::{Life, TargetState};
use crate::labels::Labels;

impl TargetState {
    /// Takes what another engine has found of the same target.
    pub(in crate::engine) fn take_over(&mut self, other: Self) {
        self.last_success = other.last_success;
        self.watched_since = other.watched_since;
        self.life = other.life;
        self.ended = other.ended;
        self.slots = other.slots;
        self.traffic = other.traffic;
        self.reading = other.reading;
        self.suspects = other.suspects;
        self.swept_at = other.swept_at;
        self.restored = HashMap::new();
    }

    /// Goes on from what was stored of this target.
    pub(in crate::engine) fn restore(&mut self, saved: SavedTarget) {
        self.life = saved.life.map(|(began, counted)| Life {
            began: Timestamp::from_millis(began),
            counted,
        });
        self.restored_at = None;
        // How long is not stored: for long.
        self.watched_since = Some(Timestamp::default());
        self.restored = saved
            .series
            .into_iter()
            .map(|series| ((Arc::from(series.signal), series.labels), series.detector))
            .collect();
    }

    /// Forgets stored detectors whose series have not been seen again yet, by signal and labels.
    pub(in crate::engine) fn forget_stored(&mut self, is_meant: impl Fn(&str, &Labels) -> bool) {
        self.restored
            .retain(|(signal, labels), _| !is_meant(signal, labels));
    }

    /// What has to be stored of it.
    pub(in crate::engine) fn save(&self) -> SavedTarget {
        let waiting = self
            .restored
            .iter()
            .map(|((signal, labels), detector)| SavedSeries {
                signal: signal.to_string(),
                labels: labels.clone(),
                detector: detector.clone(),
            });
        let series = self.series().map(|series| SavedSeries {
            signal: series.signal.to_string(),
            labels: series.labels.clone(),
            detector: series.snapshot(),
        });
        SavedTarget {
            target: self.key.to_string(),
            life: self.life.map(|life| (life.began.millis(), life.counted)),
            series: series.chain(waiting).collect(),
        }
    }
}
