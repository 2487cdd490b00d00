//! What runs in the background of a provider's test, and ends with it: a server of the test's own, and the provider.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;
use checked_yaml::{Mistakes, Node};
use resource_ledger::{Labels, Ledger, ServiceTaskOutcome, Settings, TaskSet};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::discovery::Outlet;

pub(in crate::discovery) struct Background {
    ledger: Ledger,
    tasks: TaskSet<()>,
}

impl Background {
    pub(in crate::discovery) fn new() -> Self {
        Self {
            ledger: Ledger::new(Settings::default()),
            tasks: TaskSet::new(),
        }
    }

    pub(in crate::discovery) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let account = self.ledger.account::<ServiceTaskOutcome>(Labels::new());
        self.tasks.spawn(account.open(), task);
    }

    /// Serves `path`, and gives the server's URL, which ends before the path.
    pub(in crate::discovery) async fn serve(&mut self, path: &str, answer: MethodRouter) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route(path, answer);
        self.spawn(async move {
            axum::serve(listener, router).await.expect("served");
        });
        url
    }

    /// Runs a provider with an outlet that nobody else looks at.
    pub(in crate::discovery) fn run<F>(
        &mut self,
        mechanism: &'static str,
        run: impl FnOnce(Outlet) -> F,
    ) -> (Outlet, Arc<Notify>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (outlet, changed) = Outlet::alone(mechanism);
        self.spawn(run(outlet.clone()));
        (outlet, changed)
    }
}

/// Reads a section that has no mistake.
#[track_caller]
pub(in crate::discovery) fn read<T>(
    yaml: &str,
    read: impl FnOnce(&Node, &mut Mistakes) -> Option<T>,
) -> T {
    let root = checked_yaml::parse(yaml).expect("YAML");
    let mut mistakes = Mistakes::new();
    let provider = read(&root, &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes}");
    provider.expect("read")
}

/// The mistake of a provider, when it has made one.
pub(in crate::discovery) async fn mistake(outlet: &Outlet) -> String {
    loop {
        if let Some(error) = outlet.report().error {
            return error;
        }
        tokio::task::yield_now().await;
    }
}
