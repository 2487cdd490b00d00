//! The present life of a level detector's process, for the comparison with its other lives.

use crate::level::LevelDetector;
use crate::life::Life;

impl LevelDetector {
    /// The present life so far, under a number that names the instance; to be taken before [`restarted`] is told of the
    /// next. `None` while there is too little of it.
    ///
    /// [`restarted`]: LevelDetector::restarted
    pub fn life(&self, instance: u64) -> Option<Life> {
        let first = self.first?;
        let mut buckets = self.memory.history();
        buckets.retain(|bucket| bucket.start >= first);
        let began = self.started.unwrap_or(first).min(first);
        Life::read(instance, began, &buckets)
    }
}
