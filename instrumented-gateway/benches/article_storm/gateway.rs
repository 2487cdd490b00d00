//! The gateway as a process of its own: its configuration, its memory, its metrics.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;

const POLL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Gateway {
    child: Child,
    listen: SocketAddr,
    metrics: SocketAddr,
    _directory: TempDir,
}

/// What is open when nobody asks for anything any more.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Requests, bodies, tasks and connections that are not idle.
    pub(crate) open: u64,
    /// Orphaned or overdue.
    pub(crate) late: u64,
}

impl Gateway {
    pub(crate) fn start(
        upstreams: &[SocketAddr; 3],
        deadline: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let (listen, metrics) = (free_address()?, free_address()?);
        let [first, second, third] = upstreams;
        let deadline = deadline.as_millis();
        let configuration = format!(
            "listen: {listen}
metrics: {metrics}
upstreams:
  - {{ name: article, endpoints: [\"http://{first}\"] }}
  - {{ name: likes, endpoints: [\"http://{second}\"] }}
  - {{ name: comments, endpoints: [\"http://{third}\"] }}
routes:
  - {{ path: /other, proxy: article }}
  - path: /home
    deadline: {deadline}ms
    fan_out: {{ policy: partial, calls: [
      {{ name: article, upstream: article, path: /a }},
      {{ name: likes, upstream: likes, path: /l }},
      {{ name: comments, upstream: comments, path: /c }}] }}
"
        );
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("gateway.yml");
        fs::write(&path, configuration)?;
        let child = Command::new(binary()?)
            .args(["--config".as_ref(), path.as_os_str()])
            .env("RUST_LOG", "warn")
            .spawn()?;
        let gateway = Self {
            child,
            listen,
            metrics,
            _directory: directory,
        };
        gateway.wait_until_it_listens()?;
        Ok(gateway)
    }

    fn wait_until_it_listens(&self) -> Result<(), Box<dyn Error>> {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if TcpStream::connect(self.listen).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(format!("the gateway does not listen on {}", self.listen).into())
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Resident bytes, once a second for so long.
    pub(crate) async fn watch_memory(&self, duration: Duration) -> Vec<u64> {
        let mut memory = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.tick().await;
        for _ in 0..duration.as_secs() {
            ticks.tick().await;
            memory.push(resident_bytes(self.child.id()).unwrap_or_default());
        }
        memory
    }

    /// Looks until nothing is left, or patience is.
    pub(crate) async fn left_open(&mut self) -> Result<Left, Box<dyn Error>> {
        let mut left = Left::default();
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            left = self.look()?;
            if left.open == 0 && left.late == 0 {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(left)
    }

    fn look(&self) -> Result<Left, Box<dyn Error>> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let sum = |name: &str, label: &str| -> u64 {
            let lines = text
                .lines()
                .filter(|line| line.starts_with(name) && line.contains(label));
            let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
            values.sum()
        };
        let open =
            |resource: &str| sum("resource_ledger_open{", &format!("resource=\"{resource}\""));
        let idle = sum("gateway_pool_connections{", "state=\"idle\"");
        let busy = open("pool_connection").saturating_sub(idle);
        Ok(Left {
            open: open("request") + open("response_body") + open("fan_out_task") + busy,
            late: sum("resource_ledger_orphaned{", "") + sum("resource_ledger_overdue{", ""),
        })
    }

    pub(crate) fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The gateway's binary, which is built beside this one.
fn binary() -> Result<PathBuf, Box<dyn Error>> {
    let this = std::env::current_exe()?;
    let built = this
        .parent()
        .and_then(|examples| examples.parent())
        .ok_or("no target directory")?;
    let binary = built.join("instrumented-gateway");
    if !binary.exists() {
        return Err(format!("{}: build it first, with --bins", binary.display()).into());
    }
    Ok(binary)
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
