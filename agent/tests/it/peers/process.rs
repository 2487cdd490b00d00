//! A process of a test: its output goes to a file, it is ended by pid when the test ends, also when the test fails.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything that a test waits for may take before the test fails and shows the logs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its output goes to `NAME.log` in `directory`, after what an earlier life wrote there.
    pub(crate) fn start(name: &str, directory: &Path, command: &mut Command) -> Process {
        let log = directory.join(format!("{name}.log"));
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&log)
                .expect("log file")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name} did not start: {error}; `.ci/run` installs what it needs")
            });
        Process {
            child,
            name: name.to_owned(),
            log,
        }
    }

    /// Debian's Prometheus at a port of loopback, with its data in `directory`, beside its configuration.
    pub(crate) fn prometheus(directory: &Path, configuration: &str, port: u16) -> Process {
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, configuration).expect("the configuration is written");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("prometheus").display()
            ))
            .arg("--storage.tsdb.retention.time=100d")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Self::start("prometheus", directory, &mut command)
    }

    /// Debian's Alertmanager at a port of loopback, with its data in `directory`, beside `alertmanager.yml`.
    pub(crate) fn alertmanager(directory: &Path, port: u16) -> Process {
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!(
                "--config.file={}",
                directory.join("alertmanager.yml").display()
            ))
            .arg(format!(
                "--storage.path={}",
                directory.join("alertmanager").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        Self::start("alertmanager", directory, &mut command)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and wait until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process was running");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGTERM, and the exit code once it is gone.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("{} did not end on SIGTERM:\n{}", self.name, self.log_text());
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .arg(signal)
            .arg(self.pid().to_string())
            .status()
            .expect("kill runs");
        assert!(status.success(), "{} is not running", self.name);
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // The process may end between the question and the kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let text = self.log_text();
            let tail: Vec<&str> = text.lines().rev().take(25).collect();
            eprintln!("--- the end of {}.log", self.name);
            tail.into_iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A binary of this workspace, built beside the agent's.
pub(crate) fn binary(name: &str) -> PathBuf {
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_leak-agent"));
    let path = agent.with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` first",
        path.display()
    );
    path
}

/// A port that nothing listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port on loopback")
        .port()
}

/// Waits until `check` gives a value.
pub(crate) async fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let since = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    loop {
        pause.tick().await;
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            since.elapsed() < patience,
            "{what}: not seen within {patience:?}"
        );
    }
}

/// Waits until a GET answers 200.
pub(crate) async fn wait_for_200(url: &str) {
    let client = leak_agent::http_client::builder()
        .build()
        .expect("a client");
    wait_for(url, PATIENCE, async || {
        client
            .get(url)
            .send()
            .await
            .ok()
            .filter(|answer| answer.status() == 200)
            .map(drop)
    })
    .await;
}
