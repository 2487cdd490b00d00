//! How others see what the event loop owns: they send a closure, the loop lets it look, and it takes a copy home.
//!
//! So the engine has one owner and no lock, every look sees one consistent moment, and a reader that is slow is slow
//! by itself.

use std::sync::Arc;
use std::time::Duration;

use leak_detect::Timestamp;
use resource_ledger::Ledger;
use tokio::sync::{mpsc, oneshot};

use crate::agent::reload::Status;
use crate::clock;
use crate::config::Config;
use crate::discovery::Roll;
use crate::engine::Engine;
use crate::notify::Notifier;
use crate::pair::Asker;
use crate::source::Sources;

/// How long a reader waits for its turn: the loop is busy for milliseconds, unless it is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be seen.
pub(crate) struct Seen<'a> {
    /// The moment.
    pub(crate) now: Timestamp,
    /// When the agent started.
    pub(crate) started_at: Timestamp,
    /// What it runs with.
    pub(crate) config: &'a Config,
    /// Everything that is judged.
    pub(crate) engine: &'a Engine,
    /// What is sent.
    pub(crate) notifier: &'a Notifier,
    /// Which stores are queried, and how they do.
    pub(crate) sources: &'a Sources,
    /// What it is called in a pair.
    pub(crate) asker: &'a Asker,
    /// The agent's own tasks and connections.
    pub(crate) ledger: &'a Ledger,
    /// What discovery lists, and what came of each job.
    pub(crate) roll: Arc<Roll>,
    /// How the last reload went.
    pub(crate) reload: Status,
}

/// One reader's look.
pub(super) type Look = Box<dyn FnOnce(&Seen<'_>) + Send>;

/// Asks the event loop for looks. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    looks: mpsc::Sender<Look>,
}

/// The event loop did not answer in time, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is busy or ending")]
pub(crate) struct Busy;

/// A reader, and the looks that it asks for.
pub(super) fn channel(waiting: usize) -> (Reader, mpsc::Receiver<Look>) {
    let (looks, receiver) = mpsc::channel(waiting);
    (Reader { looks }, receiver)
}

impl Reader {
    /// What `look` sees. It should copy and not compute.
    ///
    /// # Errors
    /// [`Busy`] where the loop does not let it look within [`PATIENCE`].
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Seen<'_>) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |seen| {
            // Nobody may be waiting any more.
            let _ = reply.send(look(seen));
        });
        let answered = async {
            self.looks.send(look).await.map_err(|_| Busy)?;
            answer.await.map_err(|_| Busy)
        };
        clock::timeout(PATIENCE, answered).await.map_err(|_| Busy)?
    }
}
