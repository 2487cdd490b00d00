//! What belongs to the process and not to the gateway: its log, its tasks, tokio-console.
//!
//! A process has one log and one set of tasks, however many gateways it runs; so they are made outside and handed in.
//! The log goes to standard error, INFO and above unless `RUST_LOG` says otherwise.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config::Config;
use crate::console::{self, Console};
use crate::tasks::TaskRegistry;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the process around a gateway knows and the gateway shows.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// The tasks of the runtime, where that was built by [`TaskRegistry::runtime`]; empty otherwise.
    pub tasks: TaskRegistry,
    /// Serves tokio-console, where [`Telemetry::install`] put its layer into the process' log.
    pub(crate) console: Option<Console>,
}

impl Telemetry {
    /// Installs the log for the whole process, and tokio-console's layer where the configuration asks for it. Once.
    ///
    /// # Panics
    /// Where the process has a global tracing subscriber already.
    pub fn install(config: &Config, format: LogFormat) -> Self {
        let (layer, console) = console::layer(config.console.is_some());
        registry().with(layer).with(lines(format)).init();
        Self {
            tasks: TaskRegistry::new(),
            console,
        }
    }
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    }
}
