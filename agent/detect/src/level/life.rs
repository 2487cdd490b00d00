//! The present life of a level detector's process, for the comparison with its other lives and its peers.

use crate::level::LevelDetector;
use crate::life::Life;
use crate::peers::Peer;

impl LevelDetector {
    /// The present life so far, under a number that names the instance; to be taken before [`restarted`] is told of the
    /// next. `None` while there is too little of it.
    ///
    /// [`restarted`]: LevelDetector::restarted
    pub fn life(&self, instance: u64) -> Option<Life> {
        self.peer(instance)?.life()
    }

    /// The present life as it is compared with those of other instances. `None` before the first sample.
    pub fn peer(&self, instance: u64) -> Option<Peer> {
        let first = self.first?;
        let mut history = self.memory.history();
        history.retain(|bucket| bucket.start >= first);
        Some(Peer {
            instance,
            began: self.started.unwrap_or(first).min(first),
            history,
        })
    }
}
